"""vitrine feedback: from what shoppers did to triplets and figures."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.command import last_json, succeeded, vitrine
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.feedback import Feedback, FeedbackKind, Impression
from vitrine.stream.feedback_codec import encode
from vitrine.tables import read_table

ANSWERS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a shop that has shown 40 answers; of each the third product was clicked, and of every second one bought."""
    folder = tmp_path_factory.mktemp("feedback")
    with closing(EmbeddedLog.open(folder / "stream.sqlite", 2)) as log:
        for number in range(ANSWERS):
            log.append_feedback([encode(record) for record in _records(f"{number:032x}", bought=number % 2 == 0)])
    return folder


def test_export_writes_triplets_that_training_reads(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "triplets.csv"

    said = succeeded("feedback", "export", "--folder", folder, "--out", out, "--json")

    found = read_table(out, "triplets").to_pylist()
    assert last_json(said) == {"triplets": 2 * ANSWERS, "answers": ANSWERS, "acts": ANSWERS * 3 // 2, "left_out": {}}
    assert [(row["anchor"], row["positive"], row["negative"], row["weight"]) for row in found[:4]] == [
        ("asked", "c", "b", 4.0),
        ("asked", "c", "a", 4.0),
        ("asked", "c", "b", 1.0),
        ("asked", "c", "a", 1.0),
    ]
    assert (found[0]["surface"], found[0]["query_id"]) == ("page", "0" * 32)


def test_stats_tell_click_through_and_mean_rank_with_intervals(folder: Path) -> None:
    [page] = last_json(succeeded("feedback", "stats", "--folder", folder, "--json"))["surfaces"]

    assert (page["surface"], page["answers"]) == ("page", ANSWERS)
    assert [page["click_through"][k]["value"] for k in ("1", "5", "10")] == [0.0, 1.0, 1.0]
    assert page["click_through"]["5"]["low"] > 0.9
    assert page["mean_rank"] == {"value": 3.0, "low": 3.0, "high": 3.0}
    assert page["acts"] == {"click": ANSWERS, "add_to_cart": 0, "purchase": ANSWERS // 2, "dismiss": 0}


def test_stats_are_a_table_for_people(folder: Path) -> None:
    said = succeeded("feedback", "stats", "--folder", folder)

    assert "click-through@5" in said
    assert "100.0%" in said


def test_what_came_before_a_time_is_left_out(folder: Path, tmp_path: Path) -> None:
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 48 * 3600))

    assert last_json(succeeded("feedback", "stats", "--folder", folder, "--since", "1h", "--json"))["surfaces"]
    assert not last_json(succeeded("feedback", "stats", "--folder", folder, "--since", tomorrow, "--json"))["surfaces"]
    done = vitrine("feedback", "export", "--folder", folder, "--since", tomorrow, "--out", tmp_path / "none.csv")
    assert (done.returncode, "no triplet" in done.stderr) == (1, True)
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--out", "triplets.txt"), "out"),
        (("--out", "triplets.csv", "--since", "yesterday"), "since"),
        (("--out", "triplets.csv", "--folder", "absent"), "stream"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, options: tuple[str, ...], named: str) -> None:
    done = vitrine("feedback", "export", *options)

    assert done.returncode == 2
    assert f"vitrine: {named}: " in done.stderr


def _records(query_id: str, bought: bool) -> list[Feedback | Impression]:
    shown = Impression(query_id, "page", "Search", ("asked",), ("a", "b", "c", "d"), "m", 1)
    kinds = (FeedbackKind.CLICK, FeedbackKind.PURCHASE) if bought else (FeedbackKind.CLICK,)
    return [shown, *(Feedback(query_id, "c", kind, "page", 3, 2) for kind in kinds)]
