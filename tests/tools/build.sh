#!/bin/bash
# build.sh TOOL...: build the tools that tests/tools/TOOL/go.mod pin; print a folder with binaries for each.
# What was built is kept in $DTO_TOOLS (default: the user's cache folder), named by what it was built from.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${DTO_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/dto-tools}
command -v go >/dev/null || { echo "Go is not installed: the tools of the tests cannot be built" >&2; exit 69; }
mkdir -p "$cache"

built() { # TOOL: its folder, built first where it is not there
  local tool=$1 key folder
  key=$({ cat "$here/$tool"/go.{mod,sum}; cd "$here/$tool" && go env GOVERSION GOOS GOARCH; } | sha256sum | cut -c1-12)
  folder=$cache/$tool-$key
  exec 9>"$cache/$tool.lock"
  # One builds, the others wait and find it done. The folder gets its name only when it is whole.
  flock 9
  if [ ! -e "$folder" ]; then
    echo "== building $tool (once; kept in $folder)" >&2
    rm -rf "$folder.part"
    (cd "$here/$tool" && CGO_ENABLED=0 GOFLAGS=-mod=readonly nice go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$folder.part/" tool) >&2
    mv "$folder.part" "$folder"
  fi
  flock -u 9
  echo "$folder"
}

for tool in "$@"; do built "$tool"; done
