"""vitrine bench stream: a catalogue and its changes through Kafka, with everything on this machine.

In one run: the embedder's own rate; the same pictures through the log, with queries beside them; live updates as fast
as they come; single changes, and how long they take to be found; what the store is asked for; what memory does.
"""

from __future__ import annotations

import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from prometheus_client.parser import text_string_to_metric_families

from vitrine.cli import commands, console
from vitrine.cli.bench.load import EMBED_METHOD, run_load
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.stack import bench_stack, catalogue_of
from vitrine.cli.stack import Stack
from vitrine.cli.streams import kafka_settings
from vitrine.client import VisualSearchClient
from vitrine.index.pictures import Pictures
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.index.store import Store
from vitrine.stream import codec
from vitrine.stream.events import ImageRef, LiveUpdate, Upsert
from vitrine.stream.log import Entry, Position, Stream
from vitrine.v1 import embedder_pb2

if TYPE_CHECKING:
    from vitrine.stream.kafka.log import KafkaLog

EVENTS_PER_S: Final = 100
# As the indexer asks by default.
_CALL_IMAGES: Final = 32
_CALLS: Final = 4
_WAITERS: Final = 256
_TIMEOUT_S: Final = 60.0
_INGEST_TIMEOUT_S: Final = 1_800.0
_LIVE_BATCH: Final = 1_000
# One shopper's pace: queries as fast as they go would be a load of their own.
_QUERY_PAUSE_S: Final = 0.02


def bench_stream(
    kafka: Annotated[str, typer.Option(help="host:port of Kafka; its topics are made with a random name")],
    data: Annotated[Path | None, typer.Option(help="catalogue: folder, .csv or .parquet; default: drawn")] = None,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    images: Annotated[int, typer.Option(min=500, help="products of the catalogue to take")] = 10_000,
    live_updates: Annotated[int, typer.Option(min=1_000, help="updates of price and stock")] = 1_000_000,
    seconds: Annotated[float, typer.Option(min=5, help="length of each of the timed parts")] = 30.0,
    store: Annotated[str, typer.Option(help="object store instead of a folder: s3://, gs://, az://")] = "",
) -> None:
    """Ingest, live updates, freshness, memory and store requests through a Kafka broker."""
    settings = kafka_settings(kafka, f"bench.{uuid.uuid4().hex[:8]}", "")
    from vitrine.stream.kafka.log import KafkaLog
    from vitrine.stream.kafka.topics import create_topics

    create_topics(settings, 1, 1)
    options = ("--kafka", kafka, "--kafka-topic", settings.topic)
    with closing(KafkaLog.open(settings, 1)) as log, bench_stack(model, 1, options, store) as (stack, folder):
        catalogue = catalogue_of(data, folder)
        upserts = [item for item in islice(catalogue.items(), images) if isinstance(item, Upsert)]
        figures: dict[str, Any] = {"bench": "stream", "products": len(upserts)}
        for part in (_ingest, _live, _changes, _requests):
            console.err.print(f"{part.__doc__} …")
            figures |= part(stack, log, upserts, seconds, live_updates)
    commands.print_json({**figures, "machine": machine()})


def _ingest(stack: Stack, log: KafkaLog, upserts: Sequence[Upsert], seconds: float, _: int) -> dict[str, Any]:
    """The catalogue, twice: first alone, then with image queries beside it"""
    pictures = [image.data for item in upserts for image in item.images if image.data is not None]
    own = [_embedder_rate(stack, pictures, seconds / 3)]
    alone_s = _through_the_log(stack, log, upserts)
    own.append(_embedder_rate(stack, pictures, seconds / 3))
    idle_ms = _query_times(stack, pictures, lambda: time.sleep(seconds))
    again = [replace(item, product_id=f"again-{item.product_id}") for item in upserts]
    busy_ms = _query_times(stack, pictures, lambda: _through_the_log(stack, log, again))
    rate = len(pictures) / alone_s
    return {
        "ingest_images_per_s": round(rate, 1),
        "embedder_images_per_s": [round(one, 1) for one in own],
        "ingest_to_embedder": round(rate / float(np.mean(own)), 3),
        "query_idle_p50_ms": _percentile(idle_ms, 50),
        "query_idle_p99_ms": _percentile(idle_ms, 99),
        "query_under_ingest_p50_ms": _percentile(busy_ms, 50),
        "query_under_ingest_p99_ms": _percentile(busy_ms, 99),
        "query_p99_ratio": round(float(np.percentile(busy_ms, 99) / np.percentile(idle_ms, 99)), 2),
    }


