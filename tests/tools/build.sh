#!/bin/bash
# build.sh TOOL...: build the tools that tests/tools/TOOL/go.mod pin; print a folder with binaries for each.
# MODULE/TOOL builds one of the tools of a module that has several (kubernetes/kube-apiserver).
# What was built is kept in $DTO_TOOLS (default: the user's cache folder), named by what it was built from.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${DTO_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/dto-tools}
command -v go >/dev/null || { echo "Go is not installed: the tools of the tests cannot be built" >&2; exit 69; }
mkdir -p "$cache"

flags() { # MODULE: what the linker is told
  local version minor place
  printf -- '-s -w'
  [ "$1" = kubernetes ] || return 0
  # As upstream's own build writes it: Kubernetes tells its version by this.
  version=$(cd "$here/$1" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
  minor=${version#v1.}
  for place in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- ' -X %s' "$place.gitVersion=$version" "$place.gitMajor=1" "$place.gitMinor=${minor%%.*}" "$place.gitTreeState=archive" "$place.gitCommit=module"
  done
}

tags() { # MODULE: what is left out
  # Prometheus without the ways to find targets in every cloud; static targets stay. Its pages are left out by default.
  [ "$1" != prometheus ] || printf remove_all_sd
}

built() { # TOOL or MODULE/TOOL: its folder, built first where it is not there
  local module=${1%%/*} name=${1//\//-} package=tool key folder
  [ "$module" = "$1" ] || package=$(sed -nE "s#^(tool )?[[:space:]]*([^[:space:]]+/${1#*/})\$#\2#p" "$here/$module/go.mod")
  key=$({ cat "$here/$module"/go.{mod,sum}; cd "$here/$module" && go env GOVERSION GOOS GOARCH; } | sha256sum | cut -c1-12)
  folder=$cache/$name-$key
  exec 9>"$cache/$name.lock"
  # One builds, the others wait and find it done. The folder gets its name only when it is whole.
  flock 9
  if [ ! -e "$folder" ]; then
    echo "== building $1 (once; kept in $folder)" >&2
    rm -rf "$folder.part"
    (cd "$here/$module" && CGO_ENABLED=0 GOFLAGS=-mod=readonly nice go build -trimpath -buildvcs=false -tags "$(tags "$module")" -ldflags "$(flags "$module")" -o "$folder.part/" "$package") >&2
    mv "$folder.part" "$folder"
  fi
  flock -u 9
  echo "$folder"
}

for tool in "$@"; do built "$tool"; done
