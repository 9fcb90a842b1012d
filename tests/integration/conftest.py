"""Two stacks for all tests here: one that holds a catalogue and is only read, one that tests write to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.shop import Shop, calls_to, drawn, indexed, published
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Stack, StackSettings, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(StackSettings(tmp_path_factory.mktemp("stack"), DEFAULT_MODEL)) as running:
        yield running


@pytest.fixture(scope="session")
def shop(stack: Stack) -> Iterator[Shop]:
    """120 products, all of them indexed. Only read from it."""
    products = drawn()
    with calls_to(stack) as calls:
        positions = published(calls.client, [product.upsert() for product in products])
        indexed(calls.client, positions)
        yield Shop(stack, calls, products)


@pytest.fixture(scope="session")
def open_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Empty at first; every test brings product ids of its own."""
    options = ("--commit-interval-s", "0.2")
    settings = StackSettings(tmp_path_factory.mktemp("open"), DEFAULT_MODEL, indexer_options=options)
    with running_stack(settings) as running, calls_to(running) as calls:
        yield Shop(running, calls, drawn())
