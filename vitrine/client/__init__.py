"""A typed client for storefront and catalogue code.

with VisualSearchClient("127.0.0.1:7000") as client:
    answer = client.search(image=Path("shoe.jpg").read_bytes(), k=10)
    for hit in answer.hits:
        print(hit.product_id, hit.score)
    if not answer.coverage.complete:
        print("partial:", answer.coverage.failures)
"""

from vitrine.client.aio import AsyncVisualSearchClient
from vitrine.client.answers import (
    Ack,
    Answer,
    Coverage,
    DuplicateGroup,
    DuplicateMember,
    DuplicatesSummary,
    FoundRegion,
    Interest,
    Look,
    LookCategory,
    Plan,
    PredictedCategory,
    Product,
    ProductImage,
    RecentQuery,
    Recommendation,
    Recommendations,
    Refusal,
    ScanSummary,
)
from vitrine.client.blocking import VisualSearchClient
from vitrine.client.failures import RemoteError, typed_error
from vitrine.client.questions import Crop, Deed, Example, Examples, HistoryItem, OrderBy, Search, Thing
from vitrine.client.streams import AsyncStream, Stream
from vitrine.runtime.channels import Credentials

__all__ = [
    "Ack",
    "Answer",
    "AsyncStream",
    "AsyncVisualSearchClient",
    "Coverage",
    "Credentials",
    "Crop",
    "Deed",
    "DuplicateGroup",
    "DuplicateMember",
    "DuplicatesSummary",
    "Example",
    "Examples",
    "FoundRegion",
    "HistoryItem",
    "Interest",
    "Look",
    "LookCategory",
    "OrderBy",
    "Plan",
    "PredictedCategory",
    "Product",
    "ProductImage",
    "RecentQuery",
    "Recommendation",
    "Recommendations",
    "Refusal",
    "RemoteError",
    "ScanSummary",
    "Search",
    "Stream",
    "Thing",
    "VisualSearchClient",
    "typed_error",
]
