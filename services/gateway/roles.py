"""Which roles may make which call of the gateway. One that is not here nobody may make, once tokens are asked for."""

from __future__ import annotations

from typing import Final

from vitrine.runtime.access import ADMIN, PUBLISH, SEARCH

_VISUAL_SEARCH: Final = {
    "Search": {SEARCH},
    "BatchSearch": {SEARCH},
    "Scan": {SEARCH},
    "Recommend": {SEARCH},
    "CompleteTheLook": {SEARCH},
    "FindDuplicates": {SEARCH},
    "SendFeedback": {SEARCH},
    # What others have asked.
    "ListRecentQueries": {ADMIN},
    "GetProduct": {SEARCH},
    "GetThumbnail": {SEARCH},
    # What publishes waits until it can be found, and looks up how far the index is.
    "GetIndexStatus": {SEARCH, PUBLISH, ADMIN},
}
_CATALOGUE: Final = {
    "Publish": {PUBLISH},
    "PublishLive": {PUBLISH},
    "ListDeadLetters": {PUBLISH, ADMIN},
}

ROLES: Final = {
    f"/vitrine.v1.{service}/{call}": frozenset(roles)
    for service, calls in (("VisualSearch", _VISUAL_SEARCH), ("Catalogue", _CATALOGUE))
    for call, roles in calls.items()
}
