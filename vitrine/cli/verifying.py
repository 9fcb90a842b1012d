"""vitrine index verify: every byte of an index against its checksums."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from vitrine.cli import commands, console, ingesting
from vitrine.cli.shelves import IndexName, StoredIndex, StoreUrl, read_manifests, shown_size
from vitrine.index.manifest import Manifest, ShardEntry
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.runtime.errors import CorruptManifest, CorruptShard
from vitrine.shards.files import FileFacts, measure


@dataclass(frozen=True)
class Fault:
    """One thing that is not as it was written."""

    partition: int
    where: str
    what: str


@dataclass
class Checked:
    """What was read, and what is wrong."""

    manifests: int = 0
    shards: int = 0
    files: int = 0
    size_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)


def verify(
    partition: Annotated[int | None, typer.Argument(min=0, help="default: all")] = None,
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    store: StoreUrl = "",
    name: IndexName = DEFAULT_INDEX,
    every: Annotated[bool, typer.Option("--all", help="the shards of all manifests, not only of the newest")] = False,
    as_json: commands.AsJson = False,
) -> None:
    """Read every manifest, and every file of the newest one's shards, and compare them with their checksums."""
    stored = StoredIndex.open(folder, store, name)
    with console.progress_bar() as progress:
        checked = verified(stored, partition, every, progress)
    if as_json:
        commands.print_json(asdict(checked))
    else:
        _print(checked)
    if checked.faults:
        raise typer.Exit(1)


def verified(stored: StoredIndex, partition: int | None, every: bool, progress: ingesting.Progress) -> Checked:
    """Reads it all. Raises ConfigError (`partition`), StoreUnavailable."""
    checked = Checked()
    shards: list[tuple[int, ShardEntry, list[int]]] = []
    for number in stored.partitions(partition):
        held = list(_manifests(stored, number, checked))
        named: dict[ShardEntry, list[int]] = {}
        for manifest in held if every else held[-1:]:
            for entry in manifest.shards:
                named.setdefault(entry, []).append(manifest.version)
        shards += [(number, entry, versions) for entry, versions in named.items()]
    with tempfile.TemporaryDirectory(prefix="vitrine-verify-") as scratch:
        for done, (number, entry, versions) in enumerate(shards, 1):
            faults = list(_shard_faults(stored, number, entry, Path(scratch), checked))
            # A collection may have come between: what nothing names any more is not missing.
            if not faults or _still_there(stored, number, versions):
                checked.faults += faults
            progress("verify", done, len(shards))
    checked.shards = len(shards)
    return checked


def _manifests(stored: StoredIndex, partition: int, checked: Checked) -> Iterator[Manifest]:
    """The readable ones, oldest first."""
    log = stored.manifests(partition)
    for version, manifest in read_manifests(log, sorted(log.written_s())):
        checked.manifests += 1
        if isinstance(manifest, CorruptManifest):
            checked.faults.append(Fault(partition, f"manifest {version}", str(manifest)))
        elif (manifest.version, manifest.partition) != (version, partition):
            said = f"says it is manifest {manifest.version} of partition {manifest.partition}"
            checked.faults.append(Fault(partition, f"manifest {version}", said))
        else:
            yield manifest


def _shard_faults(
    stored: StoredIndex, partition: int, entry: ShardEntry, scratch: Path, checked: Checked
) -> Iterator[Fault]:
    where = f"shard {entry.shard_id}"
    try:
        facts = stored.facts(partition, entry)
    except CorruptShard as error:
        yield Fault(partition, where, str(error))
        return
    for name, wanted in facts.files.items():
        checked.files += 1
        try:
            found = _measured(stored, f"{stored.shard_prefix(partition, entry)}/{name}", scratch)
        except OSError as error:
            yield Fault(partition, f"{where}/{name}", f"cannot be read ({error.strerror})")
            continue
        checked.size_bytes += found.size_bytes if found else 0
        if what := _difference(wanted, found):
            yield Fault(partition, f"{where}/{name}", what)


def _measured(stored: StoredIndex, key: str, scratch: Path) -> FileFacts | None:
    """Size and checksums of a file of the store; None if it is missing. Raises StoreUnavailable, OSError."""
    local = stored.store.local_path(key)
    if local is not None:
        return measure(local) if local.is_file() else None
    copy = scratch / "file"
    try:
        return measure(copy) if stored.store.download(key, copy) is not None else None
    finally:
        copy.unlink(missing_ok=True)


def _difference(wanted: FileFacts, found: FileFacts | None) -> str:
    if found is None:
        return "is missing"
    if found.size_bytes != wanted.size_bytes:
        return f"has {found.size_bytes:,} bytes, {wanted.size_bytes:,} were written"
    wrong = [name for name in ("sha256", "xxh3") if getattr(found, name) != getattr(wanted, name)]
    return f"does not match its {' and '.join(wrong)}" if wrong else ""


def _still_there(stored: StoredIndex, partition: int, versions: list[int]) -> bool:
    log = stored.manifests(partition)
    return any(isinstance(found, Manifest) for _, found in read_manifests(log, versions))


def _print(checked: Checked) -> None:
    read = f"{checked.manifests:,} manifests, {checked.shards:,} shards, {checked.files:,} files"
    verdict = f"{len(checked.faults):,} not as written" if checked.faults else "all as written"
    console.out.print(f"{read}, {shown_size(checked.size_bytes)} read: {verdict}", highlight=False, soft_wrap=True)
    if checked.faults:
        table = Table("partition", "where", "what", box=None, header_style="bold")
        for fault in checked.faults:
            table.add_row(str(fault.partition), Text(fault.where), Text(fault.what))
        console.out.print(table)
