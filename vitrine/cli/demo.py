"""vitrine demo: up → ingest → queries → down, on pictures drawn here or on your own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from vitrine import sample
from vitrine.cli import commands, console, ingesting, searching
from vitrine.cli.grid import Cell, check_grid_path, save_grid
from vitrine.cli.sources import Catalogue, open_catalogue
from vitrine.cli.stack import Stack, StackSettings, running_stack
from vitrine.cli.streams import Kafka, KafkaOptions, borrowed_topics, on_kafka
from vitrine.client import Answer, VisualSearchClient
from vitrine.images import thumbnail
from vitrine.runtime.errors import ConfigError
from vitrine.shards.metric import SCORE_TOLERANCE
from vitrine.stream.events import Upsert

K: Final = 10
_QUERIES: Final = 90
_GRID_QUERIES: Final = 9
_WARM_UP_QUERIES: Final = 5


@dataclass(frozen=True)
class PhotoQuery:
    """A picture somebody might search with, and what should come back. `product_id`: in the catalogue, or empty."""

    picture: bytes
    category: str
    product_id: str = ""


@dataclass(frozen=True)
class Asked:
    """One query with its answer, the exact answer to the same question, and the time the first one took."""

    query: PhotoQuery
    answer: Answer
    exact: Answer
    ms: float


def demo(
    once: Annotated[bool, typer.Option(help="stop when the queries are answered")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="end with one JSON line")] = False,
    data: Annotated[Path | None, typer.Option(help="your own pictures: a folder, .csv or .parquet")] = None,
    products: Annotated[int, typer.Option(min=9, help="products to draw")] = 630,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    grid: Annotated[Path, typer.Option(help="where the picture grid goes")] = Path("run/demo-grid.png"),
    web: Annotated[bool | None, typer.Option(help="the page; default: where its extra is installed")] = None,
    web_port: Annotated[int, typer.Option(min=0, max=65535, help="of the page; 0 = any")] = 0,
    kafka: Kafka = "",
    kafka_options: KafkaOptions = "",
) -> None:
    """Index a sample catalogue and search it with photos: the whole system on one machine."""
    check_grid_path(grid)
    page_port = None if once else commands.page_port(web, web_port)
    with (
        commands.stop_signals(),
        _folder() as folder,
        _running(StackSettings(folder / "stack", model, web_port=page_port), kafka, kafka_options) as stack,
    ):
        catalogue, queries = _own(data) if data else _drawn(folder / "sample", products)
        with VisualSearchClient(stack.gateway) as client:
            report = _ingest(client, stack, folder, catalogue)
            console.print_report(report)
            asked = _ask(client, [query for query in queries if query.product_id not in report.refused])
            _save(client, asked, grid)
            partitions = client.status().partitions
        _say(asked, grid)
        if as_json:
            products = sum(partition.products_live for partition in partitions)
            images = sum(partition.rows_live for partition in partitions)
            rate = round(report.images / report.seconds, 1)
            indexed = {"products": products, "images": images, "images_per_s": rate}
            commands.print_json({**indexed, **_figures(asked)})
        if not once:
            console.err.print(f"Still running; try: vitrine search PICTURE --gateway {stack.gateway}")
            commands.print_page(stack)
            console.err.print("Ctrl-C stops.")
            commands.watch_until_stopped(stack)


def exact_recall(found: Sequence[float], exact: Sequence[float]) -> float:
    """Share of the exact answer's places that an answer fills. Scores, best first.

    A product counts if its score is at least the last exact one less 1e-3 (design: recall counts products).
    """
    if not exact:
        return 1.0
    return min(len(exact), sum(score >= exact[-1] - SCORE_TOLERANCE for score in found)) / len(exact)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vitrine-demo-") as folder:
        yield Path(folder)


@contextmanager
def _running(settings: StackSettings, kafka: str, kafka_options: str) -> Iterator[Stack]:
    """A stack; with Kafka, through topics of its own that go with it."""
    with ExitStack() as opened:
        if kafka:
            topic = opened.enter_context(borrowed_topics(kafka, kafka_options, settings.partitions))
            console.err.print(f"Kafka at {kafka}, topics {topic}…, deleted at the end", markup=False, highlight=False)
            settings = on_kafka(settings, kafka, topic, kafka_options, topic, settings.partitions)
        yield opened.enter_context(running_stack(settings))


def _drawn(folder: Path, count: int) -> tuple[Catalogue, list[PhotoQuery]]:
    console.err.print(f"Drawing {count:,} products and {_QUERIES} photos …")
    products = sample.catalogue(count)
    photos = sample.queries(products, _QUERIES)
    sample.write(folder, products, photos)
    table = folder / "catalogue.csv"
    queries = [PhotoQuery(photo.picture, photo.product.category, photo.product.product_id) for photo in photos]
    return open_catalogue(table), queries


def _own(path: Path) -> tuple[Catalogue, list[PhotoQuery]]:
    """Queries are pictures of the catalogue itself, evenly spread; their own product does not count."""
    catalogue = open_catalogue(path)
    step = max(1, catalogue.products // _QUERIES)
    chosen = islice(catalogue.items(), 0, None, step)
    queries = [
        PhotoQuery(item.images[0].data, item.category, item.product_id)
        for item in chosen
        if isinstance(item, Upsert) and item.images[0].data
    ]
    if not queries:
        raise ConfigError("data", f"{path} holds no picture to search with; its products may only name URIs")
    return catalogue, queries[:_QUERIES]


def _ingest(client: VisualSearchClient, stack: Stack, folder: Path, catalogue: Catalogue) -> ingesting.Report:
    journal = ingesting.Journal.open(folder, catalogue, client.status().log_id, again=True)
    with console.progress_bar() as progress:
        report = ingesting.ingest(client, catalogue, journal, progress)
    ingesting.roll(stack.addresses["indexer"].grpc)
    return report


def _ask(client: VisualSearchClient, queries: Sequence[PhotoQuery]) -> list[Asked]:
    for query in queries[:_WARM_UP_QUERIES]:
        client.search(image=query.picture, k=K)
    asked = []
    for query in queries:
        started = time.perf_counter()
        answer = client.search(image=query.picture, k=K)
        ms = (time.perf_counter() - started) * 1000
        asked.append(Asked(query, answer, client.search(image=query.picture, k=K, exact=True), ms))
    return asked


def _figures(asked: Sequence[Asked]) -> dict[str, Any]:
    times_ms = [entry.ms for entry in asked]
    recalls = [
        exact_recall([hit.score for hit in entry.answer.hits], [hit.score for hit in entry.exact.hits])
        for entry in asked
    ]
    answered = sum(entry.answer.coverage.partitions_answered for entry in asked)
    total = sum(entry.answer.coverage.partitions_total for entry in asked)
    return {
        "search_p50_ms": round(float(np.percentile(times_ms, 50)), 2),
        "search_p99_ms": round(float(np.percentile(times_ms, 99)), 2),
        "recall_at_10": round(float(np.mean(recalls)), 4),
        "same_category_at_10": round(_same_category(asked), 4),
        "coverage": round(answered / total, 4),
    }


def _same_category(asked: Sequence[Asked]) -> float:
    """Share of the products found that are in the query's category; the query's own product does not count."""
    judged = [
        hit.category == entry.query.category
        for entry in asked
        for hit in entry.answer.hits
        if hit.product_id != entry.query.product_id
    ]
    return float(np.mean(judged)) if judged else 0.0


def _save(client: VisualSearchClient, asked: Sequence[Asked], grid: Path) -> None:
    step = max(1, len(asked) // _GRID_QUERIES)
    rows = [
        (Cell(thumbnail(entry.query.picture), f"photo\n{entry.query.category}"), _best(client, entry))
        for entry in asked[::step][:_GRID_QUERIES]
    ]
    save_grid(rows, grid)


def _best(client: VisualSearchClient, entry: Asked) -> list[Cell]:
    return searching.result_cells(client, entry.answer.hits[:5])


def _say(asked: Sequence[Asked], grid: Path) -> None:
    own = [entry.query.product_id in {hit.product_id for hit in entry.answer.hits} for entry in asked]
    console.err.print(
        f"{len(asked)} photos searched: {_same_category(asked):.0%} of what they found is in the right category, "
        f"{np.mean(own):.0%} found the very product among {K}. Grid: {grid}"
    )
