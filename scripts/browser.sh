#!/usr/bin/env bash
# Makes sure that there is a Chromium, for the tests of the page: installs it where it can, says how where it cannot.
#
#   scripts/browser.sh
#
# Exit status: 0 there is one, 2 there is none. Works with bash 3.2.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
  ! command -v $name >/dev/null || exit 0
done
if [ "$(uname -s)" = Darwin ] && [ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ]; then
  exit 0
fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing chromium for the tests of the page" >&2
  export DEBIAN_FRONTEND=noninteractive
  if apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >&2; then
    exit 0
  fi
fi
echo "missing: Chromium | apt: sudo apt install chromium | dnf: sudo dnf install chromium |" \
  "macOS: brew install --cask google-chrome" >&2
exit 2
