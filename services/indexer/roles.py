"""Which roles may make which call of the indexer. One that is not here nobody may make, once tokens are asked for."""

from __future__ import annotations

from typing import Final

from vitrine.runtime.access import ADMIN, SEARCH

_INDEXER: Final = {
    "Roll": {ADMIN},
    "Compact": {ADMIN},
    "Collect": {ADMIN},
    "Rollback": {ADMIN},
    "Resume": {ADMIN},
    "GetStatus": {SEARCH, ADMIN},
}

ROLES: Final = {f"/vitrine.v1.Indexer/{call}": frozenset(roles) for call, roles in _INDEXER.items()}
