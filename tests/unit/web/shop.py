"""A gateway that remembers what it is asked and answers what it is told to."""

# ruff: noqa: N802  (the names of the contract's calls)

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from vitrine.runtime.context import Context
from vitrine.runtime.errors import VitrineError
from vitrine.v1 import catalogue_pb2, catalogue_pb2_grpc, filter_pb2, gateway_pb2, gateway_pb2_grpc, searcher_pb2

SHA256 = bytes(range(32))
REFUSAL = catalogue_pb2.ItemError(code="UNAVAILABLE", message="partition 0: away")


@dataclass
class FakeShop(gateway_pb2_grpc.VisualSearchServicer, catalogue_pb2_grpc.CatalogueServicer):
    """`fails`: what every call ends with instead; `refused`: the searches of a batch that have an error instead."""

    asked: list[Message] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    fails: VitrineError | None = None
    letters: int = 3
    refused: Collection[int] = ()

    @property
    def last(self) -> Any:
        return self.asked[-1]

    async def Search(self, request: gateway_pb2.SearchRequest, context: Context) -> gateway_pb2.SearchResponse:
        self._note(request, context)
        response = gateway_pb2.SearchResponse(
            results=[hit("shoe-1", 0.91), hit("shoe-2", 0.83)],
            coverage=coverage(),
            model_id="m" * 64,
            query_id="0f" * 16,
            next_page_token="next",  # noqa: S106  (no password)
            recall=0.995,
            facets=[facet("category", "Shoes", 2)],
        )
        response.index_time.FromSeconds(1_700_000_000)
        if request.crop_mode == gateway_pb2.CROP_MODE_AUTO:
            response.region.no_product_score = 0.75
        if request.category_mode == gateway_pb2.CATEGORY_MODE_PREDICT:
            response.predicted_category.category = "Shoes"
            response.predicted_category.confidence = 0.5
        return response

    async def BatchSearch(
        self, request: gateway_pb2.BatchSearchRequest, context: Context
    ) -> gateway_pb2.BatchSearchResponse:
        self._note(request, context)
        response = gateway_pb2.BatchSearchResponse()
        for number, search in enumerate(request.searches):
            if number in self.refused:
                response.results.add().error.CopyFrom(REFUSAL)
                continue
            results = [hit(f"{number}-{place}", 0.1) for place in range(search.page_size)]
            response.results.add(response=gateway_pb2.SearchResponse(results=results))
        return response

    async def Recommend(self, request: gateway_pb2.RecommendRequest, context: Context) -> gateway_pb2.RecommendResponse:
        self._note(request, context)
        return gateway_pb2.RecommendResponse(
            results=[gateway_pb2.Recommendation(hit=hit("bag-1", 0.5), interest=0, because_product_id="bag-9")],
            interests=[gateway_pb2.Interest(product_id="bag-9", weight=1.0, history_product_ids=["bag-9"])],
            coverage=coverage(),
            unknown_product_ids=["gone"],
            recall=1.0,
        )

    async def CompleteTheLook(
        self, request: gateway_pb2.CompleteTheLookRequest, context: Context
    ) -> gateway_pb2.CompleteTheLookResponse:
        self._note(request, context)
        return gateway_pb2.CompleteTheLookResponse(
            categories=[gateway_pb2.LookCategory(category="Bags", results=[hit("bag-1", 0.6)])],
            coverage=coverage(),
            own_category="Shoes",
            affinity="style",
        )

    async def SendFeedback(
        self, request: gateway_pb2.SendFeedbackRequest, context: Context
    ) -> gateway_pb2.SendFeedbackResponse:
        self._note(request, context)
        return gateway_pb2.SendFeedbackResponse()

    async def ListRecentQueries(
        self, request: gateway_pb2.ListRecentQueriesRequest, context: Context
    ) -> gateway_pb2.ListRecentQueriesResponse:
        self._note(request, context)
        query = gateway_pb2.RecentQuery(method="Search", kind="image", results=[hit("shoe-1", 0.9)], handled_ms=4.5)
        return gateway_pb2.ListRecentQueriesResponse(queries=[query])

    async def GetProduct(
        self, request: gateway_pb2.GetProductRequest, context: Context
    ) -> gateway_pb2.GetProductResponse:
        self._note(request, context)
        images = [searcher_pb2.IndexedImage(image_id="0", sha256=SHA256)]
        return gateway_pb2.GetProductResponse(
            product=searcher_pb2.Product(product_id=request.product_id, category="Shoes", images=images)
        )

    async def GetThumbnail(
        self, request: gateway_pb2.GetThumbnailRequest, context: Context
    ) -> gateway_pb2.GetThumbnailResponse:
        self._note(request, context)
        return gateway_pb2.GetThumbnailResponse(webp=b"RIFF....WEBP")

    async def GetIndexStatus(
        self, request: gateway_pb2.GetIndexStatusRequest, context: Context
    ) -> gateway_pb2.GetIndexStatusResponse:
        self._note(request, context)
        return status()

    async def ListDeadLetters(
        self, request: catalogue_pb2.ListDeadLettersRequest, context: Context
    ) -> AsyncIterator[catalogue_pb2.DeadLetter]:
        self._note(request, context)
        for offset in range(self.letters):
            place = catalogue_pb2.LogPosition(partition=0, offset=offset)
            yield catalogue_pb2.DeadLetter(position=place, product_id=f"bad-{offset}", reason="images[0]: is empty")

    def _note(self, request: Message, context: Context) -> None:
        self.asked.append(request)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        if self.fails:
            raise self.fails


