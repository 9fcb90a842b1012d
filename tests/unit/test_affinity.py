"""What goes together: by colour and look without training, by a learned map with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitrine.affinity import Learned, untrained
from vitrine.model_folder import VectorPart
from vitrine.runtime.errors import ConfigError
from vitrine.vectors import Vectors, unit

KIND, COLOUR, LOOK = VectorPart("kind", 6, 0.7), VectorPart("colour", 3, 0.25), VectorPart("look", 2, 0.05)
PARTS = (KIND, COLOUR, LOOK)
DIM = sum(part.dim for part in PARTS)


def products(count: int, seed: int = 3) -> Vectors:
    """Made of parts as long as their weights say."""
    random = np.random.default_rng(seed)
    parts = [unit(random.normal(size=(count, part.dim)).astype("f4")) * part.weight**0.5 for part in PARTS]
    return np.concatenate(parts, axis=1).astype(np.float32)


def identity(model_id: str = "m" * 64) -> Learned:
    offsets = {"": np.zeros(DIM, np.float32), "Shoes": np.full(DIM, 0.5, np.float32)}
    return Learned(model_id, np.eye(DIM, dtype=np.float32), offsets, {"pairs": 3})


def opened_if_whole(path: Path) -> Learned | None:
    try:
        return Learned.open(path)
    except ConfigError:
        return None


def test_style_ranks_by_colour_and_look_whatever_the_kind() -> None:
    style, (asked, *others) = untrained(PARTS, DIM), products(200)
    query = style.query(asked, "Shoes")
    found = np.array(others)
    tails = unit(found[:, KIND.dim :])
    expected = tails @ unit(asked[np.newaxis, KIND.dim :])[0]
    assert style.name == "style"
    assert np.allclose(style.scores(query, found), expected, atol=1e-6)


def test_a_search_with_the_query_of_style_ranks_as_style_does() -> None:
    style, (asked, *others) = untrained(PARTS, DIM), products(200)
    query, found = style.query(asked, ""), np.array(others)
    assert np.linalg.norm(query) == pytest.approx(1)
    assert np.argsort(found @ query).tolist() == np.argsort(style.scores(query, found)).tolist()


def test_the_same_colour_and_look_score_1_in_another_kind() -> None:
    style, (asked, other) = untrained(PARTS, DIM), products(2)
    same = np.concatenate([other[: KIND.dim], asked[KIND.dim :]])
    assert style.scores(style.query(asked, ""), same[np.newaxis])[0] == pytest.approx(1)


@pytest.mark.parametrize("parts", [(), (VectorPart("kind", DIM, 1.0),), (COLOUR, LOOK), PARTS[:2]])
def test_a_model_whose_parts_say_nothing_compares_whole_vectors(parts: tuple[VectorPart, ...]) -> None:
    whole, found = untrained(parts, DIM), products(5)
    assert whole.name == "vector"
    assert np.allclose(whole.scores(whole.query(found[0], ""), found), found @ found[0], atol=1e-6)


def test_affinity_is_never_above_1() -> None:
    style, found = untrained(PARTS, DIM), products(500)
    assert all(style.scores(style.query(one, ""), one[np.newaxis])[0] <= 1 for one in found)


def test_a_learned_query_has_the_offset_of_its_category() -> None:
    learned, (vector,) = identity(), products(1)
    shoe = unit((vector + 0.5)[np.newaxis])[0]
    assert np.allclose(learned.query(vector, "Shoes"), shoe, atol=1e-6)
    assert np.allclose(learned.query(vector, "unheard of"), vector, atol=1e-6)


def test_what_is_saved_is_what_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "affinity.npz"
    identity().save(path)
    opened, (vector,) = Learned.open(path), products(1)
    assert (opened.model_id, opened.dim, opened.facts) == ("m" * 64, DIM, {"pairs": 3})
    assert opened.query(vector, "Shoes").tolist() == identity().query(vector, "Shoes").tolist()
    assert list(tmp_path.iterdir()) == [path]


def test_no_damage_goes_unseen(tmp_path: Path) -> None:
    path = tmp_path / "affinity.npz"
    identity().save(path)
    whole, (vector,) = path.read_bytes(), products(1)
    expected = identity().query(vector, "Shoes").tolist()
    random = np.random.default_rng(1)
    for place in random.choice(len(whole), 300, replace=False).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        opened = opened_if_whole(path)
        if opened is not None:  # a byte that nobody reads, such as one of a date
            assert (opened.model_id, opened.query(vector, "Shoes").tolist()) == ("m" * 64, expected)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "affinity.npz"
    identity().save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ConfigError, match=r"^affinity: .* is damaged"):
        Learned.open(path)


def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "affinity.npz"
    Learned("m", np.eye(DIM, dtype=np.float32), {"": np.zeros(DIM - 1, np.float32)}, {}).save(path)
    with pytest.raises(ConfigError, match="do not fit together"):
        Learned.open(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^affinity: .*none\.npz cannot be read \(No such file"):
        Learned.open(tmp_path / "none.npz")
