"""Half a million rows are rolled beside the commits: none of these waits for longer than a commit interval."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from services.indexer.publish import Commit, Publisher
from tests.builders import MODEL, NOW, clustered
from vitrine.index.manifest import ManifestLog
from vitrine.index.settings import IndexSettings
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.shards.records import ImageRow, ProductVersion

ROWS: Final = 500_000
COMMIT_INTERVAL_S: Final = 1.0
DIM: Final = 128


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_a_big_roll_and_a_big_compaction_never_delay_a_commit(tmp_path: Path) -> None:
    publisher = _publisher(tmp_path)
    filled = _fill(publisher, ROWS)

    roll = _beside_commits(publisher, filled)
    compaction = _beside_commits(publisher, filled + roll.commits)

    print(f"{ROWS:,} rows: roll {roll}, compaction {compaction}")
    assert roll.rewritten >= ROWS
    assert compaction.rewritten >= ROWS
    assert roll.commits + compaction.commits >= 2, "no commit came while they went on"
    assert max(roll.longest_s, compaction.longest_s) <= COMMIT_INTERVAL_S


class Beside:
    """A roll of everything, and the commits made meanwhile."""

    def __init__(self) -> None:
        self.rewritten = 0
        self.commits = 0
        self.longest_s = 0.0
        self.seconds = 0.0

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.commits} commits beside it, the longest {self.longest_s * 1000:.0f} ms"


def _beside_commits(publisher: Publisher, next_number: int) -> Beside:
    seen, over = Beside(), threading.Event()

    def roll() -> None:
        run = publisher.everything()
        assert run is not None
        seen.rewritten = publisher.roll(run)
        over.set()

    thread = threading.Thread(target=roll)
    began_s = time.monotonic()
    thread.start()
    while not over.is_set():
        started_s = time.monotonic()
        _commit(publisher, next_number + seen.commits, 1)
        took_s = time.monotonic() - started_s
        seen.longest_s = max(seen.longest_s, took_s)
        seen.commits += 1
        over.wait(max(0.0, COMMIT_INTERVAL_S / 4 - took_s))
    thread.join()
    seen.seconds = time.monotonic() - began_s
    return seen


def _publisher(folder: Path) -> Publisher:
    store = Store.open(str(folder / "store"))
    index = IndexSettings("default", DIM, MODEL, partitions=1)
    shelf = Shelf(store, "default", 0, folder / "cache")
    return Publisher.claim(index, ManifestLog(store, "default", 0), shelf, "log")


def _fill(publisher: Publisher, rows: int) -> int:
    for begin in range(0, rows, 25_000):
        _commit(publisher, begin, min(25_000, rows - begin))
    return rows


def _commit(publisher: Publisher, first: int, count: int) -> None:
    vectors = clustered(np.random.default_rng(first), count, DIM)
    changes = [
        ProductVersion(f"p{number}", number, "", {}, (ImageRow("0", "", bytes(32), vector),), NOW)
        for number, vector in enumerate(vectors, first)
    ]
    publisher.commit(Commit(changes=changes, next_offset=first + count))
