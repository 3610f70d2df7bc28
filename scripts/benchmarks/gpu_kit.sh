#!/usr/bin/env bash
# What to run on a machine with a GPU: tests and measurements in pieces of at most ten minutes, the most telling first.
#
#   scripts/benchmarks/gpu_kit.sh fetch WHEELS          here, where there is a package index: fill a folder with wheels
#   scripts/benchmarks/gpu_kit.sh install WHEELS        there, into the environment that holds torch
#   scripts/benchmarks/gpu_kit.sh run RESULTS [PIECE..] run the pieces that are not done yet; Ctrl-C and begin again
#   scripts/benchmarks/gpu_kit.sh table RESULTS         one table of all that was measured, with the card's name
#   scripts/benchmarks/gpu_kit.sh list                  the pieces, in order
#
# A piece leaves NAME.log, its numbers, and NAME.done with its exit code. $ORBMM_KIT_PYTHON is the Python of the machine
# that `fetch` is for (default 3.12); $ORBMM_KIT_DEVICE another device (default cuda; cpu to try the kit itself).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

device=${ORBMM_KIT_DEVICE:-cuda}
export PYTHONPATH=$PWD # the clone itself, which need not be installed
LIMIT_S=600
PIECES=(tests small graphs kernels large openmm contract precision searches memory)
# Not torch, which the machine has, with the CUDA libraries that OpenMM needs too. openmmml and pdbfixer are source packages
# and not needed here.
OPENMM=(openmm==8.6.1 openmm_cuda_13==8.6.1)
WHEELS=(nvalchemi_toolkit_ops==0.5.0 warp_lang mdtraj scipy safetensors requests tomli_w platformdirs filelock typer rich
        matplotlib pytest pytest_timeout)

# Each piece is one command, which a user could type as well.
do_piece() { # PIECE FOLDER
  case $1 in
    tests) pytest_gpu tests/graph tests/model ;;
    contract) pytest_gpu tests/forces tests/tuning ;;
    small) benchmark "$2/small" water-1k --force none --precision float16 --precision float32-high --precision float64 ;;
    graphs) benchmark "$2/graphs" water-1k --force none --precision float16 --cuda-graphs --kernels triton ;;
    large) benchmark "$2/large" water-30k --force none --precision float16 --precision float32-high ;;
    openmm) benchmark "$2/openmm" water-1k --precision float16 --steps 200 ;;
    kernels) python scripts/benchmarks/kernels.py --device "$device" --to "$2/kernels.json" ;;
    precision) python scripts/benchmarks/precision.py --device "$device" --to "$2/precision.json" ;;
    searches) python scripts/benchmarks/searches.py --device "$device" --to "$2/searches.json" ;;
    memory) python scripts/benchmarks/many_atoms.py --device "$device" --to "$2/memory.json" ;;
  esac
}

pytest_gpu() { python -m pytest -q -p no:cacheprovider -m gpu "$@"; }

benchmark() {
  python -c 'from orbmm.cli.main import main; main()' benchmark --output "$1" --case "$2" --device "$device" \
    --model orb-v3-direct-inf-omat --model orb-v3-conservative-inf-omat --random-weights "${@:3}"
}

fetch() { # FOLDER WORDS...: for Linux on x86_64, with a C library as old as that of Debian 12
  python -m pip download --only-binary=:all: --python-version "${ORBMM_KIT_PYTHON:-3.12}" --dest "$1" "${@:2}" \
    $(printf -- '--platform manylinux_2_%s_x86_64 ' 34 31 28 27 24 17) --platform manylinux2014_x86_64
}

install() { python -m pip install --no-index --find-links "$1" "${@:2}"; }

run() {
  local folder=$1 piece code
  shift
  [ $# -gt 0 ] || set -- "${PIECES[@]}"
  for piece in "$@"; do
    [[ " ${PIECES[*]} " == *" $piece "* ]] || { echo "no piece '$piece': see gpu_kit.sh list" >&2; return 2; }
    [ "$(cat "$folder/$piece.done" 2>/dev/null)" = 0 ] && { echo "$piece: done before"; continue; }
    timeout --foreground "$LIMIT_S" bash scripts/benchmarks/gpu_kit.sh piece "$piece" "$folder" >"$folder/$piece.log" 2>&1
    code=$?
    echo "$code" >"$folder/$piece.done"
    echo "$piece: exit code $code, $(tail -n 1 "$folder/$piece.log")"
    [ "$code" = 130 ] && return 130 # Ctrl-C
  done
  return 0
}

case ${1:-} in
  list) printf '%s\n' "${PIECES[@]}" ;;
  fetch) fetch "${2:?a folder for the wheels}" --no-deps "${OPENMM[@]}" && fetch "$2" "${WHEELS[@]}" ;;
  install) install "${2:?the folder of wheels}" --no-deps "${OPENMM[@]}" && install "$2" "${WHEELS[@]}" ;;
  piece) do_piece "${2:?}" "${3:?}" ;; # what `run` starts
  run) run "$(mkdir -p "${2:?a folder for the results}" && cd "$2" && pwd)" "${@:3}" ;;
  table) python scripts/benchmarks/gpu_table.py "${2:?the folder of results}" ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' scripts/benchmarks/gpu_kit.sh >&2; exit 2 ;;
esac
