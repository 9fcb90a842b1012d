"""An indexer's work on a log and a store of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.indexer import pipeline
from tests.faults.one_partition import OnePartition
from tests.unit.indexer.running import PARTITIONS, Log
from vitrine.stream.embedded import EmbeddedLog


@pytest.fixture
def log(tmp_path: Path) -> Log:
    opened = EmbeddedLog.open(tmp_path / "log.sqlite", PARTITIONS)
    return Log(opened._connection, opened.log_id, PARTITIONS)


@pytest.fixture
def parts(tmp_path: Path) -> list[OnePartition]:
    return [OnePartition(tmp_path, number) for number in range(PARTITIONS)]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that take a second and ten otherwise."""
    monkeypatch.setattr(pipeline, "_SURVEY_S", 0.05)
    monkeypatch.setattr(pipeline, "_CHECK_S", 0.0)
