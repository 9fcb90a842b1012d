"""One `vitrine up` for all tests that only use it, and pictures to ingest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import running_up


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which `vitrine up` runs."""
    folder = tmp_path_factory.mktemp("e2e") / "up"
    with running_up(folder):
        yield folder
