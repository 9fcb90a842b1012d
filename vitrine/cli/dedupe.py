"""vitrine dedupe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from vitrine.cli import commands, console, filtering, searching
from vitrine.cli.grid import Cell, check_grid_path, check_writable, save_grid
from vitrine.cli.page import PageGroup, save_page
from vitrine.client import DuplicateGroup, VisualSearchClient

# What a report shows: a page that a browser opens, or a picture that a viewer does. The table and the JSON have all.
PAGE_GROUPS: Final = 1_000
GRID_GROUPS: Final = 50
GROUP_PICTURES: Final = 24


def dedupe(
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    gateway: commands.Gateway = "",
    min_score: Annotated[
        float | None, typer.Option(help="products with pictures at least that alike, 0.5 to 1; default: 0.995")
    ] = None,
    filters: searching.FilterOption = None,
    as_json: commands.AsJson = False,
    save: Annotated[Path | None, typer.Option(help="save a picture report: report.html, or a picture grid")] = None,
) -> None:
    """Find groups of near-duplicate products in the whole catalogue."""
    if save:
        _check_path(save)
    with commands.gateway_client(folder, gateway) as client:
        with console.progress_bar() as progress:
            found = client.find_duplicates(
                min_score=min_score,
                filter=filtering.filter_of(filters or ()),
                progress=lambda done, total: progress("compare", done, total),
            )
            groups = list(found)
        assert found.summary is not None
        if save:
            _save(client, groups, save)
    if as_json:
        listed = [[asdict(member) for member in group] for group in groups]
        commands.print_json({"groups": listed, **asdict(found.summary)})
    else:
        console.print_duplicates(groups, found.summary)
    if save:
        console.err.print(f"Report saved to {save}", markup=False)


def _is_page(path: Path) -> bool:
    return path.suffix.lower() in (".html", ".htm")


def _check_path(path: Path) -> None:
    """Raises ConfigError (`save`) before any work is done."""
    if _is_page(path):
        check_writable(path)
    else:
        check_grid_path(path)


def _save(client: VisualSearchClient, groups: Sequence[DuplicateGroup], path: Path) -> None:
    shown = groups[: PAGE_GROUPS if _is_page(path) else GRID_GROUPS]
    cells = (searching.result_cells(client, group[:GROUP_PICTURES]) for group in shown)
    titles = [_title(number, group) for number, group in enumerate(shown, 1)]
    if _is_page(path):
        pages = (PageGroup(title, some) for title, some in zip(titles, cells, strict=True))
        save_page("Near-duplicate products", _count(len(groups), len(shown)), pages, path)
    else:
        save_grid([(first, others) for first, *others in cells] or [(Cell(None, "no near-duplicates"), [])], path)


def _title(number: int, group: DuplicateGroup) -> str:
    more = f", {GROUP_PICTURES} of them shown" if len(group) > GROUP_PICTURES else ""
    return f"Group {number}: {len(group):,} products{more}"


def _count(groups: int, shown: int) -> str:
    return f"{groups:,} groups" + (f", the {shown:,} largest of them shown" if shown < groups else "")
