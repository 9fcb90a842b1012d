"""Pages of one answer, while the catalogue stands still and while it changes."""

from __future__ import annotations

import pytest

from tests.integration.shop import ANY_VECTOR, Shop, indexed, published, upsert
from vitrine.client import Search
from vitrine.filters import Filter, any_string
from vitrine.runtime.errors import InvalidArgument
from vitrine.stream.events import Delete


@pytest.mark.parametrize("k", [1, 7, 50, 119, 120])
def test_pages_joined_are_the_whole_answer(shop: Shop, k: int) -> None:
    pages = list(shop.calls.client.pages(Search(vector=ANY_VECTOR, k=k)))
    whole = shop.calls.client.search(vector=ANY_VECTOR, k=1_000)
    assert [hit for page in pages for hit in page.hits] == whole.hits
    assert whole.next_page_token == ""


def test_pages_may_differ_in_size(shop: Shop) -> None:
    client = shop.calls.client
    picture = shop.products[3].pictures[0]
    first = client.search(image=picture, k=10)
    second = client.search(image=picture, k=25, page_token=first.next_page_token)
    assert [*first.hits, *second.hits] == client.search(image=picture, k=35).hits


def test_pages_of_a_product_and_of_a_filter(shop: Shop) -> None:
    client = shop.calls.client
    wanted = Filter(none_of=(any_string("attributes.colour", "Black"),))
    search = Search(product_id=shop.products[5].product_id, k=20, filter=wanted, min_score=-1)
    whole = client.search(product_id=search.product_id, k=1_000, filter=wanted, min_score=-1)
    assert [hit for page in client.pages(search) for hit in page.hits] == whole.hits


def test_equal_scores_are_split_between_pages_without_loss(open_shop: Shop) -> None:
    client = open_shop.calls.client
    names = [f"twin-{number:02d}" for number in range(30)]
    picture = open_shop.products[9].pictures[0]
    indexed(client, published(client, [upsert(name, picture, category="Twins") for name in names]))
    search = Search(image=picture, k=4, filter=Filter(all_of=(any_string("category", "Twins"),)))
    assert [hit.product_id for page in client.pages(search) for hit in page.hits] == names


def test_nothing_comes_twice_and_nothing_that_stayed_is_skipped_while_products_come_and_go(open_shop: Shop) -> None:
    client = open_shop.calls.client
    stay = [f"page-{number:02d}" for number in range(24)]
    go = [f"gone-{number:02d}" for number in range(8)]
    pictures = [picture for product in open_shop.products for picture in product.pictures[:1]]
    category = "Paged"
    events = [upsert(name, pictures[place], category=category) for place, name in enumerate([*stay, *go])]
    indexed(client, published(client, events))
    found: list[str] = []
    search = Search(image=pictures[3], k=5, filter=Filter(all_of=(any_string("category", category),)))
    for number, page in enumerate(client.pages(search)):
        found += [hit.product_id for hit in page.hits]
        if number < len(go):
            new = upsert(f"come-{number:02d}", pictures[40 + number], category=category)
            indexed(client, published(client, [Delete(go[number]), new]))
    assert len(found) == len(set(found))
    assert set(stay) <= set(found)


def test_another_querys_token_is_refused(shop: Shop) -> None:
    token = shop.calls.client.search(vector=ANY_VECTOR).next_page_token
    with pytest.raises(InvalidArgument, match=r"^page_token: belongs to another query"):
        shop.calls.client.search(product_id=shop.products[0].product_id, page_token=token)
