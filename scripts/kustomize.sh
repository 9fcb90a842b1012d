#!/usr/bin/env bash
# Prints what kustomize makes of a folder: by `kustomize` from version 5 on, or the one within kubectl from 1.27 on.
#
#   scripts/kustomize.sh FOLDER
#   scripts/kustomize.sh --install      installs one into run/tools if there is none, by Go, which on Debian it installs
#                                       too where it runs as root; prints nothing
#
# Exit status: 0 done, 2 there is no kustomize, else what kustomize says. Works with bash 3.2.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v5.0.3 # the last that Go 1.19 builds, which is Debian 12's
tools=$PWD/run/tools

major_of() { # "v5.5.0" or "{Version:kustomize/v4.5.7 …}" → 5, 4
  sed -n 's/.*v\([0-9][0-9]*\)\.[0-9][0-9]*\..*/\1/p' | head -n 1
}
at_least_5() { [ "${1:-0}" -ge 5 ] 2>/dev/null; }

found=''
if command -v kustomize >/dev/null && at_least_5 "$(kustomize version 2>/dev/null | major_of)"; then
  found=kustomize
elif [ -x "$tools/kustomize" ]; then # one that Go has built does not know its version
  found=$tools/kustomize
fi
if [ -z "$found" ] && command -v kubectl >/dev/null; then
  within=$(kubectl version --client 2>/dev/null | grep -i '^kustomize' | major_of || true)
  if at_least_5 "$within"; then found="kubectl kustomize"; fi
fi

if [ "${1:-}" = --install ]; then
  [ -z "$found" ] || exit 0
  if ! command -v go >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Go for the tests of manifests" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends golang-go >&2 || true
  fi
  if command -v go >/dev/null; then
    echo "Installing kustomize $version into run/tools" >&2
    GOBIN=$tools GOFLAGS=-mod=mod go install "sigs.k8s.io/kustomize/kustomize/v5@$version" && exit 0
  fi
fi
if [ -z "$found" ]; then
  echo "missing: kubectl 1.27 or newer, or kustomize 5 | Go 1.19 or newer: scripts/kustomize.sh --install |" \
    "macOS: brew install kubectl | Linux: https://kubernetes.io/docs/tasks/tools/" >&2
  exit 2
fi
case $found in
  "kubectl kustomize") exec kubectl kustomize "$1" ;;
  *) exec "$found" build "$1" ;;
esac
