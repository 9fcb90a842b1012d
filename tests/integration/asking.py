"""Searches by the contract's own messages, and the drawn products that they are about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tests.integration.shop import DIM, TIMEOUT_S, Drawn, Shop
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import searcher_pb2
from vitrine.vectors import Vectors, from_wire, unit


def search(shop: Shop, **fields: Any) -> pb.SearchResponse:
    return shop.calls.search.Search(pb.SearchRequest(**fields), timeout=TIMEOUT_S)


def examples(likes: Iterable[Drawn], dislikes: Iterable[Drawn] = ()) -> pb.Examples:
    return pb.Examples(positive=map(named, likes), negative=map(named, dislikes))


def named(product: Drawn) -> pb.Example:
    return pb.Example(product_id=product.product_id)


def one_of(shop: Shop, category: str, skip: int = 0) -> Drawn:
    return [product for product in shop.products if product.category == category][skip]


def vector_by_id(shop: Shop, product_id: str) -> Vectors:
    request = searcher_pb2.GetProductsRequest(product_ids=[product_id], with_vectors=True)
    images = shop.calls.searcher.GetProducts(request, timeout=TIMEOUT_S).products[0].images
    return unit_of(np.sum([from_wire(image.vector, DIM) for image in images], axis=0))


def unit_of(vector: Vectors) -> Vectors:
    scaled: Vectors = unit(vector[np.newaxis, :])[0]
    return scaled


def scores(response: pb.SearchResponse) -> list[float]:
    return [hit.score for hit in response.results]
