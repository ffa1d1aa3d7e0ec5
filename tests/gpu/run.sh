#!/usr/bin/env bash
# Check cafx on a GPU: whether it computes what it should, and how fast, beside PyTorch.
#
#     tests/gpu/run.sh [right] [fast] [compile] [--fresh] [--only PATTERN] [--seconds N]
#
# Without a part: right, then fast. Each part continues where it was stopped, and writes PART.json and PART.txt to
# OUT (default: build/gpu-results) after each measurement. `right` takes at most 4 minutes, `fast` and `compile` 5;
# --seconds sets another limit for each part. PATTERN, a regular expression, selects items by name.
#
# The folder made by pack.sh is found where this script lies in it, at build/gpu in the repository, or by
# CAFX_GPU_PACK; without one, cafx must be installed for PYTHON (default python3).
# With CAFX_GPU_REHEARSAL=1 everything runs in small on the stand-in for CUDA, which needs no GPU.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
parts=()
options=()
while [ $# -gt 0 ]; do
    case $1 in
        right | fast | compile) parts+=("$1") ;;
        --fresh) options+=("$1") ;;
        --only | --seconds) options+=("$1" "${2:?$1 needs a value}"); shift ;;
        *) echo "unknown argument: $1" >&2; exit 2 ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || parts=(right fast)

export OUT=${OUT:-$root/build/gpu-results}
export CAFX_GPU_CACHE=${CAFX_GPU_CACHE:-${TMPDIR:-/tmp}/cafx-gpu-$(id -u)}
mkdir -p "$OUT" "$CAFX_GPU_CACHE"

pack=${CAFX_GPU_PACK:-}
if [ -z "$pack" ]; then
    for folder in "$root" "$root/build/gpu"; do
        [ -d "$folder/site" ] && [ -d "$folder/wheels" ] && pack=$folder && break
    done
fi
if [ -n "$pack" ] && [ "$pack" != none ]; then
    "$python" "$here/install_wheels.py" "$pack/wheels" "$CAFX_GPU_CACHE/wheels" || exit
    export PYTHONPATH="$pack/site:$CAFX_GPU_CACHE/wheels"
    export CAFX_GPU_PACK=$pack
else
    unset CAFX_GPU_PACK
fi

status=0
for part in "${parts[@]}"; do
    case $part in
        right) "$python" -u "$here/right.py" ${options[@]+"${options[@]}"} || status=$? ;;
        *) "$python" -u "$here/fast.py" --part "$part" ${options[@]+"${options[@]}"} || status=$? ;;
    esac
done
exit "$status"
