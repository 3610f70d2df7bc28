#!/bin/bash
# Start SLURM on this one machine, for a try of `kind = "slurm"` in an ensemble. As root, in a container or a virtual
# machine of Debian or Ubuntu that has no SLURM of its own:
#
#     scripts/checks/slurm_node.sh start      install slurm-wlm and munge, start munged, slurmctld and slurmd
#     scripts/checks/slurm_node.sh stop       cancel the jobs, end these three
#
# The node offers all cores of the machine, in one partition, `debug`. No systemd and no cgroups are needed. Environment:
# SLURM_NODE_FOLDER, where configuration, state and logs are kept (absent: /var/lib/orbmm-slurm-node). Commands of SLURM
# find this node with SLURM_CONF, which `start` prints.
set -euo pipefail

folder=${SLURM_NODE_FOLDER:-/var/lib/orbmm-slurm-node}
configuration=$folder/slurm.conf

write_configuration() {
    local memory
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    cat >"$configuration" <<END
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
KillWait=30
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP PreemptMode=OFF
END
}

start_munge() {
    if munge -n >/dev/null 2>&1; then
        return
    fi
    [ -f /etc/munge/munge.key ] || mungekey --create --keyfile /etc/munge/munge.key
    chown munge: /etc/munge/munge.key
    install -d -o munge -g munge /run/munge /var/lib/munge /var/log/munge
    setpriv --reuid munge --regid munge --clear-groups munged
    touch "$folder/munge-is-ours"
}

wait_for_node() {
    local number
    for number in $(seq 30); do
        if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then
            return
        fi
        sleep 1
    done
    echo "the node is not idle after $number s; see $folder/slurmctld.log and slurmd.log" >&2
    exit 1
}

start() {
    if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
        apt-get update
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends slurm-wlm munge
    fi
    mkdir -p "$folder/state" "$folder/spool"
    write_configuration
    export SLURM_CONF=$configuration
    start_munge
    slurmctld -f "$configuration"
    slurmd -f "$configuration"
    wait_for_node
    sinfo --version
    echo "export SLURM_CONF=$configuration"
}

stop() {
    local name
    export SLURM_CONF=$configuration
    scancel --user "$(id -un)" || true
    for name in $(seq 40); do # a job that still ends would keep slurmd
        [ -n "$(squeue --noheader)" ] || break
        sleep 1
    done
    for name in slurmd slurmctld; do
        if [ -f "$folder/$name.pid" ]; then
            kill "$(cat "$folder/$name.pid")" || true
        fi
    done
    if [ -f "$folder/munge-is-ours" ]; then
        kill "$(cat /run/munge/munged.pid)" || true
        rm "$folder/munge-is-ours"
    fi
}

case ${1:-} in
start | stop) "$1" ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
