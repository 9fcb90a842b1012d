#!/usr/bin/env bash
# Says in one line each what this machine lacks, with the command that brings it on apt, dnf and macOS.
#
#   scripts/preflight.sh [--all]      PYTHON=… chooses an interpreter, CXX=… a compiler
#
# Prints for scripts/setup.sh:  python=PATH  and  annoy=yes|no.  Everything for people goes to stderr.
# Exit status: 0 ready (without a compiler: exact search only), 2 something needed is missing.
# --all: everything is needed. Works with bash 3.2.
set -u
cd "$(dirname "$0")/.." || exit 2

all=no
[ "${1:-}" = "--all" ] && all=yes
failed=no

missing() { # what, apt, dnf, macOS
  printf 'missing: %s | apt: %s | dnf: %s | macOS: %s\n' "$1" "$2" "$3" "$4" >&2
}

# Three lines about an interpreter: its version and whether it has venv; the folder of its headers; its C++ compiler.
facts_of() {
  "$1" -c '
import importlib.util, sys, sysconfig
venv = importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")
print("%d.%d" % sys.version_info[:2], "venv" if venv else "no-venv")
print(sysconfig.get_path("include"))
print(sysconfig.get_config_var("CXX") or "c++")
' 2>/dev/null
}

# The first suitable interpreter that can make a venv; failing that, the first suitable one.
python='' facts=''
if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.13 python3.12 python3.11 python3; fi
for candidate in "$@"; do
  candidate_facts=$(facts_of "$candidate") || continue
  case $candidate_facts in
    3.1[123]" venv"*) python=$candidate facts=$candidate_facts; break ;;
    3.1[123]" "*) [ -n "$python" ] || { python=$candidate facts=$candidate_facts; } ;;
  esac
done

if [ -z "$python" ]; then
  missing "Python 3.11, 3.12 or 3.13${PYTHON:+ (PYTHON=$PYTHON is not one)}" \
    "sudo apt install python3 python3-venv python3-dev (Ubuntu 22.04: python3.11, python3.11-venv, python3.11-dev)" \
    "sudo dnf install python3.12 python3.12-devel" "brew install python@3.13"
  exit 2
fi
{ read -r version venv; read -r headers; read -r compiler; } <<EOF
$facts
EOF
compiler=${CXX:-$compiler}

if [ "$venv" = no-venv ]; then
  missing "Python's venv module" \
    "sudo apt install python$version-venv" "sudo dnf install python$version" "brew install python@$version"
  failed=yes
fi

needed_gb=3
[ $all = yes ] && needed_gb=10
free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
if [ "$free_kb" -lt $((needed_gb * 1024 * 1024)) ]; then
  missing "$needed_gb GB of free disk here ($((free_kb / 1024)) MB left)" \
    "sudo apt clean" "sudo dnf clean all" "brew cleanup"
  failed=yes
fi

# macOS has a c++ that only offers to install itself, so ask xcode-select first. $compiler may carry flags: no quotes.
annoy=yes
compiles() {
  [ "$(uname -s)" != Darwin ] || xcode-select -p >/dev/null 2>&1 || return 1
  echo 'int main() { return 0; }' | $compiler -x c++ -fsyntax-only - >/dev/null 2>&1
}
if ! compiles; then
  missing "a C++ compiler (${compiler%% *})" \
    "sudo apt install g++" "sudo dnf install gcc-c++" "xcode-select --install"
  annoy=no
fi
if [ ! -f "$headers/Python.h" ]; then
  missing "Python's C headers (Python.h)" \
    "sudo apt install python$version-dev" "sudo dnf install python$version-devel" "brew install python@$version"
  annoy=no
fi
if [ $annoy = no ]; then
  if [ $all = yes ]; then
    failed=yes
  else
    echo "Without them Annoy cannot be built: demo and tests will use exact search only." >&2
  fi
fi

[ $failed = no ] || exit 2
printf 'python=%s\nannoy=%s\n' "$(command -v "$python")" $annoy
