"""A scan as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vitrine.client import messages
from vitrine.client.failures import typed_errors
from vitrine.client.values import ScanSummary
from vitrine.runtime.errors import Unavailable
from vitrine.shards.records import Hit


class Scan:
    """Hits as they are found, in no order; once all have come, `summary` says how complete they are and what they cost.

    To be gone through once. Ending early ends the scan itself.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self.summary: ScanSummary | None = None

    def __iter__(self) -> Iterator[Hit]:
        """Raises what `search` does, ResourceExhausted where too many scans run, Unavailable where it breaks off."""
        try:
            with typed_errors():
                for message in self._call:
                    if message.HasField("coverage"):
                        self.summary = messages.scan_summary(message)
                    yield from map(messages.hit, message.results)
        finally:
            self._call.cancel()
        if self.summary is None:
            raise Unavailable("the scan was cut short")
