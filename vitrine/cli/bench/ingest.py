"""vitrine bench ingest: how fast a catalogue goes in, and how soon single changes can be found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from vitrine.cli import commands, console
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.stack import bench_stack, catalogue_of, filled
from vitrine.client import VisualSearchClient
from vitrine.stream.events import Delete, Event, Upsert
from vitrine.stream.log import Position

EVENTS_PER_S: Final = 50
_TIMEOUT_S: Final = 30.0
# More than the events that can be waited for at once: a waiter too few would count its queue as delay.
_WAITERS: Final = 256


def bench_ingest(
    data: Annotated[Path | None, typer.Option(help="catalogue: folder, .csv or .parquet; default: drawn")] = None,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    partitions: Annotated[int, typer.Option(min=1, help=commands.PARTITIONS_HELP)] = 1,
    seconds: Annotated[float, typer.Option(min=2, help="length of the trickle of 50 events/s")] = 20.0,
) -> None:
    """Ingest rate; then upserts, updates and deletes at 50 events/s: time from acknowledgement to Search."""
    with bench_stack(model, partitions) as (stack, folder):
        catalogue = catalogue_of(data, folder)
        report = filled(stack, folder, catalogue)
        console.err.print(f"{EVENTS_PER_S} events/s for {seconds:.0f} s …")
        templates = [item for item in islice(catalogue.items(), 200) if isinstance(item, Upsert)]
        delays_s = _visible_after_s(stack.gateway, templates, seconds)
    commands.print_json(
        {
            "bench": "ingest",
            "images": report.images,
            "images_per_s": round(report.images / report.seconds, 1),
            "trickle_events_per_s": EVENTS_PER_S,
            "trickle_events": len(delays_s),
            "visible_p50_s": round(float(np.percentile(delays_s, 50)), 3),
            "visible_p99_s": round(float(np.percentile(delays_s, 99)), 3),
            "visible_max_s": round(float(np.max(delays_s)), 3),
            "machine": machine(),
        }
    )


def _visible_after_s(gateway: str, templates: list[Upsert], seconds: float) -> list[float]:
    """Seconds from the acknowledgement of each event to an answer of Search that includes it."""
    with VisualSearchClient(gateway, timeout_s=_TIMEOUT_S) as client, ThreadPoolExecutor(_WAITERS) as waiters:
        probe = np.ones(client.status().dim, np.float32)

        def visible_after_s(position: Position) -> float:
            acknowledged_s = time.monotonic()
            client.search(vector=probe, k=1, at_least=[position], require_complete=True)
            return time.monotonic() - acknowledged_s

        acks = client.publish(_events(templates, seconds))
        waits = [waiters.submit(visible_after_s, ack.position) for ack in acks if ack.position is not None]
        return [wait.result() for wait in waits]


def _events(templates: list[Upsert], seconds: float) -> Iterator[Event]:
    """In turn a new product, a change of it, and its withdrawal, 50 a second."""
    started = time.monotonic()
    for number in range(int(seconds * EVENTS_PER_S)):
        time.sleep(max(0.0, started + number / EVENTS_PER_S - time.monotonic()))
        template = templates[number // 3 % len(templates)]
        product_id = f"bench-{number // 3}"
        if number % 3 == 2:
            yield Delete(product_id)
        else:
            yield Upsert(product_id, template.images, template.category, {"price": float(number)})
