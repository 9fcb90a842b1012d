#!/usr/bin/env bash
# Builds the images, by Docker where there is an engine, else by buildah.
#
#   deploy/docker/build.sh [TARGET…]     # without: all but embedder-gpu, which fetches gigabytes
#
#   BASE=debian:bookworm-slim    the base image: any Debian 12, by tag or digest
#   TAG=0.1.0                    the images' tag: vitrine-TARGET:TAG
#   ANNOY_MARCH=x86-64-v3        the oldest x86-64 that Annoy is to run on
#   BUILDER=buildah              that one, even where there is a Docker engine
#
# What this machine's pip is told of its package index, the build's pip is told too, as a secret that no layer keeps.
# Works with bash 3.2.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
tag=${TAG:-$version}
[ $# -gt 0 ] || set -- embedder-cpu searcher indexer gateway web tools

secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
authorities=${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}

# pip's own list has lines like "global.index-url='…'" and ":env:.index-url='…'"; the last one counts.
pip_setting() { # name
  { python3 -m pip config list 2>/dev/null || true; } | sed -n "s/^[^=]*\.$1='\(.*\)'$/$1 = \1/p" | tail -n 1
}
{
  echo "[global]"
  for name in index-url extra-index-url trusted-host timeout; do pip_setting $name; done
  if [ -f "$authorities" ]; then echo "cert = /run/secrets/ca"; fi
} > "$secrets/pip.conf"
if [ -f "$authorities" ]; then cp "$authorities" "$secrets/ca.crt"; else : > "$secrets/ca.crt"; fi

if [ "${BUILDER:-docker}" = docker ] && docker info >/dev/null 2>&1; then
  build=(docker build)
elif command -v buildah >/dev/null; then
  # Needs neither a daemon nor namespaces of its own, so it works inside a container too.
  build=(buildah bud --isolation chroot --layers --format oci)
else
  echo "missing: Docker, or buildah | apt: sudo apt install buildah | dnf: sudo dnf install buildah" >&2
  exit 2
fi

for target in "$@"; do
  echo "vitrine-$target:$tag" >&2
  "${build[@]}" --file deploy/docker/Dockerfile --target "$target" --tag "vitrine-$target:$tag" \
    --secret "id=pip,src=$secrets/pip.conf" --secret "id=ca,src=$secrets/ca.crt" \
    ${BASE:+--build-arg "BASE=$BASE"} ${ANNOY_MARCH:+--build-arg "ANNOY_MARCH=$ANNOY_MARCH"} \
    --label "org.opencontainers.image.version=$version" .
done
