#!/usr/bin/env bash
#SBATCH --job-name=orbmm
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.log
#
# One piece of a long run, which submits the next piece until the run is complete:
#
#     sbatch scripts/study/slurm/run.sh SYSTEM.toml RUN
#
# SYSTEM.toml: what to simulate; RUN: the run folder. What orbmm says goes to RUN.log, one piece after the other.
# MAX_HOURS: wall-clock hours of a piece, below --time (23.5 unless set). OPTIONS: more options of each piece, such as
# --no-lock. JOB_SCRIPT: where this file lies, seen from the folder that the job was submitted in (Slurm runs a copy of
# it, which does not know). Edit the #SBATCH lines for your cluster. A piece that fails ends the chain with its exit
# code, and so does one that stops where the piece before it stopped, with exit code 4.
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "usage: sbatch scripts/study/slurm/run.sh SYSTEM.toml RUN" >&2
  exit 2
fi
system=$1 run=$2
case $system in -*) system=./$system ;; esac # a name that begins with a hyphen is no option
case $run in -*) run=./$run ;; esac
job_script=${JOB_SCRIPT:-scripts/study/slurm/run.sh}
log=$run.log
mkdir -p -- "$(dirname -- "$log")"

if [ -e "$run/run.json" ]; then
  piece=(orbmm resume "$run")
  before=$(grep -a '^stopped in order' -- "$log" | tail -n 1) || before=
else
  piece=(orbmm run "$system" --output "$run")
  before=
fi
# shellcheck disable=SC2086 # OPTIONS are words
"${piece[@]}" --max-hours "${MAX_HOURS:-23.5}" ${OPTIONS:-} 2>&1 | tee -a -- "$log"

# A piece that ends in order says at last whether anything is left, and at which step of which stage it stopped.
after=$(tail -n 1 -- "$log" | grep -a '^stopped in order') || exit 0
if [ "${after%%;*}" = "${before%%;*}" ]; then
  echo "no progress: this piece stopped where the piece before it stopped (${after%%;*}). Set MAX_HOURS above the time" \
    "that the start takes with minimisation, which begins anew in each piece; the chain ends here" | tee -a -- "$log" >&2
  exit 4
fi
sbatch "$job_script" "$system" "$run"
