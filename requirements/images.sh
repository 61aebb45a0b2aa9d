#!/bin/bash
# images.sh FOLDER TARGET...: build images of this commit with buildah, each as an OCI archive, and say their digests.
# Times are the commit's, and byte code is checked by no time, as the same bytes from the same base and packages need; not held by a test.
# $BASE is the base image; $DTO_BUILDAH holds options of buildah's own, such as --root; $DTO_BUILD those of the build, such as --secret.
set -euo pipefail
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
revision=$(git rev-parse HEAD)
version=$(sed -nE 's/^version = "(.*)"$/\1/p' pyproject.toml | head -n 1)
read -ra storage <<<"${DTO_BUILDAH:-}"
read -ra more <<<"${DTO_BUILD:-}"

for target in "$@"; do
  name=dto-$target:$version
  buildah "${storage[@]}" build-using-dockerfile --quiet --target "$target" --timestamp "$epoch" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$revision" ${BASE:+--build-arg "BASE=$BASE"} "${more[@]}" --tag "localhost/$name" . >/dev/null
  buildah "${storage[@]}" push --quiet --format oci --digestfile "$folder/dto-$target-$version.digest" "localhost/$name" "oci-archive:$folder/dto-$target-$version.tar:$name"
  echo "$(cat "$folder/dto-$target-$version.digest")  dto-$target-$version.tar"
done
