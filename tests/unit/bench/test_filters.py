"""The bench of filters asks what it says it asks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.bench.tiny_set import write_tiny_set
from vitrine.cli.bench import filters
from vitrine.cli.bench.filters import FIRST_USES, SHARES, Case, cases, types_of_share, variants
from vitrine.cli.bench.vector_set import VectorSet
from vitrine.filters import Filter, any_string, number

ROWS = 6_000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> VectorSet:
    return VectorSet.open(write_tiny_set(tmp_path_factory.mktemp("set"), ROWS), ROWS)


@pytest.fixture(scope="module")
def found(source: VectorSet) -> list[Case]:
    return cases(source, np.random.default_rng(1).random(ROWS))


def test_the_most_frequent_types_that_fit_make_up_the_share(source: VectorSet) -> None:
    # Of each hundred pictures 51 are Shirts, 33 Shoes, 16 Watches.
    assert types_of_share(source, 0.5) == ["Shoes", "Watches"]
    assert types_of_share(source, 0.2) == ["Watches"]
    assert types_of_share(source, 0.01) == ["Watches"], "the rarest, where none fits"


def test_a_random_filter_leaves_about_its_share_of_the_rows(found: list[Case]) -> None:
    shares = {case.share: len(case.matching) / ROWS for case in found if case.kind == "random"}

    assert list(shares) == list(SHARES)
    assert shares[0.5] == pytest.approx(0.5, abs=0.03)
    assert shares[0.05] == pytest.approx(0.05, abs=0.01)


def test_dissimilar_queries_are_those_that_nothing_that_matches_looks_like(
    source: VectorSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "QUERIES", 5)
    (case,) = (case for case in cases(source, np.ones(ROWS)) if (case.kind, case.share) == ("dissimilar", 0.5))

    nearest = (case.queries @ source.vectors[case.matching].T).max(axis=1)
    nearest_of_all = (source.queries @ source.vectors[case.matching].T).max(axis=1)
    assert sorted(nearest) == pytest.approx(np.sort(nearest_of_all)[:5], abs=1e-5)


def test_similar_queries_are_moved_rows_that_match(source: VectorSet, found: list[Case]) -> None:
    (case,) = (case for case in found if (case.kind, case.share) == ("similar", 0.5))

    cosines = case.queries @ source.vectors[case.matching].T
    assert (np.abs(cosines - 0.8) < 5e-3).any(axis=1).all()


@pytest.mark.parametrize(
    "wanted",
    [Filter(all_of=(any_string("category", "Shoes"),)), Filter(all_of=(number("attributes.random", lt=0.5),))],
)
def test_each_first_use_is_of_a_filter_that_was_never_asked_with(wanted: Filter) -> None:
    others = variants(wanted)

    assert len({wanted, *others}) == 1 + FIRST_USES
    assert {other.all_of[0].field for other in others} == {wanted.all_of[0].field}