def _live(stack: Stack, log: KafkaLog, upserts: Sequence[Upsert], _: float, updates: int) -> dict[str, Any]:
    """Live updates, as fast as they come"""
    indexer = stack.addresses["indexer"].http
    embedded = _metric(indexer, "vitrine_indexer_embedded_images_total")
    rss = [_rss_mb(stack)]
    started_s = time.monotonic()
    for begin in range(0, updates, _LIVE_BATCH):
        batch = range(begin, min(updates, begin + _LIVE_BATCH))
        last = log.append([_live_entry(upserts[number % len(upserts)].product_id, number) for number in batch])
        if begin // _LIVE_BATCH % max(1, updates // _LIVE_BATCH // 10) == 0:
            rss.append(_rss_mb(stack))
    published_s = time.monotonic() - started_s
    _wait_for(stack, last[-1])
    seconds = time.monotonic() - started_s
    rss.append(_rss_mb(stack))
    return {
        "live_updates": updates,
        "live_updates_per_s": round(updates / seconds, 1),
        "live_published_per_s": round(updates / published_s, 1),
        "live_images_embedded": _metric(indexer, "vitrine_indexer_embedded_images_total") - embedded,
        "indexer_rss_mb": rss,
    }


def _changes(stack: Stack, log: KafkaLog, upserts: Sequence[Upsert], seconds: float, _: int) -> dict[str, Any]:
    """New products, changes, withdrawals and live updates at 100 events/s"""
    stored = _stored(stack, upserts[:500])
    with VisualSearchClient(stack.gateway, timeout_s=_TIMEOUT_S) as client, ThreadPoolExecutor(_WAITERS) as waiters:
        probe = np.ones(client.status().dim, np.float32)

        def visible(position: Position, appended_s: float) -> float:
            client.search(vector=probe, k=1, at_least=[position], require_complete=True)
            return time.monotonic() - appended_s

        waits = []
        started_s = time.monotonic()
        for number in range(int(seconds * EVENTS_PER_S)):
            time.sleep(max(0.0, started_s + number / EVENTS_PER_S - time.monotonic()))
            appended_s = time.monotonic()
            (position,) = log.append([_change(stored, number)])
            waits.append(waiters.submit(visible, position, appended_s))
        delays_s = [wait.result() for wait in waits]
    return {
        "changes": len(delays_s),
        "changes_per_s": EVENTS_PER_S,
        "visible_p50_s": round(float(np.percentile(delays_s, 50)), 3),
        "visible_p99_s": round(float(np.percentile(delays_s, 99)), 3),
        "visible_max_s": round(float(np.max(delays_s)), 3),
    }


def _requests(stack: Stack, log: KafkaLog, upserts: Sequence[Upsert], seconds: float, _: int) -> dict[str, Any]:
    """What the store is asked for: idle, then with 100 live updates a second"""
    before = _store_requests(stack)
    time.sleep(seconds)
    idle = _store_requests(stack)
    started_s = time.monotonic()
    for number in range(int(seconds * EVENTS_PER_S)):
        time.sleep(max(0.0, started_s + number / EVENTS_PER_S - time.monotonic()))
        log.append([_live_entry(upserts[number % len(upserts)].product_id, number)])
    busy = _store_requests(stack)
    hours = seconds / 3600
    return {
        "store_requests_per_idle_partition_hour": {
            name: round((idle[name] - before.get(name, 0)) / hours) for name in sorted(idle)
        },
        "store_requests_per_busy_partition_hour": {
            name: round((busy[name] - idle.get(name, 0)) / hours) for name in sorted(busy)
        },
    }


def _through_the_log(stack: Stack, log: KafkaLog, upserts: Sequence[Upsert]) -> float:
    """Seconds from the first append to the answer that holds the last one. The pictures are in the store before."""
    entries = [Entry(item.product_id, codec.encode(item)) for item in _stored(stack, upserts)]
    started_s = time.monotonic()
    positions = [log.append(entries[begin : begin + 500])[-1] for begin in range(0, len(entries), 500)]
    _wait_for(stack, positions[-1])
    return time.monotonic() - started_s


