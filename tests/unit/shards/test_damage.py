"""A file is trusted only after its checksum: a damaged shard is refused, and never crashes the process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders import fresh, product, rolled, scattered, searched, singles, snapshot
from vitrine.runtime.errors import CorruptShard
from vitrine.shards import files, tree
from vitrine.shards.records import LiveVersion, Tombstone
from vitrine.shards.shard import Shard

Damage = Callable[[Path, np.random.Generator], object]


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def flip(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


DAMAGES: dict[str, Damage] = {
    "emptied": lambda path, _: cut(path, 0),
    "cut early": lambda path, _: cut(path, 0.1),
    "cut in half": lambda path, _: cut(path, 0.5),
    "last byte lost": lambda path, _: path.write_bytes(path.read_bytes()[:-1]),
    "one byte more": lambda path, _: path.write_bytes(path.read_bytes() + b"\0"),
    "missing": lambda path, _: path.unlink(),
    "all zeros": lambda path, _: path.write_bytes(bytes(path.stat().st_size)),
    "another file": lambda path, rng: path.write_bytes(rng.bytes(path.stat().st_size)),
}
FRESH_FILES = (files.FRESH_FILE, files.LIVE_FILE, files.FACTS_FILE)
ROLLED_FILES = (
    *(files.ROWS_FILE, files.TOMBSTONES_FILE, files.KEYS_FILE, files.VECTORS_FILE),
    *(files.LIVE_FILE, files.FACTS_FILE),
)
TREE_FILES = (files.TREE_FILE, files.PROJECTION_FILE, files.PROJECTED_FILE)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One sound shard of each kind, never written to."""
    parent = tmp_path_factory.mktemp("sound")
    vectors = scattered(np.random.default_rng(0), 1_100)
    gone = [Tombstone("gone", 7)]
    few = [product("many", vectors[:3], attributes={"colour": "red", "sizes": ("S",)}), *singles(vectors[:20])]
    live = [LiveVersion("many", 3, {"price": 9.5, "in_stock": True}), LiveVersion("p1", 4, {})]
    built = {"fresh": fresh(parent, few, gone, live=live), "rolled": rolled(parent, few, gone, live=live)}
    if tree.available():
        built["tree"] = rolled(parent, singles(vectors), gone, live=live)
    return {kind: parent / shard.facts.shard_id for kind, shard in built.items()}


@pytest.fixture
def copy(sound: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def copied(kind: str) -> Path:
        if kind == "tree":
            pytest.importorskip("annoy")
        return shutil.copytree(sound[kind], tmp_path / sound[kind].name)

    return copied


EVERY_FILE = [
    *(("fresh", name) for name in FRESH_FILES),
    *(("rolled", name) for name in ROLLED_FILES),
    *(("tree", name) for name in TREE_FILES),
]
# shard.json is checked against the manifest: see tests/unit/index/test_shelf.py.
EVERY_CHECKSUMMED_FILE = [(kind, name) for kind, name in EVERY_FILE if name != files.FACTS_FILE]


def test_every_file_of_a_shard_is_tried_here(copy: Callable[[str], Path]) -> None:
    folders = {kind: {path.name for path in copy(kind).iterdir()} for kind in ("fresh", "rolled", "tree")}

    assert folders["fresh"] == set(FRESH_FILES)
    assert folders["rolled"] == set(ROLLED_FILES)
    assert folders["tree"] == {*ROLLED_FILES, *TREE_FILES}


@pytest.mark.parametrize(("kind", "name"), EVERY_FILE)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_refused(copy: Callable[[str], Path], kind: str, name: str, damage: Damage) -> None:
    folder = copy(kind)
    damage(folder / name, np.random.default_rng(1))

    with pytest.raises(CorruptShard):
        Shard.open(folder)


@pytest.mark.parametrize(("kind", "name"), EVERY_CHECKSUMMED_FILE)
def test_a_flipped_bit_is_found_wherever_it_is(copy: Callable[[str], Path], kind: str, name: str) -> None:
    folder, rng = copy(kind), np.random.default_rng(2)
    whole = (folder / name).read_bytes()
    for _ in range(40):
        flip(folder / name, rng)
        with pytest.raises(CorruptShard, match="checksum"):
            Shard.open(folder)
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize("kind", ["fresh", "rolled", "tree"])
def test_a_flipped_bit_in_the_facts_does_no_worse_than_refuse(copy: Callable[[str], Path], kind: str) -> None:
    folder, rng = copy(kind), np.random.default_rng(3)
    whole = (folder / files.FACTS_FILE).read_bytes()
    query = scattered(rng, 1)
    for _ in range(150):
        flip(folder / files.FACTS_FILE, rng)
        try:
            shard = Shard.open(folder)
        except CorruptShard:
            continue
        finally:
            (folder / files.FACTS_FILE).write_bytes(whole)
        searched(snapshot(shard), query, 10)


@pytest.mark.parametrize(
    "facts",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b'{"format_version": 1}',
        b'{"format_version": 1, "plan": [], "files": {}}',
        b'{"format_version": 1, "plan": {"efforts": []}, "files": []}',
        b"\xff\xfe",
    ],
)
def test_facts_that_are_none_are_refused(copy: Callable[[str], Path], facts: bytes) -> None:
    folder = copy("fresh")
    (folder / files.FACTS_FILE).write_bytes(facts)

    with pytest.raises(CorruptShard):
        Shard.open(folder)


