"""A typed client for storefront and catalogue code.

with VisualSearchClient("127.0.0.1:7000") as client:
    answer = client.search(image=Path("shoe.jpg").read_bytes(), k=10)
    for hit in answer.hits:
        print(hit.product_id, hit.score)
    if not answer.coverage.complete:
        print("partial:", answer.coverage.failures)
"""

from vitrine.client.calls import VisualSearchClient
from vitrine.client.failures import RemoteError, typed_error
from vitrine.client.scan import Scan
from vitrine.client.values import Ack, Answer, Coverage, Plan, Product, Refusal, ScanSummary, Search

__all__ = [
    "Ack",
    "Answer",
    "Coverage",
    "Plan",
    "Product",
    "Refusal",
    "RemoteError",
    "Scan",
    "ScanSummary",
    "Search",
    "VisualSearchClient",
    "typed_error",
]
