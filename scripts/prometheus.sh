#!/usr/bin/env bash
# Makes sure that there is a Prometheus, for the tests of rules and dashboards: installs it where it can, says how where
# it cannot.
#
#   scripts/prometheus.sh
#
# Exit status: 0 there is one, 2 there is none. Works with bash 3.2.
set -euo pipefail

! command -v prometheus >/dev/null || ! command -v promtool >/dev/null || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing prometheus for the tests of rules and dashboards" >&2
  export DEBIAN_FRONTEND=noninteractive
  if apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends prometheus >&2; then
    # Only the programs are wanted: the package's own service would watch this machine from now on.
    { invoke-rc.d prometheus stop && update-rc.d prometheus disable; } >/dev/null 2>&1 || true
    exit 0
  fi
fi
echo "missing: Prometheus | apt: sudo apt install prometheus | dnf: sudo dnf install golang-github-prometheus |" \
  "macOS: brew install prometheus" >&2
exit 2
