"""What topic and group are called where nobody says otherwise."""

from __future__ import annotations

from typing import Final

DEFAULT_TOPIC: Final = "vitrine.catalogue"
DEFAULT_GROUP: Final = "vitrine-indexer"
