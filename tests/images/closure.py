"""What a program can ever import, at its start or later, by reading the sources."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from typing import Final

import grimp

_OURS: Final = ("vitrine", "services")
# Imported for the names of types alone.
_TYPES_ONLY: Final = frozenset({"_typeshed"})
# Imported for the extra `bench` alone, which no image has: the command says so.
_LEFT_OUT: Final = frozenset({"vitrine.cli.bench.certificates"})
# Installed with another package, and imported by it alone.
_NAMESPACES: Final = {"google": "protobuf"}


def imported_modules(program: str) -> list[str]:
    """The modules of ours and the packages of others."""
    graph = _graph()
    seen, waiting = {program}, [program]
    while waiting:
        module = waiting.pop()
        for found in graph.find_modules_directly_imported_by(module):
            for name in _with_parents(found):
                if name not in seen | _LEFT_OUT and name in graph.modules:
                    seen.add(name)
                    waiting.append(name)
    return sorted(name for name in seen if name.split(".")[0] not in sys.stdlib_module_names | _TYPES_ONLY)


def imported_distributions(program: str) -> set[str]:
    """What has to be installed for it, as a requirement names it."""
    packages = {name.split(".")[0] for name in imported_modules(program)} - set(_OURS)
    known = packages_distributions()
    return {_NAMESPACES.get(package) or known[package][0].lower().replace("_", "-") for package in packages}


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(*_OURS, include_external_packages=True, cache_dir=None)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[: count + 1]) for count in range(len(parts)))
