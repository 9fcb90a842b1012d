"""Checkpoints come back whole, or do not replace what was there."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training.learning.checkpoints import Checkpoint, Run, read_checkpoint, save_checkpoint  # noqa: E402
from training.learning.recipe import Objectives, Recipe  # noqa: E402
from training.learning.reports import EpochReport  # noqa: E402
from training.learning.saving import NotSaved  # noqa: E402
from training.networks.network import Design, Network, Part  # noqa: E402
from training.networks.weights import start_from  # noqa: E402
from vitrine.runtime.errors import ConfigError  # noqa: E402

DESIGN = Design("small_cnn", "", (Part("kind", 16, 0.7, ("kind",)), Part("look", 8, 0.3, ("title",))))
RECIPE = Recipe(epochs=3, objectives=Objectives(column_weights={"kind": 0.5}))
REPORT = EpochReport(1, 32, 2.5, {"kind": 2.5}, 1e-3, {"kind": 0.75}, 0.6, 1.5)


@pytest.fixture
def checkpoint() -> Checkpoint:
    network = Network(DESIGN, {"kind": 3, "title": 2})
    return Checkpoint(
        design=DESIGN,
        weights=network.state_dict(),
        names={"kind": ("bag", "hat", "shoe")},
        words_column="title",
        words=("red", "wool"),
        px=32,
        runs=(Run(Recipe(seed=1), 46), Run(RECIPE, 1)),
        history=(REPORT,),
    )


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """What a full disk does to a file, without filling the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_network_is_rebuilt_from_a_checkpoint_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best.pt", checkpoint)
    read = read_checkpoint(tmp_path / "best.pt")
    assert replace(read, weights={}) == replace(checkpoint, weights={})
    rebuilt = read.network().state_dict()
    assert rebuilt.keys() == checkpoint.weights.keys()
    assert all(torch.equal(rebuilt[name], value) for name, value in checkpoint.weights.items())


def test_a_checkpoint_of_the_time_before_heads_had_a_prefix_is_read(checkpoint: Checkpoint, tmp_path: Path) -> None:
    older = {name.replace(".of_", "."): value for name, value in checkpoint.weights.items()}
    save_checkpoint(tmp_path / "older.pt", replace(checkpoint, weights=older))
    assert read_checkpoint(tmp_path / "older.pt").weights.keys() == checkpoint.weights.keys()


def test_heads_for_other_labels_start_anew_even_where_they_are_as_many(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best.pt", checkpoint)
    network = checkpoint.network()
    names = {"kind": ("bag", "hat", "shoe"), "title": ("red", "silk")}
    assert start_from(network, str(tmp_path / "best.pt"), names).new_heads == ("title",)
    assert start_from(network, str(tmp_path / "best.pt"), {**names, "title": ("red", "wool")}).new_heads == ()


def test_a_half_written_checkpoint_never_replaces_a_good_one(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, checkpoint)
    good = path.read_bytes()
    with files_of_at_most(len(good) // 2), pytest.raises(NotSaved) as caught:
        save_checkpoint(path, replace(checkpoint, px=64))
    assert path.read_bytes() == good
    assert [file.name for file in tmp_path.iterdir()] == ["best.pt"]
    needed = r"best\.pt cannot be saved, which needs [\d,]{9,} bytes: File too large; the former one is untouched"
    assert caught.match(needed)


def test_a_folder_that_cannot_be_written_is_said(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(NotSaved, match=r"No such file or directory$"):
        save_checkpoint(tmp_path / "missing" / "best.pt", checkpoint)


def test_what_a_file_would_run_when_read_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path / "sprung"),)  # type: ignore[return-value]

    torch.save({"weights": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_checkpoint(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        ({"w": torch.zeros(1)}, r"is no checkpoint of format 1 \(has w\)"),
        ({"format_version": 2}, r"is no checkpoint of format 1 \(format 2\)"),
        ({"format_version": 1, "weights": {}}, "was written by another version"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, plain: dict[str, object], told: str) -> None:
    torch.save(plain, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=told):
        read_checkpoint(tmp_path / "other.pt")


def test_weights_that_are_not_the_designs_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ConfigError, match="weights do not fit its design"):
        replace(checkpoint, words=("red",)).network()
