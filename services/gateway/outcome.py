"""What shoppers got: every answer counted as complete, partial or failed, and timed. The promises are about these."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

from services.gateway import metrics
from vitrine.runtime.interceptors import code_of
from vitrine.v1 import gateway_pb2 as pb

COMPLETE: Final = "complete"
PARTIAL: Final = "partial"
FAILED: Final = "failed"

_COUNTERS: Final = {outcome: metrics.ANSWERS.labels(outcome) for outcome in (COMPLETE, PARTIAL, FAILED)}
# Not for us to keep: the caller has asked for what cannot be, or has gone away.
_CALLERS_FAULT: Final = ("CANCELLED", "INVALID_ARGUMENT", "NOT_FOUND")


class counting:  # noqa: N801  (used like a function)
    """Around the answering of one call; `answered` is told its response. `timed`: a shopper waits for it."""

    __slots__ = ("_began_s", "_timed")

    def __init__(self, timed: bool) -> None:
        self._timed = timed

    def __enter__(self) -> counting:
        self._began_s = time.perf_counter()
        return self

    def answered(self, response: Any) -> None:
        if self._timed:
            metrics.ANSWER_SECONDS.observe(time.perf_counter() - self._began_s)
        for outcome in _outcomes(response):
            _COUNTERS[outcome].inc()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and code_of(error) not in _CALLERS_FAULT:
            _COUNTERS[FAILED].inc()


def _outcomes(response: Any) -> Iterator[str]:
    """One a search."""
    match response:
        case pb.BatchSearchResponse():
            for result in response.results:
                if result.HasField("response"):
                    yield _of(result.response)
                elif result.error.code not in _CALLERS_FAULT:
                    yield FAILED
        case pb.SearchResponse() | pb.RecommendResponse() | pb.CompleteTheLookResponse():
            yield _of(response)


def _of(response: pb.SearchResponse | pb.RecommendResponse | pb.CompleteTheLookResponse) -> str:
    return PARTIAL if response.coverage.failures else COMPLETE
