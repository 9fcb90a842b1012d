"""A drawn shop with a page in front of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.shop import indexed, published
from vitrine import sample
from vitrine.attributes import AttributeValue
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Stack, StackSettings, running_stack
from vitrine.client import VisualSearchClient
from vitrine.sample.look import SampleProduct
from vitrine.sample.queries import SampleQuery
from vitrine.stream.events import ImageRef, Upsert

PRODUCTS: Final = 90
PHOTOS: Final = 9
# What somebody could write into a catalogue to take over the pages of those who look at it.
HOSTILE_TITLE: Final = "<img src=x onerror='window.taken=1'><script>window.taken=1</script>"
HOSTILE_ID: Final = "hostile/<b>\"'&?#"
REFUSED_ID: Final = "no-picture"


@dataclass(frozen=True)
class PageShop:
    """`address` of the page: http://host:port. `photos`: what shoppers search with."""

    address: str
    stack: Stack
    products: Sequence[SampleProduct]
    photos: Sequence[SampleQuery]


@contextmanager
def page_shop(folder: Path, products: int, photos: int, views: int = 1) -> Iterator[PageShop]:
    """All products indexed, one of them with a hostile title; one more is refused."""
    settings = StackSettings(folder, DEFAULT_MODEL, partitions=2, web_port=0)
    sold = sample.catalogue(products)
    with running_stack(settings) as stack, VisualSearchClient(stack.gateway, timeout_s=30) as client:
        events = [_upsert(product, views) for product in sold]
        pictures = (ImageRef("", data=sample.draw(sold[0], 1)),)
        events.append(Upsert(HOSTILE_ID, pictures, sold[0].category, {"title": HOSTILE_TITLE, "price": 1.0}))
        events.append(Upsert(REFUSED_ID, (ImageRef("", data=b"<svg onload='alert(1)'/>"),), "", {}))
        indexed(client, published(client, events))
        address = f"http://{stack.addresses['web'].page}"
        yield PageShop(address, stack, sold, sample.queries(sold, photos))


def _upsert(product: SampleProduct, views: int) -> Upsert:
    attributes: dict[str, AttributeValue] = {
        "title": product.title,
        "article_type": product.article_type,
        "colour": product.colour,
        "pattern": product.pattern,
        "price": product.price,
    }
    images = tuple(ImageRef("", data=sample.draw(product, view)) for view in range(views))
    return Upsert(product.product_id, images, product.category, attributes)
