#!/usr/bin/env bash
# Installs what one image needs into /opt/vitrine/lib, from ./wheels alone, made small and compiled.
#
#   install_packages.sh TARGET     # as in requirements/TARGET.txt
set -euo pipefail

lib=/opt/vitrine/lib
PIP_FIND_LINKS=wheels python3 -m pip install --no-index --no-compile --target $lib \
  --constraint constraints.txt --requirement "requirements/$1.txt"
rm -rf $lib/bin
python3 slim.py $lib
# Never checked against the sources: nobody can change those in a read-only image.
python3 -m compileall -q --invalidation-mode unchecked-hash $lib
