"""vitrine index: make an index, look at it, check it, and ask its owner to change it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from vitrine.cli import commands, console, creating, indexer, inspecting, verifying
from vitrine.cli.connecting import connecting
from vitrine.cli.shelves import IndexName, StoredIndex, StoreUrl, read_manifests, shown_time
from vitrine.index.manifest import Manifest, ManifestLog
from vitrine.index.retention import kept_versions
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.runtime.errors import CorruptManifest

_NUMBERS = frozenset({"version", "epoch", "shards", "rows", "offset", "live"})

index = typer.Typer(no_args_is_help=True, help="Look at an index, check it, and change what it holds.")
index.command("status")(connecting(commands.index_status))


@dataclass(frozen=True)
class ManifestLine:
    """One manifest, as a person sees it. `state`: whether a rollback may name it, and for how long."""

    version: int
    written: str
    state: str
    epoch: int = 0
    shards: int = 0
    rows: int = 0
    next_offset: int = 0
    next_live_offset: int = 0
    paused: str = ""


@index.command()
def ls(
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    store: StoreUrl = "",
    name: IndexName = DEFAULT_INDEX,
    last: Annotated[int, typer.Option(min=0, help="newest manifests to show of each partition; 0 = all")] = 20,
    as_json: commands.AsJson = False,
) -> None:
    """Manifests of each partition, newest last, and which of them a rollback may name."""
    stored = StoredIndex.open(folder, store, name)
    listed = {partition: _listed(stored.manifests(partition), last) for partition in stored.partitions()}
    if as_json:
        partitions = [
            {"partition": partition, "manifests": [asdict(line) for line in lines], "older": older}
            for partition, (lines, older) in listed.items()
        ]
        commands.print_json({"index": name, "partitions": partitions})
        return
    for partition, (lines, older) in listed.items():
        _print(partition, lines, older)


index.command("create")(creating.create)
index.command("inspect")(inspecting.inspect)
index.command("verify")(verifying.verify)
index.command("compact")(connecting(indexer.compact))
index.command("gc")(connecting(indexer.gc))
index.command("rollback")(connecting(indexer.rollback))
index.command("resume")(connecting(indexer.resume))
index.command("skip-to")(connecting(indexer.skip_to))


def _listed(log: ManifestLog, last: int) -> tuple[list[ManifestLine], int]:
    """The newest `last` manifests, oldest first, and how many older ones there are."""
    written_s = log.written_s()
    versions = sorted(written_s)
    shown = versions[-last:] if last else versions
    kept = kept_versions(written_s)
    found = list(read_manifests(log, shown))
    current = max((version for version, manifest in found if isinstance(manifest, Manifest)), default=0)
    lines = []
    for version, manifest in found:
        state = "current" if version == current else "rollback" if version in kept else "rollback until next gc"
        lines.append(_line(version, manifest, shown_time(written_s[version]), state))
    return lines, len(versions) - len(shown)


def _line(version: int, manifest: Manifest | CorruptManifest, written: str, state: str) -> ManifestLine:
    if isinstance(manifest, CorruptManifest):
        return ManifestLine(version, written, "damaged")
    return ManifestLine(
        version,
        written,
        state,
        manifest.writer_epoch,
        len(manifest.shards),
        sum(entry.rows for entry in manifest.shards),
        manifest.next_offset,
        manifest.next_live_offset,
        manifest.paused,
    )


def _print(partition: int, lines: list[ManifestLine], older: int) -> None:
    if not lines:
        console.out.print(f"partition {partition}: no manifest yet")
        return
    title = f"partition {partition}" + (f", {older:,} older manifests not shown (--last 0)" if older else "")
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    for heading in ("version", "written (UTC)", "epoch", "shards", "rows", "offset", "live", ""):
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=True)
    for line in lines:
        numbers = (line.epoch, line.shards, line.rows, line.next_offset, line.next_live_offset)
        state = f"{line.state}, paused: {line.paused}" if line.paused else line.state
        table.add_row(str(line.version), line.written, *(f"{number:,}" for number in numbers), Text(state))
    console.out.print(table)