def hit(product_id: str, score: float) -> searcher_pb2.Hit:
    attributes = {
        "title": catalogue_pb2.AttributeValue(string="<script>alert(1)</script>"),
        "price": catalogue_pb2.AttributeValue(number=29.5),
        "new": catalogue_pb2.AttributeValue(bool=True),
        "sizes": catalogue_pb2.AttributeValue(string_list=catalogue_pb2.StringList(values=["S", "M"])),
    }
    return searcher_pb2.Hit(
        product_id=product_id, image_id="0", sha256=SHA256, score=score, category="Shoes", attributes=attributes
    )


def coverage() -> gateway_pb2.Coverage:
    failures = [searcher_pb2.PartitionFailure(partition=1, reason="away")]
    return gateway_pb2.Coverage(partitions_total=2, partitions_answered=1, rows_searched=100, failures=failures)


def facet(name: str, value: str, products: int) -> gateway_pb2.Facet:
    made = gateway_pb2.Facet(field=name, products=products)
    made.counts.add(products=products).value.string = value
    return made


def status() -> gateway_pb2.GetIndexStatusResponse:
    """Two partitions; what they have is not the same."""
    shards = [
        searcher_pb2.ShardStatus(shard_id="", kind="fresh", method="exact", rows=5, rows_live=5, recall_at_10=1.0),
        searcher_pb2.ShardStatus(
            shard_id="ab" * 8,
            kind="rolled",
            method="tree",
            rows=90,
            rows_live=80,
            recall_at_10=0.99,
            recall_at_100=0.98,
        ),
    ]
    partitions = [
        searcher_pb2.PartitionStatus(
            partition=number,
            rows_live=85,
            products_live=60,
            shards=shards,
            probed_queries=number,
            probed_recall=0.97 * number,
            categories=[
                searcher_pb2.CategoryCount(category="Shoes", rows=10),
                searcher_pb2.CategoryCount(category="Bags", rows=30 * number),
            ],
            fields=[
                _facts("attributes.price", "number"),
                _facts("attributes.colour", "string"),
                _facts("attributes.brand", *(("string",) if number else ("string", "number"))),
            ],
        )
        for number in range(2)
    ]
    return gateway_pb2.GetIndexStatusResponse(
        index="default", dim=4, metric="angular", model_id="m" * 64, partitions_total=2, partitions=partitions
    )


def _facts(name: str, *kinds: str) -> filter_pb2.FieldFacts:
    return filter_pb2.FieldFacts(field=name, kinds=kinds)
