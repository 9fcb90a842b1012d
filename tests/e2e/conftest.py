"""One `vitrine up` for all tests that only use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import running_up
from vitrine.cli.stack import known_addresses
from vitrine.client import VisualSearchClient


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which `vitrine up` runs."""
    folder = tmp_path_factory.mktemp("e2e") / "up"
    with running_up(folder, env={"VITRINE_INDEXER_COMMIT_INTERVAL_S": "0.1"}):
        yield folder


@pytest.fixture(scope="session")
def client(folder: Path) -> Iterator[VisualSearchClient]:
    """For looking at what a command has done."""
    with VisualSearchClient(known_addresses(folder)["gateway"]["grpc"]) as client:
        yield client
