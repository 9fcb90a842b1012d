"""vitrine bench search|embed|ingest|stream: what this machine does, as one line of JSON."""

import typer

from vitrine.cli.bench.embed import bench_embed
from vitrine.cli.bench.ingest import bench_ingest
from vitrine.cli.bench.search import bench_search
from vitrine.cli.bench.stream import bench_stream

bench = typer.Typer(no_args_is_help=True, help="Measure speed and recall on this machine; prints JSON.")
bench.command("search")(bench_search)
bench.command("embed")(bench_embed)
bench.command("ingest")(bench_ingest)
bench.command("stream")(bench_stream)
