"""vitrine up, ingest, index status."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from vitrine.cli import console, ingesting
from vitrine.cli.connecting import given
from vitrine.cli.sources import open_catalogue
from vitrine.cli.stack import Stack, StackSettings, known_addresses, running_stack
from vitrine.cli.streams import Kafka, KafkaOptions, KafkaTopic, on_kafka
from vitrine.client import VisualSearchClient
from vitrine.runtime.errors import ConfigError
from vitrine.shards.metric import ANGULAR, METRICS, metric_of
from vitrine.stream.kafka.names import DEFAULT_TOPIC

DEFAULT_FOLDER = Path("run/vitrine")
DEFAULT_MODEL = Path(__file__).parents[2] / "models" / "fashion-resnet18"
DEFAULT_GATEWAY_PORT = 7000
DEFAULT_WEB_PORT = 7080
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
    web: Annotated[bool | None, typer.Option(help="the page; default: where its extra is installed")] = None,
    web_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help=f"of the page; 0 = any; default: {DEFAULT_WEB_PORT}, or any where --port is 0"
        ),
    ] = None,
    uri_allow: Annotated[list[str] | None, typer.Option(help="prefix of image URIs that may be fetched")] = None,
    metric: Annotated[str, typer.Option(help=f"{', '.join(METRICS)}; fixed when the index is made")] = ANGULAR,
    affinity: Annotated[
        Path | None, typer.Option(help="of `vitrine train-affinity`: what goes together in complete-the-look")
    ] = None,
    tls: Annotated[
        Path | None, typer.Option(help="folder with tls.crt (which names 127.0.0.1), tls.key, ca.crt: every hop by TLS")
    ] = None,
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
        gateway_options=("--affinity", str(affinity)) if affinity else (),
        searcher_workers=searcher_workers,
        web_port=page_port(web, web_port if web_port is not None else port and DEFAULT_WEB_PORT),
        tls=tls,
    )
    if kafka:
        settings = on_kafka(settings, kafka, kafka_topic, kafka_options, kafka_group, partitions or 0)
    with stop_signals(), running_stack(settings) as stack:
        _print_addresses(stack)
        print_page(stack)
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
    with gateway_client(folder, gateway) as client:
        journal = ingesting.Journal.open(folder / "ingest", catalogue, client.status().log_id, again)
        with console.progress_bar() as progress:
            report = ingesting.ingest(client, catalogue, journal, progress)
        indexer = known_addresses(folder).get("indexer")
        if indexer and not gateway:
            ingesting.roll(indexer["grpc"], given())
    console.print_report(report)
    if as_json:
        print_json(asdict(report))
    if strict and (report.refused or report.partly):
        raise typer.Exit(1)


def index_status(
    folder: Folder = DEFAULT_FOLDER,
    gateway: Gateway = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Partitions, shards and freshness of the index."""
    with gateway_client(folder, gateway) as client:
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


def print_json(fields: dict[str, Any]) -> None:
    """One line on standard output; bytes are hex digits."""
    typer.echo(json.dumps(fields, default=bytes.hex))


def gateway_client(folder: Path, gateway: str) -> VisualSearchClient:
    """A client of the gateway that is named, or of the one that runs in `folder`. Raises ConfigError (`gateway`)."""
    addresses = known_addresses(folder)
    if not gateway and "gateway" not in addresses:
        raise ConfigError("gateway", f"no `vitrine up` runs in {folder}; start it or name one with --gateway")
    return VisualSearchClient(gateway or addresses["gateway"]["grpc"], credentials=given())


def page_port(web: bool | None, port: int) -> int | None:
    """`port` where the page is wanted (None: where it can be had), else None. Raises ConfigError (`web`)."""
    missing = any(find_spec(name) is None for name in ("starlette", "uvicorn", "python_multipart"))
    if web and missing:
        raise ConfigError("web", "needs the extra `web`: pip install 'vitrine[web]'")
    return None if missing or web is False else port


def print_page(stack: Stack) -> None:
    """Where people look, if there is a page."""
    if "web" in stack.addresses:
        scheme = "https" if stack.settings.tls else "http"
        console.err.print(f"The page: {scheme}://{stack.addresses['web'].page}/", highlight=False)


def _print_addresses(stack: Stack) -> None:
    for name, address in stack.addresses.items():
        where = f"page {address.page}" if address.page else f"gRPC {address.grpc}"
        console.out.print(f"{name:<10} {where:<23} http://{address.http}/metrics", highlight=False)
