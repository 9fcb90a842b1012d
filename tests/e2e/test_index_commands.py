"""vitrine index ls, inspect, verify and what its owner is asked for: compact, gc, rollback, resume, skip-to."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import last_json, running_up, succeeded, vitrine
from tests.integration.shop import all_found, drawn, eventually, indexed, published
from vitrine.cli.stack import known_addresses
from vitrine.client import VisualSearchClient

pytestmark = pytest.mark.thorough

DAY_S = 24 * 3600.0
PARTITION = "0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A `vitrine up` of its own: its one partition is paused and rolled back here."""
    folder = tmp_path_factory.mktemp("index") / "up"
    with running_up(folder, env={"VITRINE_INDEXER_COMMIT_INTERVAL_S": "0.1"}):
        yield folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[VisualSearchClient]:
    with VisualSearchClient(known_addresses(folder)["gateway"]["grpc"]) as client:
        indexed(client, published(client, [product.upsert() for product in drawn()[:2]]))
        yield client


def test_a_rollback_shows_the_old_state_until_a_resume_reads_the_rest_again(
    folder: Path, client: VisualSearchClient
) -> None:
    before, old = all_found(client), _newest(folder)
    indexed(client, published(client, [product.upsert() for product in drawn()[2:4]]))
    after = all_found(client)

    said = _asked(folder, "rollback", PARTITION, str(old["version"]))
    why = f"rolled back to manifest {old['version']}"
    assert (said["state"], said["next_offset"]) == (f"paused: {why}", old["next_offset"])
    eventually(lambda: all_found(client) == before)
    published(client, [drawn()[4].upsert()])
    time.sleep(1)  # ten times the commit interval
    assert all_found(client) == before
    assert _newest(folder)["paused"] == why

    assert _asked(folder, "resume", PARTITION)["state"] == "running"
    eventually(lambda: all_found(client) == sorted([*after, drawn()[4].product_id]))
    done = vitrine("index", "resume", PARTITION, "--folder", folder)
    assert (done.returncode, done.stderr) == (1, "vitrine: partition 0 is neither paused nor halted\n")


def test_what_is_skipped_is_never_indexed(folder: Path, client: VisualSearchClient) -> None:
    version = _newest(folder)["version"]
    [position] = published(client, [drawn()[5].upsert()])
    indexed(client, [position])
    _asked(folder, "rollback", PARTITION, str(version))

    end = str(position.offset + 1)
    done = vitrine("index", "skip-to", PARTITION, str(position.offset + 2), "--folder", folder)
    assert done.returncode == 1
    assert done.stderr == f"vitrine: offset: {position.offset + 2} lies beyond the end of the log, {end}\n"
    assert _asked(folder, "skip-to", PARTITION, end)["next_offset"] == position.offset + 1
    indexed(client, published(client, [drawn()[6].upsert()]))
    assert drawn()[5].product_id not in all_found(client)
    assert drawn()[6].product_id in all_found(client)


def test_a_compaction_leaves_one_shard_of_what_is_live(folder: Path, client: VisualSearchClient) -> None:
    for product in drawn()[7:10]:
        indexed(client, published(client, [product.upsert()]))
    before = all_found(client)
    assert len(_newest(folder)["shards"]) > 1
    assert _asked(folder, "compact", PARTITION)["rows_rewritten"] > 0
    [shard] = _newest(folder)["shards"]
    assert (shard["kind"], shard["plan"]["method"], shard["tombstones"]) == ("rolled", "exact", 0)
    eventually(lambda: all_found(client) == before)


def test_a_shard_is_described_down_to_its_files(folder: Path, client: VisualSearchClient) -> None:
    shard = _newest(folder)["shards"][0]
    facts = _asked(folder, "inspect", PARTITION, shard["shard_id"][:8])
    assert (facts["shard_id"], facts["rows"], facts["dim"]) == (shard["shard_id"], shard["rows"], 512)
    assert {len(file["sha256"]) for file in facts["files"].values()} == {64}
    assert shard["shard_id"][:8] in succeeded("index", "inspect", "--folder", folder)


