"""vitrine bench search, embed, ingest, …: what this machine does, as one line of JSON."""

import typer

from vitrine.cli.bench.embed import bench_embed
from vitrine.cli.bench.filters import bench_filters
from vitrine.cli.bench.ingest import bench_ingest
from vitrine.cli.bench.metrics import bench_metrics
from vitrine.cli.bench.photo import bench_photo
from vitrine.cli.bench.qos import bench_qos
from vitrine.cli.bench.recommend import bench_recommend
from vitrine.cli.bench.rollout import bench_rollout
from vitrine.cli.bench.scale import bench_scale
from vitrine.cli.bench.search import bench_search
from vitrine.cli.bench.stream import bench_stream
from vitrine.cli.bench.vectors import bench_vectors

bench = typer.Typer(no_args_is_help=True, help="Measure speed and recall on this machine; prints JSON.")
bench.command("search")(bench_search)
bench.command("embed")(bench_embed)
bench.command("ingest")(bench_ingest)
bench.command("stream")(bench_stream)
bench.command("vectors")(bench_vectors)
bench.command("scale")(bench_scale)
bench.command("filters")(bench_filters)
bench.command("metrics")(bench_metrics)
bench.command("recommend")(bench_recommend)
bench.command("qos")(bench_qos)
bench.command("photo")(bench_photo)
bench.command("rollout")(bench_rollout)
