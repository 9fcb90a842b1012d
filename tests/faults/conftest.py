"""Stacks to break: one for a file whose tests leave it whole, a new one where a test does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.shop import Shop, calls_to, drawn
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Two partitions, committed often. A stack restarts each of its services at most five times."""
    options = ("--commit-interval-s", "0.1")
    settings = StackSettings(tmp_path_factory.mktemp("stack"), DEFAULT_MODEL, indexer_options=options)
    with running_stack(settings) as stack, calls_to(stack) as calls:
        yield Shop(stack, calls, drawn())
