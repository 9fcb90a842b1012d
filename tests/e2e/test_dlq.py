"""vitrine dlq: what was refused is listed, shown, and published again once its cause is mended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import last_json, running_up, succeeded, vitrine
from tests.integration.shop import drawn, eventually, indexed, published
from vitrine.cli.letters import parsed
from vitrine.cli.stack import known_addresses
from vitrine.client import VisualSearchClient
from vitrine.index.pictures import Pictures
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.index.store import Store
from vitrine.runtime.errors import NotFound
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.events import ImageRef, Upsert
from vitrine.stream.log import CONTENT_TYPE, JSON, REPLAYED_OFFSET, Entry, Position, Stream

pytestmark = pytest.mark.thorough

NO_EVENT = b'{"product_id": "coat", "upsert": {"colours": 3}}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A `vitrine up` of its own, with one partition: only what is refused here is in its dead letters."""
    folder = tmp_path_factory.mktemp("dlq") / "up"
    with running_up(folder, env={"VITRINE_INDEXER_COMMIT_INTERVAL_S": "0.1"}):
        yield folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[VisualSearchClient]:
    with VisualSearchClient(known_addresses(folder)["gateway"]["grpc"]) as client:
        yield client


@pytest.fixture(scope="module")
def log(folder: Path) -> Iterator[EmbeddedLog]:
    """For writing what the gateway would not take."""
    with closing(EmbeddedLog.open_existing(folder / "stream.sqlite")) as log:
        yield log


def test_what_cannot_be_decoded_is_listed_and_shown_as_it_is(folder: Path, log: EmbeddedLog) -> None:
    headers = ((CONTENT_TYPE, JSON), ("trace", b"7"))
    [event, live] = log.append(
        [Entry("coat", NO_EVENT, headers=headers), Entry("coat", b"\xff\x00", Stream.LIVE)],
    )
    eventually(lambda: {event, live} <= _refused(log))
    listed = {letter["position"]: letter for letter in _letters("ls", folder)}
    assert "colours" in listed[_name(event)]["reason"]
    assert "value" in listed[_name(live)]["reason"]
    assert [letter["position"] for letter in _letters("ls", folder, "--stream", "live")] == [_name(live)]
    assert _name(live) in succeeded("dlq", "ls", "--folder", folder)

    shown = last_json(succeeded("dlq", "show", _name(event), "--folder", folder, "--json"))
    assert shown["event"] == {"product_id": "coat", "upsert": {"colours": 3}}
    assert shown["headers"] == {CONTENT_TYPE: JSON.decode(), "trace": "7"}
    shown = last_json(succeeded("dlq", "show", _name(live), "--folder", folder, "--json"))
    assert (shown["value"], "event" in shown) == ("ff00", False)


def test_a_replay_is_the_record_as_it_was_with_the_offset_it_had(folder: Path, log: EmbeddedLog) -> None:
    headers = ((CONTENT_TYPE, JSON), ("trace", b"8"))
    [position] = log.append([Entry("scarf", NO_EVENT, headers=headers)])
    eventually(lambda: position in _refused(log))
    [result] = _letters("replay", folder, _name(position))
    [record] = log.read(parsed(result["replayed_as"]), 1)
    assert (record.key, record.value) == ("scarf", NO_EVENT)
    assert record.headers == (*headers, (REPLAYED_OFFSET, str(position.offset).encode()))


def test_a_letter_is_indexed_by_a_replay_once_its_cause_is_mended(
    folder: Path, log: EmbeddedLog, client: VisualSearchClient
) -> None:
    picture = drawn()[0].pictures[0]
    position = _refused_for_lack_of(picture, "mended", client, log)
    shown = succeeded("dlq", "show", f"{position.partition}:{position.offset}", "--folder", folder)
    assert "no picture is stored" in shown
    assert '"product_id": "mended"' in shown

    _store(folder, picture)
    [result] = _letters("replay", folder, _name(position))
    assert result["position"] == _name(position)
    assert result["refused"] == ""
    eventually(lambda: _found(client, "mended"))
    assert client.product("mended").position == position  # as new as it was, and no newer

    again = vitrine("dlq", "replay", _name(position), "--folder", folder)
    assert again.returncode == 1
    assert f"refused: published again already, as {result['replayed_as']}" in again.stdout


