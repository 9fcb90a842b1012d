"""The training loop learns, repeats itself, and goes on where it was broken off."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.data import Dataset, DataSettings, load  # noqa: E402
from training.learning.batches import Batches, ahead  # noqa: E402
from training.learning.checkpoints import Run, read_checkpoint, save_checkpoint  # noqa: E402
from training.learning.devices import arithmetic  # noqa: E402
from training.learning.displays import line, shown_progress  # noqa: E402
from training.learning.learner import Diverged, taught_columns  # noqa: E402
from training.learning.recipe import Objectives, Recipe  # noqa: E402
from training.learning.reports import EpochReport, Silent, StepReport  # noqa: E402
from training.learning.saving import NotSaved  # noqa: E402
from training.learning.start import fresh  # noqa: E402
from training.learning.train import Outcome, train  # noqa: E402
from training.learning.triplets import Triplets, read_triplets  # noqa: E402
from training.learning.validation import precision_at_10  # noqa: E402
from training.networks.network import Design, Network, Part  # noqa: E402
from vitrine.runtime.errors import ConfigError  # noqa: E402

LABELS = ("subcategory", "colour")
SETTINGS = DataSettings(labels=LABELS, words="title", px=32)
DESIGN = Design(
    "small_cnn", "", (Part("kind", 32, 0.6, ("subcategory", "title")), Part("colour", 16, 0.4, ("colour",)))
)
SHORT = Recipe(epochs=3, batch_pictures=32, learning_rate_max=5e-3, device="cpu", precision="fp32", seed=5)


@pytest.fixture(scope="module")
def dataset(squares_file: Path) -> Dataset:
    return load(squares_file, SETTINGS)


def new_network(dataset: Dataset) -> Network:
    network, _ = fresh(DESIGN, dataset, "title", seed=3)
    return network


def learn(dataset: Dataset, work: Path, recipe: Recipe = SHORT) -> Outcome:
    return train(new_network(dataset), dataset, recipe, work)


class Killed(Exception):
    """The run was broken off."""


class KilledAt(Silent):
    """Breaks a run off in the middle of an epoch."""

    def __init__(self, epoch: int, step: int) -> None:
        self._at = epoch, step

    def step(self, report: StepReport) -> None:
        if (report.epoch, report.step) == self._at:
            raise Killed


def same_weights(first: Path, second: Path) -> bool:
    weights, others = read_checkpoint(first).weights, read_checkpoint(second).weights
    return weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)


def log_without_times(outcome: Outcome) -> list[dict[str, str]]:
    with outcome.log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["duration_s"]
    return rows


def test_the_small_network_learns_the_drawn_products(dataset: Dataset, tmp_path: Path) -> None:
    outcome = learn(dataset, tmp_path, replace(SHORT, epochs=10))
    best = outcome.history[outcome.best_epoch - 1]
    assert best.accuracy["colour"] >= 0.9
    assert best.accuracy["subcategory"] >= 0.6  # of three: a third by chance
    assert outcome.history[-1].losses["title"] < 0.8 * outcome.history[0].losses["title"]
    assert outcome.best_figure == pytest.approx(np.mean(list(best.accuracy.values())))


def test_two_runs_with_one_seed_end_with_the_same_bits(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = learn(dataset, tmp_path / "first")
    torch.manual_seed(2)  # whatever was drawn elsewhere
    again = learn(dataset, tmp_path / "again")
    assert same_weights(first.last, again.last)
    assert log_without_times(first) == log_without_times(again)


def test_another_seed_ends_elsewhere(dataset: Dataset, tmp_path: Path) -> None:
    first = learn(dataset, tmp_path / "first", replace(SHORT, epochs=1))
    other = learn(dataset, tmp_path / "other", replace(SHORT, epochs=1, seed=6))
    assert not same_weights(first.last, other.last)


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(dataset: Dataset, tmp_path: Path) -> None:
    whole = learn(dataset, tmp_path / "whole")
    work = tmp_path / "killed"
    for epoch, step in ((1, 2), (2, 1), (3, 3)):
        with pytest.raises(Killed):
            train(new_network(dataset), dataset, SHORT, work, KilledAt(epoch, step), resume=True)
    network = new_network(dataset)
    resumed = train(network, dataset, SHORT, work, resume=True)
    assert same_weights(whole.last, resumed.last)
    assert same_weights(whole.best, resumed.best)
    assert log_without_times(whole) == log_without_times(resumed)
    best = read_checkpoint(resumed.best).weights
    assert all(torch.equal(value, best[name]) for name, value in network.state_dict().items())


def test_a_run_that_is_done_is_not_run_again(dataset: Dataset, tmp_path: Path) -> None:
    done = learn(dataset, tmp_path)
    again = train(new_network(dataset), dataset, SHORT, tmp_path, KilledAt(1, 1), resume=True)
    assert again == done


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda recipe: replace(recipe, epochs=4, seed=6), "another setting of epochs, seed"),
        (lambda recipe: replace(recipe, objectives=Objectives(label_smoothing=0)), "another setting of objectives"),
    ],
)
def test_a_run_is_not_resumed_with_another_recipe(
    dataset: Dataset, tmp_path: Path, change: Callable[[Recipe], Recipe], told: str
) -> None:
    learn(dataset, tmp_path, replace(SHORT, epochs=1))
    with pytest.raises(ConfigError, match=told):
        train(new_network(dataset), dataset, change(replace(SHORT, epochs=1)), tmp_path, resume=True)


def test_a_run_is_not_resumed_on_another_number_of_pictures(dataset: Dataset, tmp_path: Path) -> None:
    learn(dataset, tmp_path, replace(SHORT, epochs=1))
    fewer = dataset.splits["train"].taken(np.arange(64))
    with pytest.raises(ConfigError, match=r"resume: .*last\.pt was trained on 96 pictures, the data has 64"):
        train(
            new_network(dataset),
            replace(dataset, splits={**dataset.splits, "train": fewer}),
            replace(SHORT, epochs=1),
            tmp_path,
            resume=True,
        )


def test_a_run_is_not_resumed_with_other_triplets(dataset: Dataset, tmp_path: Path) -> None:
    clicked, other = (Triplets(np.array([[0, 18, last]]), np.ones(1)) for last in (1, 2))
    recipe = replace(SHORT, epochs=1)
    done = train(new_network(dataset), dataset, recipe, tmp_path, triplets=clicked)
    with pytest.raises(ConfigError, match=r"resume: .*last\.pt was trained on other triplets"):
        train(new_network(dataset), dataset, recipe, tmp_path, resume=True, triplets=other)
    assert train(new_network(dataset), dataset, recipe, tmp_path, resume=True, triplets=clicked) == done


def test_a_run_whose_checkpoint_does_not_say_its_pictures_is_resumed(dataset: Dataset, tmp_path: Path) -> None:
    done = learn(dataset, tmp_path, replace(SHORT, epochs=1))
    whole = read_checkpoint(done.last)
    assert whole.state is not None
    older = replace(whole.state, train_pictures=None, triplets_sha256=None)
    save_checkpoint(done.last, replace(whole, state=older))
    assert train(new_network(dataset), dataset, replace(SHORT, epochs=1), tmp_path, resume=True) == done


def test_a_head_that_is_not_taught_does_not_say_which_epoch_is_best(dataset: Dataset, tmp_path: Path) -> None:
    recipe = replace(SHORT, epochs=1, objectives=Objectives(column_weights={"colour": 0.0}))
    outcome = learn(dataset, tmp_path, recipe)
    assert taught_columns(recipe, dataset) == ("subcategory",)
    assert set(outcome.history[0].accuracy) == {"subcategory"}
    assert outcome.best_figure == outcome.history[0].accuracy["subcategory"]


def test_a_head_is_not_started_from_one_for_other_labels(dataset: Dataset, tmp_path: Path) -> None:
    done = learn(dataset, tmp_path, replace(SHORT, epochs=1))
    printed = replace(dataset, names={**dataset.names, "colour": ("Cyan", "Magenta", "Yellow")})
    _, loaded = fresh(DESIGN, printed, "title", str(done.best))
    assert loaded.new_heads == ("colour",)


def test_a_label_column_cannot_be_the_column_of_titles_too(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="words: 'colour' is a label column"):
        fresh(DESIGN, dataset, "colour")


def test_training_stops_when_patience_is_over_and_keeps_the_best_epoch(dataset: Dataset, tmp_path: Path) -> None:
    # A rate at which nothing changes, so that no epoch is better than the first.
    still = replace(SHORT, epochs=9, learning_rate_max=1e-12, patience_epochs=2)
    outcome = learn(dataset, tmp_path, still)
    assert (outcome.epochs, outcome.best_epoch, outcome.stopped_early) == (3, 1, True)
    assert read_checkpoint(outcome.best).epoch == 1
    assert read_checkpoint(outcome.last).epoch == 3


def test_an_epoch_of_small_pictures_is_never_the_best_nor_the_last(squares_file: Path, tmp_path: Path) -> None:
    larger = load(squares_file, replace(SETTINGS, px=48))
    # A rate at which nothing changes, so that only the size of the pictures matters.
    recipe = replace(SHORT, epochs=6, small_share=0.5, learning_rate_max=1e-12, patience_epochs=1)
    outcome = learn(larger, tmp_path, recipe)
    assert [report.px for report in outcome.history] == [38, 38, 38, 48, 48]
    assert outcome.best_epoch == 4


def test_a_checkpoint_tells_of_the_runs_that_led_to_it(dataset: Dataset, tmp_path: Path) -> None:
    first = learn(dataset, tmp_path / "first", replace(SHORT, epochs=1))
    earlier = read_checkpoint(first.best)
    second = train(earlier.network(), dataset, SHORT, tmp_path / "second", earlier=earlier.runs)
    runs = read_checkpoint(second.last).runs
    assert runs == (Run(replace(SHORT, epochs=1), 1), Run(SHORT, 3))


def test_a_loss_that_is_no_number_ends_the_run_and_says_where(dataset: Dataset, tmp_path: Path) -> None:
    network = new_network(dataset)
    with torch.no_grad():
        network.head("colour").directions.fill_(torch.nan)
    with pytest.raises(Diverged, match=r"epoch 1, step 1: .*colour nan.*lower learning rate"):
        train(network, dataset, SHORT, tmp_path)


def test_a_folder_that_cannot_be_made_is_said_before_the_run(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(NotSaved, match="taken cannot be made: File exists"):
        learn(dataset, tmp_path / "taken")


def test_a_checkpoint_that_cannot_take_its_place_ends_the_run_and_says_so(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "best.pt").mkdir()  # what cannot be replaced by a file
    with pytest.raises(NotSaved, match=r"best\.pt cannot be saved, which needs [\d,]+ bytes"):
        learn(dataset, tmp_path, replace(SHORT, epochs=1))


def test_metric_losses_and_given_triplets_are_mixed_in(dataset: Dataset, tmp_path: Path) -> None:
    rows = dataset.splits["train"].rows
    (tmp_path / "clicks.csv").write_text(f"anchor,positive,negative\n{rows[0]},{rows[18]},{rows[1]}\n")
    triplets = read_triplets(tmp_path / "clicks.csv", rows)
    objectives = Objectives(
        column_weights=dict.fromkeys((*LABELS, "title"), 0.0),
        triplet_weight=1.0,
        contrastive_weight=0.5,
        metric_column="colour",
        given_per_step=4,
    )
    recipe = replace(SHORT, epochs=4, objectives=objectives)
    outcome = train(new_network(dataset), dataset, recipe, tmp_path / "work", triplets=triplets)
    assert set(outcome.history[0].losses) == {"triplets", "contrast", "given_triplets", "mask", "presence"}
    assert outcome.best_figure == max(report.precision_at_10 for report in outcome.history)  # no head is taught
    for name in ("triplets", "contrast"):
        assert outcome.history[-1].losses[name] < outcome.history[0].losses[name]


def test_batches_made_ahead_are_the_same_batches(dataset: Dataset) -> None:
    plain, threaded = (Batches(dataset.splits["train"], SHORT) for _ in range(2))
    for batch, other in zip(
        plain.epoch(32, SHORT.augmentation), ahead(threaded.epoch(32, SHORT.augmentation)), strict=True
    ):
        assert torch.equal(batch.varied.pictures, other.varied.pictures)
    assert torch.equal(plain.random.get_state(), threaded.random.get_state())


def test_a_run_is_shown_line_by_line(dataset: Dataset, tmp_path: Path) -> None:
    out = io.StringIO()
    with shown_progress(out) as progress:
        train(new_network(dataset), dataset, replace(SHORT, epochs=2), tmp_path, progress)
    assert [text.split(":")[0] for text in out.getvalue().splitlines()] == ["epoch 1", "epoch 2"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_are_shown_on_a_terminal() -> None:
    out = Terminal()
    with shown_progress(out) as progress:
        progress.step(StepReport(epoch=1, epochs=2, step=3, steps=4, loss=1.5, pictures_per_s=80.0))
        progress.epoch(EpochReport(1, 32, 1.5, {}, 1e-3, {"colour": 0.5}, 0.25, 2.0))
    assert "epoch 1: loss 1.500, 80 pictures/s" in out.getvalue()
    assert "colour 50.0%, precision@10 0.250" in out.getvalue()


def test_a_rate_that_was_not_measured_is_not_shown() -> None:
    out = Terminal()
    with shown_progress(out) as progress:
        progress.step(StepReport(epoch=1, epochs=1, step=3, steps=4, loss=1.5, pictures_per_s=math.nan))
    assert "epoch 1: loss 1.500" in out.getvalue()
    assert "pictures/s" not in out.getvalue()


def test_precision_is_named_where_no_head_is_taught() -> None:
    assert "val precision@10 0.250, 2 s" in line(EpochReport(1, 32, 1.5, {}, 1e-3, {}, 0.25, 2.0))


def test_the_default_recipe_shows_small_pictures_first_and_gentle_ones_last() -> None:
    recipe = Recipe()
    assert [recipe.px(epoch, 80) for epoch in (1, 28, 29, 46)] == [64, 64, 80, 80]
    assert recipe.px(1, 32) == 32
    assert recipe.augmentation_in(36) == recipe.augmentation
    assert recipe.augmentation_in(37) == recipe.gentle


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_pictures", 1),
        ("learning_rate_max", float("nan")),
        ("warm_up_share", 0.0),
        ("gentle_share", 1.5),
        ("watched", "loss"),
        ("precision", "fp8"),
        ("patience_epochs", -1),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SHORT, **{field: value})  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("objectives", "field"),
    [
        (Objectives(metric_column="brand"), "metric_column"),
        (Objectives(column_weights={"brand": 1}), "column_weights"),
        (Objectives(dict.fromkeys((*LABELS, "title"), 0.0), mask_weight=0, presence_weight=0), "objectives"),
    ],
)
def test_objectives_that_do_not_fit_the_data_are_refused(
    dataset: Dataset, tmp_path: Path, objectives: Objectives, field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        learn(dataset, tmp_path, replace(SHORT, objectives=objectives))
    assert caught.value.field == field


def test_a_negative_weight_is_named() -> None:
    with pytest.raises(ConfigError, match=r"column_weights\.colour: must not be negative"):
        Objectives(column_weights={"colour": -1})


def test_a_missing_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert arithmetic("auto", "fp32").device.type == "cpu"
    with pytest.raises(ConfigError, match="device: no GPU"):
        arithmetic("cuda", "auto")
    with pytest.raises(ConfigError, match="precision: fp16 needs a GPU"):
        arithmetic("cpu", "fp16")


def test_precision_counts_neighbours_of_the_same_label() -> None:
    angles = torch.tensor([0.0, 0.1, 0.2, 3.0, 3.1, 3.2])
    vectors = torch.stack([angles.cos(), angles.sin()], dim=1)
    halves = torch.tensor([0, 0, 0, 1, 1, 1])
    assert precision_at_10(vectors, halves) == pytest.approx(2 / 5)  # five others, two of them alike
    assert precision_at_10(vectors[:2], halves[:2]) == 1
    assert precision_at_10(vectors, torch.full((6,), -1)) == 0
