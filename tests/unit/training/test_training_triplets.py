"""Triplets of a file find their pictures among those of train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from training.learning.triplets import read_triplets
from vitrine.runtime.errors import ConfigError


def test_triplets_of_other_splits_are_left_out_and_counted(tmp_path: Path) -> None:
    train_rows, test_rows = np.array([3, 5, 8, 9]), np.array([4])
    ids = {f"p{row:04}": int(row) for row in (*train_rows[:3], test_rows[0])}
    known, unseen = list(ids)[:3], list(ids)[3]
    lines = [",".join(known), f"{known[0]},{known[1]},{unseen}", f"{known[0]},sold-out,{known[1]}"]
    (tmp_path / "clicks.csv").write_text("anchor,positive,negative\n" + "\n".join(lines))
    triplets = read_triplets(tmp_path / "clicks.csv", train_rows, ids)
    assert train_rows[triplets.places].tolist() == [train_rows[:3].tolist()]
    assert triplets.left_out == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("anchor,positive\n1,2\n", "has no column negative"),
        ("anchor,positive,negative\na,b,c\n", "something else than row numbers"),
        ("anchor,positive,negative\n900,901,902\n", "none of 1 triplets"),
    ],
)
def test_a_triplet_file_without_use_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "clicks.csv").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_triplets(tmp_path / "clicks.csv", np.arange(5))