def test_a_replay_that_is_refused_again_can_be_replayed_again(
    folder: Path, log: EmbeddedLog, client: VisualSearchClient
) -> None:
    picture = drawn()[1].pictures[0]
    position = _refused_for_lack_of(picture, "twice", client, log)
    [first] = _letters("replay", folder, _name(position))
    eventually(lambda: first["replayed_as"] in map(_name, _refused(log)))
    letters = {letter["position"]: letter["replay_of"] for letter in _letters("ls", folder)}
    assert letters[first["replayed_as"]] == _name(position)

    _store(folder, picture)
    [second] = _letters("replay", folder, _name(position))
    assert (second["position"], second["refused"]) == (first["replayed_as"], "")
    eventually(lambda: _found(client, "twice"))
    assert client.product("twice").position == position


def test_a_letter_is_refused_as_superseded_by_a_later_event(
    folder: Path, log: EmbeddedLog, client: VisualSearchClient
) -> None:
    old, new = drawn()[2].pictures[0], drawn()[3].pictures[0]
    position = _refused_for_lack_of(old, "newer", client, log)
    [later] = published(client, [Upsert("newer", (ImageRef("", data=new),), "", {})])
    indexed(client, [later])
    _store(folder, old)
    done = vitrine("dlq", "replay", _name(position), "--folder", folder)
    assert done.returncode == 1
    assert f"refused: superseded: {_name(later)} is a later event of this product" in done.stdout
    assert list(client.product("newer").image_sha256s.values()) == [hashlib.sha256(new).digest()]


def test_the_rest_of_a_product_is_indexed_by_a_replay(
    folder: Path, log: EmbeddedLog, client: VisualSearchClient
) -> None:
    good, missing = drawn()[4].pictures[0], drawn()[5].pictures[0]
    images = (ImageRef("good", data=good), ImageRef("missing", sha256=hashlib.sha256(missing).digest()))
    [position] = published(client, [Upsert("partly", images, "", {})])
    indexed(client, [position])
    assert [letter["partly_indexed"] for letter in _letters("ls", folder) if letter["product_id"] == "partly"] == [True]
    _store(folder, missing)
    _letters("replay", folder, _name(position))
    eventually(lambda: client.product("partly").image_sha256s.keys() == {"good", "missing"})


def test_a_letter_that_is_not_there_is_named(folder: Path) -> None:
    done = vitrine("dlq", "show", "live:0:4711", "--folder", folder)
    assert (done.returncode, done.stderr) == (1, "vitrine: position: there is no dead letter live:0:4711\n")
    done = vitrine("dlq", "replay", "somewhere", "--folder", folder)
    assert done.returncode == 2
    assert done.stderr.startswith("vitrine: position: 'somewhere' is not STREAM:PARTITION:OFFSET")


def test_without_a_log_nothing_is_made(tmp_path: Path) -> None:
    done = vitrine("dlq", "ls", "--folder", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("vitrine: stream: there is no log ")
    assert list(tmp_path.iterdir()) == []


def _refused_for_lack_of(picture: bytes, product_id: str, client: VisualSearchClient, log: EmbeddedLog) -> Position:
    """Where an event stands whose one picture is not stored, after it has been refused for that."""
    image = ImageRef("", sha256=hashlib.sha256(picture).digest())
    [position] = published(client, [Upsert(product_id, (image,), "", {})])
    eventually(lambda: position in _refused(log))
    return position


def _refused(log: EmbeddedLog) -> set[Position]:
    return {letter.record.position for letter in log.dead_letters()}


def _store(folder: Path, picture: bytes) -> None:
    Pictures(Store.open(str(folder / "store")), DEFAULT_INDEX).put(picture)


def _letters(command: str, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = last_json(succeeded("dlq", command, *arguments, "--folder", folder, "--json"))[
        "letters"
    ]
    return letters


def _found(client: VisualSearchClient, product_id: str) -> bool:
    try:
        return bool(client.product(product_id).image_sha256s)
    except NotFound:
        return False


def _name(position: Position) -> str:
    return f"{position.stream}:{position.partition}:{position.offset}"
