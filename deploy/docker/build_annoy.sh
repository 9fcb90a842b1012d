#!/usr/bin/env bash
# Builds Annoy's wheel for any processor of the level $ANNOY_MARCH, into ./annoy.
#
# Annoy's setup.py compiles for the processor that it is built on (-march=native). ANNOY_COMPILER_ARGS replaces *all* of
# its arguments, so the others are repeated here: those of version 1.17.3 for Linux.
set -euo pipefail

args=(-D_CRT_SECURE_NO_WARNINGS -fpermissive -O3 -ffast-math -fno-associative-math)
args+=(-DANNOYLIB_MULTITHREADED_BUILD -std=c++14)
case $(uname -m) in
  x86_64) args+=("-march=$ANNOY_MARCH") ;;
  *) ;; # the compiler's own baseline: on aarch64 it has NEON
esac

ANNOY_COMPILER_ARGS=$(IFS=,; echo "${args[*]}")
export ANNOY_COMPILER_ARGS
PIP_CONSTRAINT=$PWD/constraints.txt python3 -m pip wheel --use-pep517 --no-deps --wheel-dir annoy "$(grep '^annoy==' constraints.txt)"
