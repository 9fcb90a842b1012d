"""What people see: tables, progress, summaries. Progress goes to standard error, results to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from vitrine.cli import ingesting
from vitrine.client import (
    Answer,
    Coverage,
    DuplicateGroup,
    DuplicateMember,
    DuplicatesSummary,
    FoundRegion,
    Look,
    Recommendations,
)
from vitrine.facets import Facet
from vitrine.shards.records import Hit
from vitrine.v1 import gateway_pb2

# Without a terminal rich takes 80 columns: what a file or another program gets need not be folded.
_WIDTH_OF_NO_TERMINAL = 240
out = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_NO_TERMINAL)
err = Console(stderr=True)

_SHOWN_REFUSALS = 20
_SHOWN_VALUES = 20
# From this share of certainty on, it is said that a picture shows no product.
_DOUBTFUL = 0.5
_LABELS = {"publish": "Publishing", "index": "Indexing", "compare": "Comparing"}


class _Rate(TextColumn):
    """Products a second since the bar began."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: object) -> Text:
        elapsed = getattr(task, "elapsed", None) or 0.0
        done = getattr(task, "completed", 0)
        return Text(f"{done / elapsed:,.0f}/s" if elapsed > 0 else "")


@contextmanager
def progress_bar() -> Iterator[ingesting.Progress]:
    """A bar a stage, with rate and time left."""
    columns = (TextColumn("{task.description:<11}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=err) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_LABELS.get(stage, stage), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress


def print_report(report: ingesting.Report) -> None:
    """What an ingest did and what was refused, by reason."""
    rate = report.images / report.seconds if report.seconds else 0.0
    err.print(
        f"{report.published:,} products, {report.images:,} images in {report.seconds:.1f} s ({rate:,.0f} images/s)"
        + (f"; {report.skipped:,} were published before" if report.skipped else "")
    )
    for title, items in (("refused", report.refused), ("indexed without some images", report.partly)):
        if not items:
            continue
        err.print(f"[bold]{len(items):,} {title}:[/bold]")
        for product_id, reason in list(items.items())[:_SHOWN_REFUSALS]:
            err.print(Text(f"  {product_id}: {reason}"))
        if len(items) > _SHOWN_REFUSALS:
            err.print(f"  … and {len(items) - _SHOWN_REFUSALS:,} more")


def print_answer(answer: Answer) -> None:
    """The products found, as a table, and an honest line if some partitions are missing."""
    table = Table("", "product", "score", "category", "attributes", box=None, header_style="bold")
    for number, hit in enumerate(answer.hits, 1):
        table.add_row(str(number), *_cells(hit))
    out.print(table)
    for facet in answer.facets:
        _print_facet(facet)
    if answer.plans:
        _print_plans(answer)
    _say_region(answer.region)
    _say_coverage(answer.coverage)


def print_recommendations(found: Recommendations) -> None:
    """The products, each with the one of the history that explains it; then what the history is about."""
    table = Table("", "product", "score", "category", "attributes", "because of", box=None, header_style="bold")
    for number, result in enumerate(found.results, 1):
        table.add_row(str(number), *_cells(result.hit), Text(result.because_product_id))
    out.print(table)
    for interest in found.interests:
        out.print(Text(f"{interest.weight:.0%} about {', '.join(interest.history_product_ids)}"))
    if found.unknown_product_ids:
        err.print(Text(f"Not in the index: {', '.join(found.unknown_product_ids)}"))
    _say_coverage(found.coverage)


def print_look(found: Look) -> None:
    """The products by category, best category first."""
    table = Table("", "product", "affinity", "category", "attributes", box=None, header_style="bold")
    for category in found.categories:
        for number, hit in enumerate(category.hits, 1):
            table.add_row(str(number), *_cells(hit))
    out.print(table)
    err.print(Text(f"What goes with {found.own_category or 'it'}, by affinity: {found.affinity}"))
    _say_region(found.region)
    _say_coverage(found.coverage)


def print_duplicates(groups: Sequence[DuplicateGroup], summary: DuplicatesSummary) -> None:
    """A block a group, the largest first."""
    table = Table("group", "product", "score", "category", "attributes", box=None, header_style="bold")
    for number, group in enumerate(groups, 1):
        for member in group:
            table.add_row(str(number), *_cells(member))
        table.add_section()
    out.print(table)
    products = sum(map(len, groups))
    err.print(f"{len(groups):,} groups of {products:,} products; {summary.products_compared:,} were compared")
    _say_coverage(summary.coverage)


def say_saved(grid: Path) -> None:
    err.print(f"Grid saved to {grid}", markup=False)


def print_status(status: gateway_pb2.GetIndexStatusResponse) -> None:
    """Partitions and shards of an index."""
    out.print(
        f"index [bold]{status.index}[/bold]  {status.metric}, {status.dim} dimensions, model {status.model_id[:12]}, "
        f"{status.coverage.partitions_answered} of {status.partitions_total} partitions answer"
    )
    table = Table("partition", "manifest", "next offset", "products", "rows", "indexed up to", "shards", box=None)
    for partition in status.partitions:
        shards = ", ".join(
            f"{shard.kind} {shard.rows_live:,}/{shard.rows:,}"
            + (f" (tree, recall {shard.recall_at_10:.4f})" if shard.method == "tree" else "")
            for shard in partition.shards
        )
        table.add_row(
            str(partition.partition),
            str(partition.version),
            f"{partition.next_offset:,}",
            f"{partition.products_live:,}",
            f"{partition.rows_live:,}",
            partition.index_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
            shards or "none",
        )
    out.print(table)
    for failure in status.coverage.failures:
        err.print(Text(f"partition {failure.partition}: {failure.reason}"))


def _cells(hit: Hit | DuplicateMember) -> tuple[Text, str, Text, Text]:
    attributes = ", ".join(f"{name}={_shown(value)}" for name, value in sorted(hit.attributes.items()))
    return Text(hit.product_id), f"{hit.score:.3f}", Text(hit.category), Text(attributes)


def _say_region(region: FoundRegion | None) -> None:
    if region is None:
        return
    if region.crop is None:
        err.print("Nothing stands out in the picture: all of it was asked with.")
    else:
        err.print(f"Asked with the part {','.join(f'{side:.2f}' for side in region.crop)} of the picture.")
    if (region.no_product_score or 0) >= _DOUBTFUL:
        err.print(f"The model sees no product in it ({region.no_product_score:.0%} sure).")


def _say_coverage(coverage: Coverage) -> None:
    if coverage.complete:
        return
    answered, total = coverage.partitions_answered, coverage.partitions_total
    err.print(f"[bold yellow]Partial answer:[/] {answered} of {total} partitions")
    for partition, reason in coverage.failures.items():
        err.print(Text(f"  partition {partition}: {reason}"))


def _print_facet(facet: Facet) -> None:
    out.print(f"\n[bold]{escape(facet.field)}[/bold] of the best {facet.products:,}")
    table = Table(box=None, show_header=False)
    for value, products in facet.counts[:_SHOWN_VALUES]:
        table.add_row(Text(_shown(value)), f"{products:,}")
    others = len(facet.counts) - _SHOWN_VALUES + facet.values_left_out
    if others > 0:
        table.add_row(f"… and {others:,} more values", "")
    if facet.products_without:
        table.add_row("without", f"{facet.products_without:,}")
    out.print(table)


def _print_plans(answer: Answer) -> None:
    out.print(f"\nrecall {answer.recall:.4f} measured for what was spent")
    names = ("partition", "shard", "method", "rows", "matching", "nodes", "scored", "search ms", "mask ms")
    table = Table(*names, box=None, header_style="bold")
    for plan in answer.plans:
        table.add_row(
            str(plan.partition),
            plan.shard_id or "fresh",
            plan.method + (" (fell back)" if plan.fell_back else ""),
            *(f"{count:,}" for count in (plan.rows_live, plan.rows_matching, plan.nodes_inspected, plan.rows_scored)),
            f"{plan.search_us / 1000:.3f}",
            "cached" if plan.mask_cached else f"{plan.mask_us / 1000:.3f}",
        )
    out.print(table)


def _shown(value: object) -> str:
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)
