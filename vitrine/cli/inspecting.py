"""vitrine index inspect: what the newest manifests hold, shard by shard."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from vitrine.cli import commands, console
from vitrine.cli.shelves import IndexName, StoredIndex, StoreUrl, shown_size, shown_time
from vitrine.index.manifest import Manifest, ShardEntry
from vitrine.index.settings import DEFAULT_INDEX, IndexSettings
from vitrine.runtime.errors import ConfigError, CorruptShard
from vitrine.shards.files import SearchPlan, ShardFacts

_K = 10


def inspect(
    partition: Annotated[int | None, typer.Argument(min=0, help="default: all")] = None,
    shard: Annotated[str, typer.Argument(help="id of one shard of it, or how the id begins")] = "",
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    store: StoreUrl = "",
    name: IndexName = DEFAULT_INDEX,
    as_json: commands.AsJson = False,
) -> None:
    """The newest manifest of each partition with its shards; of one shard, all that is known."""
    stored = StoredIndex.open(folder, store, name)
    newest = {number: stored.manifests(number).latest()[0] for number in stored.partitions(partition)}
    if partition is not None and shard:
        _show_shard(stored.facts(partition, _chosen(newest[partition], shard)), as_json)
        return
    found = {number: [_Known(stored, number, entry) for entry in held.shards] for number, held in newest.items()}
    if as_json:
        partitions = [
            {**asdict(held), "shards": [known.fields() for known in found[number]]} for number, held in newest.items()
        ]
        commands.print_json({"index": asdict(stored.settings), "partitions": partitions})
        return
    _print_settings(stored.settings)
    for number, held in newest.items():
        _print_partition(number, held, found[number])


class _Known:
    """An entry of a manifest and the facts of its shard, or why they cannot be had."""

    def __init__(self, stored: StoredIndex, partition: int, entry: ShardEntry) -> None:
        self.entry = entry
        self.damaged = ""
        self.plan: SearchPlan | None = None
        try:
            self.plan = stored.facts(partition, entry).plan
        except CorruptShard as error:
            self.damaged = str(error)

    def fields(self) -> dict[str, Any]:
        plan = {"plan": asdict(self.plan)} if self.plan else {"damaged": self.damaged}
        return {**asdict(self.entry), **plan}


def _chosen(manifest: Manifest, beginning: str) -> ShardEntry:
    found = [entry for entry in manifest.shards if entry.shard_id.startswith(beginning)]
    if len(found) != 1:
        raise ConfigError("shard", f"{len(found)} shards of manifest {manifest.version} begin with {beginning!r}")
    return found[0]


def _print_settings(settings: IndexSettings) -> None:
    retention = f"{settings.retention_s / 86_400:g} days" if settings.retention_s else "none"
    console.out.print(
        f"index [bold]{settings.name}[/bold]  {settings.metric}, {settings.dim} dimensions, "
        f"model {settings.model_id[:12]}, partitions {settings.partitions}, recall target {settings.recall_target}, "
        f"retention {retention}",
        highlight=False,
        soft_wrap=True,
    )


def _print_partition(number: int, manifest: Manifest, shards: list[_Known]) -> None:
    if not manifest.version:
        console.out.print(f"partition {number}: no manifest yet")
        return
    console.out.print(
        f"\npartition {number}: manifest {manifest.version}, epoch {manifest.writer_epoch}, "
        f"written {shown_time(manifest.created_us / 1e6)}, "
        f"indexed up to {shown_time(manifest.index_time_us / 1e6) or 'nothing yet'}, "
        f"next offset {manifest.next_offset:,}, live {manifest.next_live_offset:,}, {len(shards)} shards",
        highlight=False,
        soft_wrap=True,
    )
    if manifest.paused:
        console.out.print(Text(f"  paused: {manifest.paused}", "bold yellow"))
    if not shards:
        return
    table = Table(box=None, header_style="bold")
    for heading in ("shard", "kind", "rows", "live rows", "tombstones", "size", f"recall@{_K}", "searched by"):
        table.add_column(heading, justify="left" if heading in ("shard", "kind", "searched by") else "right")
    for known in shards:
        entry = known.entry
        table.add_row(
            entry.shard_id[:12],
            entry.kind,
            f"{entry.rows:,}",
            f"{entry.live_rows:,}",
            f"{entry.tombstones:,}",
            shown_size(entry.size_bytes),
            f"{known.plan.recall_at(_K):.4f}" if known.plan else "",
            Text(f"damaged: {known.damaged}", "bold red") if known.plan is None else _way(known.plan),
        )
    console.out.print(table)


def _way(plan: SearchPlan) -> str:
    if plan.method == "exact":
        return "every row"
    missed = "" if plan.reached else f", target of {plan.recall_target} missed"
    return f"{plan.trees} trees of {plan.projected_dim} dimensions{missed}"


def _efforts_table(plan: SearchPlan) -> Table:
    """What the tree and a scan of its space do for each measured k; every row is scored where there is nothing."""
    table = Table("k", "searched by", "nodes", "re-ranked", "recall", "at least (95 %)", "µs", box=None)
    table.header_style = "bold"
    for k in sorted({effort.k for effort in plan.efforts}):
        if effort := plan.effort(k):
            spent = (f"{effort.search_k:,}", f"{effort.rerank:,}")
            recalls = (f"{effort.recall:.4f}", f"{effort.recall_lower95:.4f}")
            table.add_row(str(k), "tree", *spent, *recalls, f"{effort.cost_us:,.0f}")
        if scan := plan.scan(k):
            recalls = (f"{scan.recall:.4f}", f"{scan.recall_lower95:.4f}")
            table.add_row(str(k), "scan", "", f"{scan.candidates:,}", *recalls)
    return table


def _show_shard(facts: ShardFacts, as_json: bool) -> None:
    if as_json:
        commands.print_json(asdict(facts))
        return
    for name, value in (
        ("shard", facts.shard_id),
        ("kind", f"{facts.kind}, format {facts.format_version}, {facts.metric}"),
        ("rows", f"{facts.rows:,} of {facts.products:,} products, {facts.dim} dimensions"),
        ("live rows", f"{facts.live_rows:,}"),
        ("tombstones", f"{facts.tombstones:,}"),
        ("model", facts.model_id),
        ("searched by", _way(facts.plan)),
    ):
        console.out.print(f"{name:<12} {value}", highlight=False, markup=False)
    if facts.plan.method == "tree":
        console.out.print(_efforts_table(facts.plan))
        costs = facts.plan.costs
        console.out.print(
            f"a row costs {costs.exact_row_ns:.1f} ns scored with all others, {costs.rerank_row_ns:.1f} ns picked out, "
            f"{costs.projected_row_ns:.1f} ns in a scan",
            highlight=False,
        )
    table = Table("file", "size", "xxh3", "sha256", box=None, header_style="bold")
    for name, file in facts.files.items():
        table.add_row(name, shown_size(file.size_bytes), file.xxh3, f"{file.sha256[:16]}…")
    console.out.print(table)
