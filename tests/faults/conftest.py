"""Stacks that tests may break: one a test, or one a file where every test leaves it whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.shop import Shop, calls_to, drawn
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """An empty index of two partitions that commits often."""
    options = ("--commit-interval-s", "0.1")
    settings = StackSettings(tmp_path / "stack", DEFAULT_MODEL, indexer_options=options)
    with running_stack(settings) as stack, calls_to(stack) as calls:
        yield Shop(stack, calls, drawn())
