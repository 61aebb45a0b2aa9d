#!/bin/bash
# release.sh FOLDER TOOLS HELM: make what is released of this commit: wheel, sdist, chart, bills of materials, checksums.
# TOOLS is the folder of the developer's programs. The same commit gives the same bytes, whoever makes it, where and when.
set -euo pipefail
mkdir -p "$1"
folder=$(cd "$1" && pwd) tools=$(cd "$2" && pwd) helm=$3
cd "$(dirname "$0")/.."
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} TZ=UTC LC_ALL=C PYTHONHASHSEED=0
umask 022
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$tools/hatchling" build -d "$folder" -t wheel -t sdist >"$scratch/log" || { cat "$scratch/log" >&2; exit 1; }

# helm packs with the time of packing, and modes as they are here: the same files are packed again.
"$helm" package charts/dto-operator --destination "$scratch" >"$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
chart=$(cd "$scratch" && echo dto-operator-*.tgz)
tar -xzf "$scratch/$chart" -C "$scratch"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=ustar \
  -C "$scratch" -cf - dto-operator | gzip -9n >"$folder/$chart"

for environment in operator jobs jobs-cpu; do
  "$tools/cyclonedx-py" requirements "requirements/$environment.txt" --pyproject pyproject.toml --mc-type application \
    --output-reproducible --no-validate --sv 1.6 --of JSON -o "$folder/${chart%.tgz}-$environment.cdx.json" 2>"$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
done

cp manifests/crd.yaml manifests/install.yaml manifests/install-cluster-wide.yaml "$folder/"
chmod 644 "$folder"/*
(cd "$folder" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%f\n' | sort | xargs sha256sum >SHA256SUMS)
