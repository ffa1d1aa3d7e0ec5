#!/usr/bin/env bash
# Make the folder that a GPU machine without a network needs: cafx as an installed site, the wheels it lacks,
# reference data, and these scripts.
#
#     tests/gpu/pack.sh [FOLDER]         default: build/gpu in the repository
#
# Needs a network, git and Python 3.12 or newer with pip (PYTHON, default python3). CAFX_SHARED names the
# reference data (default: shared beside the repository). The folder is replaced. It must stay below 60 MiB.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
folder=$(realpath -m "${1:-$repository/build/gpu}")
shared=${CAFX_SHARED:-$repository/../shared}
python=${PYTHON:-python3}
limit=$((60 << 20))

# what the machine may lack; what it has is not replaced
wheels=(
    nvidia-cudnn-frontend==1.24.1
    numpy attrs protobuf click rich h5py lmdb plyvel simplejpeg threadpoolctl pluggy packaging iniconfig pytest
    pygments markdown-it-py mdurl
)
platforms=()
for version in 2_28 2_27 2_26 2_24 2_17 2_12 2_5; do platforms+=(--platform "manylinux_${version}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64)

rm -rf "$folder"
mkdir -p "$folder/wheels" "$folder/site"
building=$(mktemp -d)
trap 'rm -rf "$building"' EXIT

echo "wheels of others" >&2
"$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.12 --implementation cp "${platforms[@]}" -d "$folder/wheels" "${wheels[@]}"
"$python" -m pip install -q --disable-pip-version-check --target "$building/tools" "flit_core>=3.12"

echo "cafx" >&2
PYTHONPATH="$building/tools" "$python" "$here/site_folder.py" "$repository" "$folder/site"

echo "data and scripts" >&2
"$python" "$here/reference_data.py" "$shared" "$folder/data"
for name in gpu benchmarks; do
    mkdir -p "$folder/tests/$name"
    cp "$repository/tests/$name"/*.py "$folder/tests/$name/"
done
cp "$here"/*.sh "$folder/tests/gpu/"
commit=$(git -C "$repository" rev-parse HEAD)
[ -z "$(git -C "$repository" status --porcelain)" ] || commit="$commit and changes"
echo "$commit" >"$folder/COMMIT"

size=$(du -sb --apparent-size "$folder" | cut -f1)
printf '%s: %.1f MiB of 60\n' "$folder" "$(echo "$size" | awk '{ print $1 / 1048576 }')"
[ "$size" -le "$limit" ] || { echo "too large" >&2; exit 1; }