def with_facts(folder: Path, **changes: Any) -> Path:
    path = folder / files.FACTS_FILE
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))
    return folder


@pytest.mark.parametrize("version", [0, 4, 99, "1", None])
def test_an_unknown_format_version_is_refused_by_name(copy: Callable[[str], Path], version: object) -> None:
    with pytest.raises(CorruptShard, match="format_version"):
        Shard.open(with_facts(copy("rolled"), format_version=version))


@pytest.mark.parametrize("kind", ["fresh", "rolled", "tree"])
@pytest.mark.parametrize(
    "changes", [{"rows": 22}, {"rows": 0}, {"dim": 16}, {"dim": 7}, {"dim": 0}, {"live_rows": 1}, {"live_rows": 0}]
)
def test_facts_that_do_not_fit_the_files_are_refused(
    copy: Callable[[str], Path], kind: str, changes: dict[str, int]
) -> None:
    with pytest.raises(CorruptShard):
        Shard.open(with_facts(copy(kind), **changes))


@pytest.mark.parametrize("kind", ["fresh", "rolled", "tree"])
def test_facts_that_do_not_list_the_live_rows_are_refused(copy: Callable[[str], Path], kind: str) -> None:
    folder = copy(kind)
    listed = json.loads((folder / files.FACTS_FILE).read_bytes())["files"]
    del listed[files.LIVE_FILE]

    with pytest.raises(CorruptShard, match="live rows"):
        Shard.open(with_facts(folder, files=listed))


@pytest.mark.parametrize("kind", ["fresh", "rolled"])
def test_a_fact_nobody_knows_is_refused(copy: Callable[[str], Path], kind: str) -> None:
    with pytest.raises(CorruptShard):
        Shard.open(with_facts(copy(kind), shape="round"))


@pytest.mark.parametrize(("kind", "other"), [("fresh", "rolled"), ("rolled", "fresh")])
def test_a_shard_is_not_opened_as_the_other_kind(copy: Callable[[str], Path], kind: str, other: str) -> None:
    with pytest.raises(CorruptShard):
        Shard.open(with_facts(copy(kind), kind=other))


@pytest.mark.parametrize("projected_dim", [1, 2, 3, 5, 8, 64])
def test_a_tree_of_another_dimension_is_refused(copy: Callable[[str], Path], projected_dim: int) -> None:
    folder = copy("tree")
    plan = json.loads((folder / files.FACTS_FILE).read_bytes())["plan"]

    with pytest.raises(CorruptShard):
        Shard.open(with_facts(folder, plan={**plan, "projected_dim": projected_dim}))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptShard, match="missing"):
        Shard.open(tmp_path / "nowhere")


def test_files_that_belong_to_nobody_do_no_harm(copy: Callable[[str], Path]) -> None:
    folder = copy("rolled")
    (folder / "stray.partial").write_bytes(b"left behind")

    assert Shard.open(folder).rows == 23
