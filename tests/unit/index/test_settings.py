"""index.json is made once, and every program that disagrees with it is told which field."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from obstore.store import MemoryStore

from vitrine.index.settings import IndexSettings, create_or_check, load, seconds_of, settings_key
from vitrine.index.store import Store
from vitrine.runtime.errors import ConfigError, UnknownIndex

WANTED = IndexSettings(name="shop", dim=512, model_id="m" * 64, partitions=4)


@pytest.fixture
def store() -> Store:
    return Store(MemoryStore(), None)


def test_an_absent_index_is_made(store: Store) -> None:
    assert create_or_check(store, WANTED) == WANTED
    assert load(store, "shop") == WANTED


def test_the_same_settings_are_accepted_again(store: Store) -> None:
    create_or_check(store, WANTED)

    assert create_or_check(store, WANTED) == WANTED


@pytest.mark.parametrize(
    ("field", "value"), [("dim", 256), ("model_id", "n" * 64), ("partitions", 8), ("metric", "hamming")]
)
def test_other_settings_are_refused_by_the_field(store: Store, field: str, value: object) -> None:
    create_or_check(store, WANTED)
    changes: dict[str, Any] = {field: value}

    with pytest.raises(ConfigError, match="another index name") as caught:
        create_or_check(store, replace(WANTED, **changes))

    assert caught.value.field == field


def test_a_recall_target_stays_as_the_index_was_made(store: Store) -> None:
    create_or_check(store, WANTED)

    assert create_or_check(store, replace(WANTED, recall_target=0.9)) == WANTED


def test_an_index_that_is_not_there_is_unknown(store: Store) -> None:
    with pytest.raises(UnknownIndex, match="shop"):
        load(store, "shop")


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"{}",
        json.dumps({**asdict(WANTED), "format_version": 3}).encode(),
        json.dumps({**asdict(WANTED), "unheard_of": 1}).encode(),
        json.dumps({**asdict(WANTED), "partitions": "four"}).encode(),
    ],
)
def test_an_index_that_cannot_be_read_is_a_setting_to_mend(store: Store, contents: bytes) -> None:
    store.create(settings_key("shop"), contents)

    with pytest.raises(ConfigError) as caught:
        load(store, "shop")

    assert caught.value.field == "index.json"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "index"),
        ({"name": "../x"}, "index"),
        ({"name": "Shop"}, "index"),
        ({"name": "x" * 64}, "index"),
        ({"partitions": 0}, "partitions"),
        ({"partitions": 4097}, "partitions"),
        ({"metric": "cosine"}, "metric"),
        ({"recall_target": 1.0}, "recall_target"),
        ({"recall_target": 0.4}, "recall_target"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(WANTED, **changes)

    assert caught.value.field == field


def test_an_index_of_version_1_keeps_its_products_until_they_are_deleted(store: Store) -> None:
    fields = {**asdict(WANTED), "format_version": 1}
    del fields["retention_s"]
    store.create(settings_key(WANTED.name), json.dumps(fields).encode())

    assert load(store, WANTED.name).retention_s == 0


@pytest.mark.parametrize(
    ("retention", "wanted_s"), [("0", 0.0), ("45s", 45.0), ("2m", 120.0), ("3h", 10_800.0), ("90d", 7_776_000.0)]
)
def test_a_retention_is_told_in_the_unit_that_suits_it(retention: str, wanted_s: float) -> None:
    assert seconds_of(retention) == wanted_s


@pytest.mark.parametrize("retention", ["", "90", "90 d", "-1d", "090d", "0d", "1w"])
def test_a_retention_that_makes_no_sense_is_refused_by_its_name(retention: str) -> None:
    with pytest.raises(ConfigError, match="neither 0 nor a number with s, m, h or d") as refused:
        seconds_of(retention)
    assert refused.value.field == "retention"
