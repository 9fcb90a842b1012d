"""vitrine up, ingest, search, index status."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from vitrine.cli import console, filtering, ingesting
from vitrine.cli.grid import Cell, check_grid_path, save_grid
from vitrine.cli.sources import open_catalogue
from vitrine.cli.stack import Stack, StackSettings, known_addresses, running_stack
from vitrine.cli.streams import Kafka, KafkaOptions, KafkaTopic, on_kafka
from vitrine.client import Answer, Search, VisualSearchClient
from vitrine.images import thumbnail
from vitrine.runtime.errors import ConfigError, NotFound
from vitrine.shards.metric import ANGULAR, METRICS, metric_of
from vitrine.shards.records import Hit
from vitrine.stream.opening import DEFAULT_TOPIC

DEFAULT_FOLDER = Path("run/vitrine")
DEFAULT_MODEL = Path(__file__).parents[2] / "models" / "fashion-resnet18"
DEFAULT_GATEWAY_PORT = 7000
PARTITIONS_HELP = "1 is fastest on one machine, more can be spread over several; fixed when the index is made"
_WATCH_INTERVAL_S = 0.5

Folder = Annotated[Path, typer.Option(help="folder of `vitrine up`: index, log, logs, addresses")]
Gateway = Annotated[str, typer.Option(help="host:port; default: the one running in --folder")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table")]


def up(
    folder: Folder = DEFAULT_FOLDER,
    model: Annotated[Path, typer.Option(help="model folder")] = DEFAULT_MODEL,
    store: Annotated[str, typer.Option(help="object store instead of a folder: s3://, gs://, az://")] = "",
    partitions: Annotated[
        int | None, typer.Option(min=1, max=4096, help=f"{PARTITIONS_HELP}; default: 1, or as many as the topic has")
    ] = None,
    searchers: Annotated[int, typer.Option(min=1, max=16)] = 1,
    searcher_workers: Annotated[int, typer.Option(min=1, max=64, help="processes of each searcher")] = 1,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="gRPC port of the gateway; 0 = any")
    ] = DEFAULT_GATEWAY_PORT,
    uri_allow: Annotated[list[str] | None, typer.Option(help="prefix of image URIs that may be fetched")] = None,
    metric: Annotated[str, typer.Option(help=f"{', '.join(METRICS)}; fixed when the index is made")] = ANGULAR,
    kafka: Kafka = "",
    kafka_topic: KafkaTopic = DEFAULT_TOPIC,
    kafka_options: KafkaOptions = "",
    kafka_group: Annotated[str, typer.Option(help="consumer group; default: one for this index")] = "",
) -> None:
    """Run all services on this machine until Ctrl-C."""
    options = ("--metric", metric_of(metric).name, *(("--uri-allow", json.dumps(uri_allow)) if uri_allow else ()))
    settings = StackSettings(
        folder,
        model,
        partitions or 1,
        searchers,
        port,
        store,
        indexer_options=options,
        searcher_workers=searcher_workers,
    )
    if kafka:
        settings = on_kafka(settings, kafka, kafka_topic, kafka_options, kafka_group, partitions or 0)
    with stop_signals(), running_stack(settings) as stack:
        _print_addresses(stack)
        console.err.print("Ctrl-C stops everything.")
        watch_until_stopped(stack)
    console.err.print("Stopped.")


def ingest(
    path: Annotated[Path, typer.Argument(help="folder of images, or a .csv or .parquet table")],
    folder: Folder = DEFAULT_FOLDER,
    gateway: Gateway = "",
    category: Annotated[str, typer.Option(help="the column that is the category")] = "category",
    strict: Annotated[bool, typer.Option(help="exit with 1 if anything was refused")] = False,
    again: Annotated[bool, typer.Option(help="publish everything, even what was published before")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as one JSON line")] = False,
) -> None:
    """Publish a catalogue and wait until all of it can be found."""
    catalogue = open_catalogue(path, category)
    with VisualSearchClient(gateway or _address(folder, "gateway")) as client:
        journal = ingesting.Journal.open(folder / "ingest", catalogue, client.status().log_id, again)
        with console.progress_bar() as progress:
            report = ingesting.ingest(client, catalogue, journal, progress)
        indexer = known_addresses(folder).get("indexer")
        if indexer and not gateway:
            ingesting.roll(indexer["grpc"])
    console.print_report(report)
    if as_json:
        print_json(asdict(report))
    if strict and (report.refused or report.partly):
        raise typer.Exit(1)


def search(
    query: Annotated[str, typer.Argument(help="a picture file, or the id of a product")],
    k: Annotated[int, typer.Option("--k", help="products wanted, 1 to 10,000")] = 10,
    folder: Folder = DEFAULT_FOLDER,
    gateway: Gateway = "",
    filters: Annotated[list[str] | None, typer.Option("--filter", help=filtering.HELP)] = None,
    facet: Annotated[
        list[str] | None,
        typer.Option(help="count the values of this field over the best 1,000: category, live.price, …"),
    ] = None,
    page: Annotated[int, typer.Option(min=1, help="of k products each, up to 1,000 in all")] = 1,
    recall_target: Annotated[
        float | None, typer.Option(help="0.5 to 1, instead of the index's: less is faster")
    ] = None,
    exact: Annotated[bool, typer.Option(help="score every row instead of using the trees")] = False,
    explain: Annotated[bool, typer.Option(help="say how each shard was searched and what it cost")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    save: Annotated[Path | None, typer.Option(help="save a picture grid, e.g. grid.png")] = None,
) -> None:
    """Find products that look like a picture or another product."""
    picture = _picture(query)
    if save:
        check_grid_path(save)
    asked = Search(
        image=picture,
        product_id=query if picture is None else None,
        k=k,
        filter=filtering.filter_of(filters or ()),
        exact=exact,
        recall_target=recall_target,
        explain=explain,
        facets=facet or (),
    )
    with VisualSearchClient(gateway or _address(folder, "gateway")) as client:
        answer = next(itertools.islice(client.pages(asked), page - 1, None), None)
        if answer is None:
            raise ConfigError("page", f"is {page}: there are fewer pages")
        if save:
            save_grid([(_query_cell(client, query, picture), result_cells(client, answer.hits))], save)
    if as_json:
        print_json(answer_fields(answer))
    else:
        console.print_answer(answer)
    if save:
        console.err.print(f"Grid saved to {save}")


def index_status(
    folder: Folder = DEFAULT_FOLDER,
    gateway: Gateway = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Partitions, shards and freshness of the index."""
    with VisualSearchClient(gateway or _address(folder, "gateway")) as client:
        status = client.status()
    if as_json:
        from google.protobuf.json_format import MessageToDict

        print_json(MessageToDict(status, preserving_proto_field_name=True))
    else:
        console.print_status(status)


