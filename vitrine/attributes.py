"""What a product can say about itself: the values that events, shards and answers share."""

from __future__ import annotations

from collections.abc import Mapping

AttributeValue = str | float | bool | tuple[str, ...]
Attributes = Mapping[str, AttributeValue]
