"""vitrine index create: an index's settings, made once before its services start."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vitrine.cli import commands, console
from vitrine.cli.shelves import IndexName
from vitrine.index.settings import DEFAULT_INDEX, DEFAULT_RETENTION, IndexSettings, create_or_check, seconds_of
from vitrine.index.store import Store
from vitrine.model_folder import ModelFolder
from vitrine.shards.metric import ANGULAR, METRICS


def create(
    store: Annotated[str, typer.Option(help="a folder, s3://, gs:// or az://")],
    name: IndexName = DEFAULT_INDEX,
    model: Annotated[Path, typer.Option(help="model folder; its model.json is enough")] = commands.DEFAULT_MODEL,
    partitions: Annotated[int, typer.Option(min=1, max=4096, help=commands.PARTITIONS_HELP)] = 1,
    metric: Annotated[str, typer.Option(help=f"{', '.join(METRICS)}")] = ANGULAR,
    recall_target: Annotated[float, typer.Option(help="recall that trees are measured to reach")] = 0.99,
    retention: Annotated[str, typer.Option(help="how long after its event_time a product is found; 0 = for ever")] = (
        DEFAULT_RETENTION
    ),
    as_json: commands.AsJson = False,
) -> None:
    """Make an index, empty, or check that the one there was made with the same settings. An indexer does the same."""
    facts = ModelFolder.read(model)
    wanted = IndexSettings(
        name,
        facts.dim,
        facts.model_id,
        partitions,
        metric=metric,
        recall_target=recall_target,
        retention_s=seconds_of(retention),
    )
    index = create_or_check(Store.open(store), wanted)
    if as_json:
        commands.print_json(asdict(index))
        return
    console.out.print(
        f"index {index.name}: {index.partitions} partitions, {index.dim} dimensions, {index.metric}, "
        f"model {index.model_id[:12]}",
        highlight=False,
        soft_wrap=True,
    )