def watch_until_stopped(stack: Stack) -> None:
    """Restarts what dies and says so, until a signal comes."""
    while True:
        for line in stack.watch():
            console.err.print(line, markup=False)
        time.sleep(_WATCH_INTERVAL_S)


class stop_signals:  # noqa: N801  (used like the functions of contextlib)
    """SIGINT and SIGTERM end the block; what is inside is drained on the way out."""

    def __enter__(self) -> None:
        # SIGINT too: a shell starts background jobs with it ignored.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        return kind is KeyboardInterrupt

    @staticmethod
    def _stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt


def result_cells(client: VisualSearchClient, hits: Sequence[Hit]) -> list[Cell]:
    """Thumbnail, score and label of each hit."""
    return [Cell(_thumbnail(client, hit.sha256), f"{hit.score:.3f}  {hit.product_id}\n{label(hit)}") for hit in hits]


def label(hit: Hit) -> str:
    """What a person would call the product."""
    attributes = hit.attributes
    named = [str(attributes[name]) for name in ("colour", "pattern", "article_type") if attributes.get(name)]
    return " ".join(named) or hit.category


def answer_fields(answer: Answer) -> dict[str, Any]:
    """An answer as JSON-ready values."""
    hits = [{**asdict(hit), "sha256": hit.sha256.hex()} for hit in answer.hits]
    return {**asdict(answer), "hits": hits}


def print_json(fields: dict[str, Any]) -> None:
    """One line on standard output."""
    typer.echo(json.dumps(fields))


def _picture(query: str) -> bytes | None:
    """The file's bytes, or None where `query` names no file and so is a product id."""
    try:
        return Path(query).read_bytes() if Path(query).is_file() else None
    except OSError:
        return None


def _query_cell(client: VisualSearchClient, query: str, picture: bytes | None) -> Cell:
    if picture is not None:
        return Cell(thumbnail(picture), f"query\n{Path(query).name}")
    images = list(client.product(query).image_sha256s.values())
    return Cell(_thumbnail(client, images[0]), f"query\n{query}")


def _thumbnail(client: VisualSearchClient, sha256: bytes) -> bytes | None:
    try:
        return client.thumbnail(sha256)
    except NotFound:
        return None


def _address(folder: Path, service: str) -> str:
    addresses = known_addresses(folder)
    if service not in addresses:
        raise ConfigError("gateway", f"no `vitrine up` runs in {folder}; start it or name one with --gateway")
    return str(addresses[service]["grpc"])


def _print_addresses(stack: Stack) -> None:
    for name, address in stack.addresses.items():
        console.out.print(f"{name:<10} gRPC {address.grpc:<18} http://{address.http}/metrics", highlight=False)