def _stored(stack: Stack, upserts: Sequence[Upsert]) -> list[Upsert]:
    """The same with pictures by reference, as Publish logs them."""
    pictures = Pictures(Store.open(stack.settings.store_url), DEFAULT_INDEX)

    def stored(item: Upsert) -> Upsert:
        images = (ImageRef(image.image_id, sha256=pictures.put(image.data or b"")) for image in item.images)
        return replace(item, images=tuple(images))

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(stored, upserts))


def _wait_for(stack: Stack, position: Position) -> None:
    """Until an answer holds it."""
    with VisualSearchClient(stack.gateway) as client:
        probe = np.ones(client.status().dim, np.float32)
        client.search(vector=probe, k=1, at_least=[position], require_complete=True, timeout_s=_INGEST_TIMEOUT_S)


def _query_times(stack: Stack, pictures: Sequence[bytes], meanwhile: Callable[[], object]) -> list[float]:
    """Milliseconds of each image query of one client that asks without a pause, as long as `meanwhile` takes."""
    times_ms: list[float] = []
    over = threading.Event()

    def ask() -> None:
        with VisualSearchClient(stack.gateway, timeout_s=_TIMEOUT_S) as client:
            for number in count():
                if over.is_set():
                    return
                began_s = time.perf_counter()
                client.search(image=pictures[number * 7 % len(pictures)], k=10, require_complete=True)
                times_ms.append((time.perf_counter() - began_s) * 1000)
                time.sleep(_QUERY_PAUSE_S)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        meanwhile()
    finally:
        over.set()
        thread.join()
    return times_ms


def _embedder_rate(stack: Stack, pictures: Sequence[bytes], seconds: float) -> float:
    """Images a second that the embedder serves in bulk calls of 32, four at once: as the indexer asks."""
    requests = [
        embedder_pb2.EmbedRequest(
            images=[embedder_pb2.ImageInput(data=data) for data in pictures[begin : begin + _CALL_IMAGES]],
            priority=embedder_pb2.PRIORITY_BULK,
        ).SerializeToString()
        for begin in range(0, len(pictures) - _CALL_IMAGES + 1, _CALL_IMAGES)
    ]
    address = stack.addresses["embedder"].grpc
    probe = run_load(address, EMBED_METHOD, requests, _CALLS, 40)
    load = run_load(address, EMBED_METHOD, requests, _CALLS, max(40, int(probe.per_s * seconds)))
    return load.per_s * _CALL_IMAGES


def _change(stored: Sequence[Upsert], number: int) -> Entry:
    """In turn a new product, a change of it, a live update of it, and its withdrawal."""
    template, product_id = stored[number // 4 % len(stored)], f"change-{number // 4}"
    match number % 4:
        case 2:
            return _live_entry(product_id, number)
        case 3:
            return Entry(product_id, None)
        case _:
            event = replace(template, product_id=product_id, attributes={"season": float(number % 4)})
            return Entry(product_id, codec.encode(event))


def _live_entry(product_id: str, number: int) -> Entry:
    live = {"price": float(number % 997), "stock": float(number % 13), "on_sale": number % 2 == 0}
    update = LiveUpdate(product_id, live)
    return Entry(product_id, codec.encode(update), Stream.LIVE)


def _store_requests(stack: Stack) -> dict[str, float]:
    """`service.operation` → requests so far."""
    found = {}
    for service in ("indexer", "searcher"):
        for sample in _samples(stack.addresses[service].http, f"vitrine_{service}_store_requests_total"):
            found[f"{service}.{sample.labels['operation']}"] = sample.value
    return found


def _metric(address: str, name: str) -> float:
    return float(sum(sample.value for sample in _samples(address, name)))


def _samples(address: str, name: str) -> list[Any]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return [sample for family in families for sample in family.samples if sample.name == name]


def _rss_mb(stack: Stack) -> float:
    """Private memory of the indexer: what is mapped from files is the page cache's."""
    text = Path(f"/proc/{stack.pid('indexer')}/status").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return round(int(fields["RssAnon"].split()[0]) / 1024, 1)


def _percentile(times_ms: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(times_ms, percent)), 2)
