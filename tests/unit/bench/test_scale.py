"""The bench of scale: its arithmetic, and that what it does to an index is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.bench.tiny_set import write_tiny_set
from vitrine.cli.bench.built import Wanted, build, bytes_per_row
from vitrine.cli.bench.gateway_load import Figures, medians
from vitrine.cli.bench.plots import exponent, save_growth
from vitrine.cli.bench.scale import parse_sizes, roll_all
from vitrine.cli.bench.vector_set import VectorSet
from vitrine.runtime.errors import ConfigError

ROWS = 3_000


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("set"), ROWS)


def test_sizes_are_numbers_that_grow() -> None:
    assert parse_sizes("10,200, 3000") == [10, 200, 3000]


@pytest.mark.parametrize("text", ["", "10,", "10,x", "10,10", "20,10", "0,10", "-5,10"])
def test_other_sizes_are_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="sizes"):
        parse_sizes(text)


def test_the_exponent_is_the_power_that_cost_grows_with() -> None:
    rows = [10_000, 100_000, 1_000_000]
    assert exponent(rows, [0.1 * count**0.3 for count in rows]) == 0.3


def test_the_median_of_rounds_is_taken_figure_by_figure() -> None:
    rounds: list[Figures] = [{"qps": 1.0, "cpu": None}, {"qps": 9.0, "cpu": 2.0}, {"qps": 2.0, "cpu": 3.0}]
    assert medians(rounds) == {"qps": 2.0, "cpu": None}


def test_a_set_with_fewer_rows_than_wanted_is_refused(tmp_path: Path) -> None:
    write_tiny_set(tmp_path, 200, done=150)

    assert VectorSet.open(tmp_path, 150).rows == 150
    with pytest.raises(ConfigError, match=r"vectors: .* holds 150 rows, 151 are needed"):
        VectorSet.open(tmp_path, 151)


def test_answers_are_told_by_row_and_a_product_of_another_index_is_an_error(tiny: Path) -> None:
    source = VectorSet.open(tiny, 500)
    rows = source.rows_of([["3-0", "7-4"], [], ["99-4"]])

    assert [found.tolist() for found in rows] == [[3, 407], [], [499]]
    with pytest.raises(ValueError, match="never indexed"):
        source.rows_of([["0-5"]])


def test_moved_queries_are_unit_vectors_near_rows(tiny: Path) -> None:
    source = VectorSet.open(tiny, ROWS)
    queries = source.moved(20, 1, among=np.arange(100, 110))

    assert queries.shape == (10, 32)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(np.sum(queries * source.vectors[100:110], axis=1), 0.8, atol=5e-3)


def test_ten_shards_become_one_with_all_their_rows(tiny: Path, tmp_path: Path) -> None:
    built = build(Wanted(tiny, ROWS, shards=3), tmp_path)
    assert [facts.rows for facts in built.facts] == [1_000, 1_000, 1_000]

    seconds = roll_all(tmp_path)

    assert seconds > 0
    assert [facts.rows for facts in built.facts] == [ROWS]
    sizes = bytes_per_row(built.shard_folders)
    assert 64 <= sizes["vectors"] < 65
    assert sizes["searched"] == pytest.approx(
        sizes["vectors"] + sizes["tree"] + sizes["projected"] + sizes["projection"], abs=0.3
    )
    assert sizes["tree"] > 0
    assert 0 < sizes["uri"] < sizes["attributes"]


def test_the_plot_is_the_same_file_for_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "two.svg"):
        save_growth([10, 100], {"p50": [1.0, 2.0], "CPU": [0.5, 0.7]}, tmp_path / name)

    assert b"square root" in (tmp_path / "one.svg").read_bytes()
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
