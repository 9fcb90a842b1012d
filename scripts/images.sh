#!/usr/bin/env bash
# Makes sure that images can be built and run without a Docker engine, for their tests: installs what is missing where
# it can, says how where it cannot.
#
#   scripts/images.sh
#
# Exit status: 0 all is there, 2 something is missing. Works with bash 3.2.
set -euo pipefail

missing=''
for name in buildah podman runc conmon debootstrap objdump; do
  command -v $name >/dev/null || missing="$missing $name"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing buildah, podman, runc and debootstrap for the tests of the images" >&2
  export DEBIAN_FRONTEND=noninteractive
  if apt-get update -qq >&2 &&
    apt-get install -y -qq --no-install-recommends binutils buildah conmon debootstrap podman runc >&2; then
    exit 0
  fi
fi
echo "missing:$missing | apt: sudo apt install binutils buildah conmon debootstrap podman runc |" \
  "dnf: sudo dnf install binutils buildah conmon debootstrap podman runc" >&2
exit 2
