"""A stack of its own for a measurement, filled with a catalogue: yours, or the drawn one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitrine import sample
from vitrine.cli import console, ingesting
from vitrine.cli.sources import Catalogue, open_catalogue
from vitrine.cli.stack import Stack, StackSettings, running_stack
from vitrine.client import VisualSearchClient
from vitrine.runtime.errors import Unavailable


@contextmanager
def bench_stack(
    model: Path, partitions: int, stream_options: tuple[str, ...] = (), store: str = ""
) -> Iterator[tuple[Stack, Path]]:
    """An empty stack and a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as name:
        folder = Path(name)
        settings = StackSettings(
            folder / "stack", model, partitions=partitions, store=store, stream_options=stream_options
        )
        with running_stack(settings) as stack:
            yield stack, folder


def catalogue_of(data: Path | None, folder: Path) -> Catalogue:
    """The catalogue at `data`, or the drawn sample, written below `folder`."""
    if data is None:
        data = folder / "sample" / "catalogue.csv"
        sample.write(data.parent, sample.catalogue(), [])
    return open_catalogue(data)


def filled(stack: Stack, folder: Path, catalogue: Catalogue) -> ingesting.Report:
    """Ingests the catalogue into the stack; returns when the searcher serves it from rolled shards only."""
    with VisualSearchClient(stack.gateway) as client, console.progress_bar() as progress:
        journal = ingesting.Journal.open(folder, catalogue, client.status().log_id, again=True)
        report = ingesting.ingest(client, catalogue, journal, progress)
    if not ingesting.roll(stack.addresses["indexer"].grpc):
        raise Unavailable("the indexer did not roll")
    with VisualSearchClient(stack.gateway) as client:
        while any(shard.kind == "fresh" for partition in client.status().partitions for shard in partition.shards):
            time.sleep(0.1)
    return report