def test_a_collection_takes_old_manifests_and_a_rollback_to_one_is_refused(
    folder: Path, client: VisualSearchClient
) -> None:
    for version in (1, 2):
        _written_days_ago(folder, version)
    states = {line["version"]: line["state"] for line in _manifests(folder)}
    assert [states[version] for version in (1, 2)] == ["rollback until next gc"] * 2
    assert _asked(folder, "gc")["manifests"] == 2
    # A heartbeat may have added one meanwhile.
    assert states.keys() - {line["version"] for line in _manifests(folder)} == {1, 2}
    done = vitrine("index", "rollback", PARTITION, "1", "--folder", folder)
    assert (done.returncode, done.stderr) == (1, "vitrine: version: there is no manifest 1 of partition 0\n")


def test_verify_finds_one_bit_in_a_copy_that_no_service_reads(
    folder: Path, client: VisualSearchClient, tmp_path: Path
) -> None:
    _asked(folder, "compact", PARTITION)
    # What is being written meanwhile lies beside, and may be gone before it is copied.
    store = shutil.copytree(folder / "store", tmp_path / "store", ignore=shutil.ignore_patterns("*#*", ".scratch"))
    checked = last_json(succeeded("index", "verify", "--store", store, "--json"))
    assert checked["faults"] == []
    assert checked["files"] > 0

    partition = store / "default" / "p00000"
    [shard], oldest = _newest(tmp_path)["shards"], _manifests(tmp_path)[0]["version"]
    _flip_a_bit(partition / "shards" / shard["shard_id"] / "vectors.npy")
    _flip_a_bit(partition / "manifests" / f"{oldest:010d}.json")
    done = vitrine("index", "verify", "--store", store)
    assert done.returncode == 1
    said = ("2 not as written", "vectors.npy", "does not match its sha256 and xxh3", f"manifest {oldest} ")
    assert [words for words in said if words not in done.stdout] == []
    assert _manifests(tmp_path)[0]["state"] == "damaged"


def test_everything_that_is_there_is_as_it_was_written(folder: Path, client: VisualSearchClient) -> None:
    checked = last_json(succeeded("index", "verify", "--all", "--folder", folder, "--json"))
    assert checked["faults"] == []


@pytest.mark.parametrize("command", [["gc"], ["skip-to", "0", "1"]])
def test_without_an_owner_nothing_is_changed(tmp_path: Path, command: list[str]) -> None:
    done = vitrine("index", *command, "--folder", tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("vitrine: indexer: none runs in ")
    assert f"`vitrine up --folder {tmp_path}`" in line


@pytest.mark.parametrize(
    ("options", "field"),
    [(("--store", "none"), "store"), (("--index", "other"), "index"), (("7",), "partition"), (("0", "x"), "shard")],
)
def test_what_is_not_there_is_named(
    folder: Path, client: VisualSearchClient, options: tuple[str, ...], field: str
) -> None:
    done = vitrine("index", "inspect", *options, "--folder", folder)
    assert done.returncode in (1, 2)
    assert [line.startswith(f"vitrine: {field}: ") for line in done.stderr.splitlines()] == [True]
    assert not Path("none").exists()


def _asked(folder: Path, *words: str) -> dict[str, Any]:
    """What an `index` command answers in JSON."""
    return last_json(succeeded("index", *words, "--folder", folder, "--json"))


def _newest(folder: Path) -> dict[str, Any]:
    """The newest manifest with its shards."""
    [partition] = _asked(folder, "inspect", PARTITION)["partitions"]
    assert isinstance(partition, dict)
    return partition


def _manifests(folder: Path) -> list[dict[str, Any]]:
    [partition] = _asked(folder, "ls", "--last", "0")["partitions"]
    lines: list[dict[str, Any]] = partition["manifests"]
    return lines


def _written_days_ago(folder: Path, version: int) -> None:
    file = folder / "store" / "default" / "p00000" / "manifests" / f"{version:010d}.json"
    then_s = time.time() - 2 * DAY_S
    os.utime(file, (then_s, then_s))


def _flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
