#!/usr/bin/env bash
# Installs our own code, compiled, into a folder per image: ./SERVICE has vitrine and that one service, ./tools the
# command.
set -euo pipefail

python3 -m pip install --no-deps --no-compile --constraint constraints.txt --target whole .
python3 -m compileall -q --invalidation-mode unchecked-hash whole

for service in whole/services/*/; do
  service=$(basename "$service")
  [ "$service" != __pycache__ ] || continue
  cp -r whole "$service"
  rm -r "$service/bin" "$service/services"
  mkdir "$service/services"
  cp -r whole/services/__init__.py whole/services/__pycache__ "whole/services/$service" "$service/services"
done
cp -r whole tools
rm -r tools/services
