"""Step 5: what is remembered of an answer. That it was given, for ops; what it showed, where shoppers see it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain, islice
from typing import TypeAlias

from services.gateway.feedback import ShopperFeedback
from services.gateway.recent import Given, Recent, Response, hits_of
from vitrine.stream.feedback import MAX_ASKING, MAX_SHOWN, Impression
from vitrine.v1 import gateway_pb2 as pb

Request: TypeAlias = pb.SearchRequest | pb.RecommendRequest | pb.CompleteTheLookRequest


class Answered:
    """Hears of every answer just before it is sent."""

    def __init__(self, feedback: ShopperFeedback, recent: Recent) -> None:
        self._feedback = feedback
        self._recent = recent

    def note(self, request: Request, response: Response, began_s: float) -> None:
        """`began_s`: when the call came, by time.perf_counter."""
        now_us = time.time_ns() // 1_000
        asking = _asking(request, response)
        method, surface = _method(request), request.surface
        if surface:
            self._feedback.shown(_impression(surface, method, asking, response, now_us))
        handled_ms = (time.perf_counter() - began_s) * 1_000
        self._recent.note(Given(now_us, method, _kind(request), surface, asking, response, handled_ms))

    def note_batch(self, requests: Sequence[pb.SearchRequest], response: pb.BatchSearchResponse) -> None:
        """Only what was shown: a batch of many would push all other queries out of the list of recent ones."""
        now_us = time.time_ns() // 1_000
        for request, result in zip(requests, response.results, strict=True):
            if request.surface and result.HasField("response"):
                found = result.response
                asking = _asking(request, found)
                self._feedback.shown(_impression(request.surface, _method(request), asking, found, now_us))


def _impression(surface: str, method: str, asking: Sequence[str], response: Response, now_us: int) -> Impression:
    return Impression(
        query_id=response.query_id,
        surface=surface,
        method=method,
        query_product_ids=tuple(asking[:MAX_ASKING]),
        product_ids=tuple(hit.product_id for hit in islice(hits_of(response), MAX_SHOWN)),
        model_id=response.model_id,
        time_us=now_us,
    )


def _method(request: Request) -> str:
    """The name of the call."""
    return str(request.DESCRIPTOR.name.removesuffix("Request"))


def _kind(request: Request) -> str:
    return "history" if isinstance(request, pb.RecommendRequest) else str(request.WhichOneof("query"))


def _asking(request: Request, response: Response) -> list[str]:
    """The products that asked, those that count most first; of a picture or a vector none."""
    if isinstance(response, pb.RecommendResponse):
        medoids = (interest.product_id for interest in response.interests)
        others = chain.from_iterable(interest.history_product_ids for interest in response.interests)
        return list(dict.fromkeys(chain(medoids, others)))
    if isinstance(request, pb.SearchRequest) and request.HasField("examples"):
        return [example.product_id for example in request.examples.positive if example.HasField("product_id")]
    return [request.product_id] if not isinstance(request, pb.RecommendRequest) and request.product_id else []
