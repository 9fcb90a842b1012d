#!/usr/bin/env bash
# Brings .venv up to date with pyproject.toml and constraints.txt; does nothing when it already is.
#
#   scripts/setup.sh [--all] EXTRA…
#
# Adds the extra `annoy` where it can be built. --all refuses to go on without it. Works with bash 3.2.
# Says what it does on stderr, so that the output of `make demo ONCE=1` is the demo's alone.
set -euo pipefail
cd "$(dirname "$0")/.."

all=''
[ "${1:-}" != "--all" ] || { all=--all; shift; }

venv=.venv
stamp=$venv/.installed # "<checksum of the two files> extra extra …"
checksum=$(cat pyproject.toml constraints.txt | cksum | tr ' ' -)

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
venv_version=$(version_of $venv/bin/python || true)

if [ -n "${PYTHON:-}" ] && [ -n "$venv_version" ] && [ "$(version_of "$PYTHON")" != "$venv_version" ]; then
  echo "$venv has Python $venv_version, PYTHON=$PYTHON is another: run 'make clean' first." >&2
  exit 2
fi

installed=''
if [ -f $stamp ] && [ -n "$venv_version" ]; then
  read -r stamped installed < $stamp
  [ "$stamped" = "$checksum" ] || installed=''
fi

holds_all() { # extras
  for extra in "$@"; do
    case " $installed " in *" $extra "*) ;; *) return 1 ;; esac
  done
}
! holds_all annoy "$@" || exit 0

[ -z "$venv_version" ] || export PYTHON=$venv/bin/python
found=$(bash scripts/preflight.sh $all)
python=$(printf '%s\n' "$found" | sed -n 's/^python=//p')
case $found in *annoy=yes*) set -- annoy "$@" ;; esac
! holds_all "$@" || exit 0

if [ -z "$venv_version" ]; then
  echo "Creating $venv with $python" >&2
  "$python" -m venv --clear $venv
fi

wanted=$(printf '%s,' "$@")
echo "Installing vitrine[${wanted%,}] into $venv" >&2
if command -v uv >/dev/null; then
  uv pip install --quiet --python $venv/bin/python -c constraints.txt -e ".[${wanted%,}]" >&2
else
  $venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[${wanted%,}]" >&2
fi

echo "$checksum" $(printf '%s\n' "$@" $installed | sort -u) > $stamp
