"""What people see: tables, progress, summaries. Progress goes to standard error, results to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from vitrine.cli import ingesting
from vitrine.client import Answer
from vitrine.facets import Facet
from vitrine.v1 import gateway_pb2

# Without a terminal rich takes 80 columns: what a file or another program gets need not be folded.
_WIDTH_OF_NO_TERMINAL = 240
out = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_NO_TERMINAL)
err = Console(stderr=True)

_SHOWN_REFUSALS = 20
_SHOWN_VALUES = 20
_LABELS = {"publish": "Publishing", "index": "Indexing"}


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
        attributes = ", ".join(f"{name}={_shown(value)}" for name, value in sorted(hit.attributes.items()))
        table.add_row(str(number), Text(hit.product_id), f"{hit.score:.3f}", Text(hit.category), Text(attributes))
    out.print(table)
    for facet in answer.facets:
        _print_facet(facet)
    if answer.plans:
        _print_plans(answer)
    if not answer.coverage.complete:
        coverage = answer.coverage
        err.print(
            f"[bold yellow]Partial answer:[/] {coverage.partitions_answered} of {coverage.partitions_total} partitions"
        )
        for partition, reason in coverage.failures.items():
            err.print(Text(f"  partition {partition}: {reason}"))


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
