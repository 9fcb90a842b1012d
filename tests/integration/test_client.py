"""Both clients and a real gateway: asyncio's answers are the other's, and what comes bit by bit comes whole."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing

import numpy as np
import pytest

from tests.integration.shop import ANY_VECTOR, TIMEOUT_S, Shop, upsert
from vitrine.client import Answer, AsyncVisualSearchClient, Search, VisualSearchClient
from vitrine.runtime.errors import InvalidArgument, NotFound, Unavailable


async def test_both_clients_get_the_same_answers(shop: Shop) -> None:
    picture, product = shop.products[0].pictures[0], shop.products[5].product_id
    searches = [Search(image=picture), Search(product_id=product, k=30), Search(vector=ANY_VECTOR, exact=True)]
    async with _client(shop) as client:
        together = await asyncio.gather(
            client.search(image=picture),
            client.search(product_id=product, k=30),
            client.search(vector=ANY_VECTOR, exact=True),
        )
        in_a_batch = await client.search_batch(searches)
    alone = [
        shop.calls.client.search(image=picture),
        shop.calls.client.search(product_id=product, k=30),
        shop.calls.client.search(vector=ANY_VECTOR, exact=True),
    ]
    for answer, batched, expected in zip(together, in_a_batch, alone, strict=True):
        assert isinstance(batched, Answer)
        assert answer.hits == batched.hits == expected.hits


async def test_pages_and_scans_come_bit_by_bit(shop: Shop) -> None:
    whole = shop.calls.client.search(vector=ANY_VECTOR, k=1_000, exact=True)
    async with _client(shop) as client:
        paged = [hit async for page in client.pages(Search(vector=ANY_VECTOR, k=50)) for hit in page.hits]
        scan = client.scan(vector=ANY_VECTOR, min_score=-1)
        scanned = {hit.product_id async for hit in scan}
    assert paged == whole.hits
    assert scanned == {hit.product_id for hit in whole.hits}
    assert scan.summary is not None
    assert scan.summary.coverage == whole.coverage


async def test_a_scan_that_is_ended_early_makes_room_for_others(shop: Shop) -> None:
    async with _client(shop) as client:
        for _ in range(5):
            async with aclosing(aiter(client.scan(vector=ANY_VECTOR, min_score=-1))) as hits:
                await anext(hits)
        assert len([hit async for hit in client.scan(vector=ANY_VECTOR, min_score=-1)]) == len(shop.products)


async def test_what_is_published_can_be_read_at_once(open_shop: Shop) -> None:
    picture = open_shop.products[30].pictures[0]
    async with _client(open_shop) as client:
        events = [upsert("async-good", picture, category="Async"), upsert("async-bad", b"no picture")]
        acks = [ack async for ack in client.publish(events)]
        places = [ack.position for ack in acks if ack.position]
        product = await client.product("async-good", places, with_vectors=True)
        refusals = await client.refusals(places)
        answer = await client.search(vector=product.images[0].vector, k=1, at_least=places)
    assert [ack.product_id for ack in acks] == ["async-good", "async-bad"]
    assert product.category == "Async"
    assert [refusal.product_id for refusal in refusals] == ["async-bad"]
    assert answer.hits[0].score > 0.999


@pytest.mark.parametrize("product", range(3))
def test_the_vectors_of_a_product_find_it(shop: Shop, product: int) -> None:
    asked = shop.products[product]
    images = shop.calls.client.product(asked.product_id, with_vectors=True).images
    for image in images:
        assert image.vector is not None
        assert image.vector.dtype == np.float32
        assert image.vector.shape == ANY_VECTOR.shape
        assert shop.calls.client.search(vector=image.vector, k=1).hits[0].product_id == asked.product_id
    assert len(images) == len(asked.pictures)
    assert shop.calls.client.product(asked.product_id).images[0].vector is None


async def test_errors_have_types_and_name_the_field(shop: Shop) -> None:
    async with _client(shop) as client:
        with pytest.raises(InvalidArgument) as caught:
            await client.search(product_id=shop.products[0].product_id, k=0)
        with pytest.raises(NotFound):
            await client.search(product_id="never-was")
    assert caught.value.field == "page_size"


async def test_nobody_at_the_address_is_said_in_time() -> None:
    async with AsyncVisualSearchClient("127.0.0.1:1", timeout_s=1.0) as client:
        with pytest.raises(Unavailable):
            await client.status()


def test_every_call_of_the_contract_has_a_call_here(shop: Shop) -> None:
    calls = {name.replace("_", "") for name in vars(VisualSearchClient) if not name.startswith("_")}
    for stub in (shop.calls.search, shop.calls.catalogue):
        for name, _ in inspect.getmembers(stub, callable):
            if not name.startswith("_"):
                assert _NAMES.get(name, name.lower()) in calls, name


_NAMES = {
    "BatchSearch": "searchbatch",
    "GetProduct": "product",
    "GetThumbnail": "thumbnail",
    "GetIndexStatus": "status",
    "ListRecentQueries": "recentqueries",
    "ListDeadLetters": "refusals",
}


def _client(shop: Shop) -> AsyncVisualSearchClient:
    return AsyncVisualSearchClient(shop.stack.gateway, timeout_s=TIMEOUT_S)
