"""The training loop: every batch varied anew, one cycle of the learning rate, the best epoch kept."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch.optim.lr_scheduler import OneCycleLR

from training.data import Dataset
from training.learning.batches import Batches, ahead
from training.learning.checkpoints import Checkpoint, Run, State, read_checkpoint, save_checkpoint
from training.learning.devices import arithmetic, repeatable
from training.learning.learner import Diverged, Learner, Step, taught_columns, words_column
from training.learning.recipe import Recipe
from training.learning.reports import EpochReport, Progress, Silent, StepReport, write_log
from training.learning.saving import make_folder
from training.learning.triplets import NO_TRIPLETS, Triplets
from training.learning.validation import validated
from training.networks.network import Network
from vitrine.runtime.errors import ConfigError

BEST_FILE: Final = "best.pt"
LAST_FILE: Final = "last.pt"
LOG_FILE: Final = "log.csv"

_SILENT: Final = Silent()
_START_DIVISOR: Final = 10.0
_END_DIVISOR: Final = 1000.0
"""The cycle starts at a tenth of its highest learning rate and ends at a thousandth of that."""


@dataclass(frozen=True)
class Outcome:
    """A finished run. `best`, `last` and `log` are files; `best_figure` is the watched figure of `best_epoch`."""

    best: Path
    last: Path
    log: Path
    history: tuple[EpochReport, ...]
    best_epoch: int
    best_figure: float
    stopped_early: bool

    @property
    def epochs(self) -> int:
        """Epochs that were run, including those before an interruption."""
        return len(self.history)


def train(
    network: Network,
    dataset: Dataset,
    recipe: Recipe,
    work: Path,
    progress: Progress = _SILENT,
    *,
    resume: bool = False,
    triplets: Triplets = NO_TRIPLETS,
    earlier: Sequence[Run] = (),
) -> Outcome:
    """Trains `network` in place and leaves it on the CPU, in eval mode, as it was after its best epoch.

    `work` gets the best checkpoint, the last one and a CSV log. `resume` goes on from the last one, if there is any;
    on a CPU the result is, bit for bit, that of a run that was never broken off. `earlier`: the runs that made the
    weights that `network` starts from. Raises ConfigError where the recipe, the data, the network and what is to be
    resumed do not fit together; Diverged; NotSaved.
    """
    make_folder(work)
    how = arithmetic(recipe.device, recipe.precision)
    with repeatable(how.device, recipe.seed):
        loop = _Loop(network, dataset, recipe, work, Learner(network, dataset, recipe, how), triplets, tuple(earlier))
        if resume and (work / LAST_FILE).exists():
            loop.restore(read_checkpoint(work / LAST_FILE))
        while not loop.is_done:
            loop.epoch(progress)
    network.load_state_dict(dict(read_checkpoint(work / BEST_FILE).weights))
    network.cpu().eval()
    return loop.outcome()


class _Loop:
    """A run in progress: everything that changes from epoch to epoch."""

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        recipe: Recipe,
        work: Path,
        learner: Learner,
        triplets: Triplets,
        earlier: tuple[Run, ...],
    ) -> None:
        self._network = network
        self._dataset = dataset
        self._recipe = recipe
        self._work = work
        self._learner = learner
        self._earlier = earlier
        self._triplets = triplets
        self._batches = Batches(dataset.splits["train"], recipe, triplets)
        self._schedule = OneCycleLR(
            learner.optimiser,
            recipe.learning_rate_max,
            total_steps=recipe.epochs * len(self._batches),
            pct_start=recipe.warm_up_share,
            div_factor=_START_DIVISOR,
            final_div_factor=_END_DIVISOR,
        )
        self._history: tuple[EpochReport, ...] = ()
        self._best_epoch = 0
        self._best_figure = -math.inf

    @property
    def _train_pictures(self) -> int:
        return len(self._dataset.splits["train"])

    @property
    def is_done(self) -> bool:
        return len(self._history) == self._recipe.epochs or self._is_out_of_patience

    @property
    def _is_out_of_patience(self) -> bool:
        is_full_size = bool(self._history) and self._history[-1].px == self._dataset.px
        return is_full_size and 0 < self._recipe.patience_epochs <= len(self._history) - self._best_epoch

    def outcome(self) -> Outcome:
        return Outcome(
            best=self._work / BEST_FILE,
            last=self._work / LAST_FILE,
            log=self._work / LOG_FILE,
            history=self._history,
            best_epoch=self._best_epoch,
            best_figure=self._best_figure,
            stopped_early=len(self._history) < self._recipe.epochs,
        )

    def epoch(self, progress: Progress) -> None:
        """One epoch, measured and saved."""
        report = self._learned(progress)
        self._history = (*self._history, report)
        figure = report.watched(self._recipe.watched)
        checkpoint = self._checkpoint()
        # What is best at small pictures is poor at full size: ResNet-18 fell from 92 % to 64 % of subcategories.
        if figure > self._best_figure or report.px != self._history[self._best_epoch - 1].px:
            self._best_epoch, self._best_figure = report.epoch, figure
            save_checkpoint(self._work / BEST_FILE, checkpoint)
        # Saved last: a run broken off before this repeats the epoch, and writes the same best again.
        save_checkpoint(self._work / LAST_FILE, replace(checkpoint, state=self._state()))
        write_log(self._work / LOG_FILE, self._history)
        progress.epoch(report)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes on after `checkpoint`. Raises ConfigError where it is of another run."""
        self._check_is_same_run(checkpoint)
        state = checkpoint.state
        assert state is not None
        self._network.load_state_dict(dict(checkpoint.weights))
        self._learner.optimiser.load_state_dict(dict(state.optimiser))
        self._schedule.load_state_dict(dict(state.schedule))
        self._batches.random.set_state(state.random)
        torch.set_rng_state(state.torch_random)
        self._earlier = checkpoint.runs[:-1]
        self._history = checkpoint.history
        self._best_epoch, self._best_figure = state.best_epoch, state.best_figure

    def _learned(self, progress: Progress) -> EpochReport:
        number = len(self._history) + 1
        px = self._recipe.px(number, self._dataset.px)
        started_s = time.monotonic()
        steps = self._steps(number, px, progress)
        measured = validated(
            self._network,
            self._dataset.splits["val"],
            px,
            taught_columns(self._recipe, self._dataset),
            self._dataset.scored_column,
            self._learner.how,
        )
        return EpochReport(
            epoch=number,
            px=px,
            loss=sum(step.loss for step in steps) / len(steps),
            losses={name: sum(step.terms[name] for step in steps) / len(steps) for name in steps[0].terms},
            learning_rate=steps[-1].learning_rate,
            accuracy=measured.accuracy,
            precision_at_10=measured.precision_at_10,
            duration_s=time.monotonic() - started_s,
        )

    def _steps(self, epoch: int, px: int, progress: Progress) -> list[Step]:
        batches = self._batches.epoch(px, self._recipe.augmentation_in(epoch))
        on_gpu = self._learner.how.device.type == "cuda"
        started_s = time.monotonic()
        pictures = 0
        steps: list[Step] = []
        for batch in ahead(batches) if on_gpu else batches:
            try:
                steps.append(self._learner.step(batch))
            except Diverged as error:
                raise Diverged(f"epoch {epoch}, step {len(steps) + 1}: {error}") from error
            self._schedule.step()
            pictures += len(batch)
            rate = pictures / (time.monotonic() - started_s)
            progress.step(StepReport(epoch, self._recipe.epochs, len(steps), len(self._batches), steps[-1].loss, rate))
        return steps

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            design=self._network.design,
            weights=self._network.state_dict(),
            names=self._dataset.names,
            words_column=words_column(self._network, self._dataset),
            words=self._dataset.words,
            px=self._dataset.px,
            runs=(*self._earlier, Run(self._recipe, len(self._history))),
            history=self._history,
        )

    def _state(self) -> State:
        return State(
            optimiser=self._learner.optimiser.state_dict(),
            schedule=self._schedule.state_dict(),
            random=self._batches.random.get_state(),
            torch_random=torch.get_rng_state(),
            best_epoch=self._best_epoch,
            best_figure=self._best_figure,
            train_pictures=self._train_pictures,
            triplets_sha256=self._triplets.sha256,
        )

    def _check_is_same_run(self, checkpoint: Checkpoint) -> None:
        last = self._work / LAST_FILE
        other = checkpoint.recipe.differences(self._recipe)
        if other:
            raise ConfigError("resume", f"{last} was trained with another setting of {', '.join(other)}")
        state = checkpoint.state
        if state is None:
            raise ConfigError("resume", f"{last} holds weights only: start from it instead")
        if checkpoint.design != self._network.design or checkpoint.px != self._dataset.px:
            raise ConfigError("resume", f"{last} is of another network or picture size")
        if checkpoint.names != self._dataset.names or checkpoint.words != self._dataset.words:
            raise ConfigError("resume", f"{last} was trained on other labels than the data has")
        if state.train_pictures not in (self._train_pictures, None):
            told = f"{state.train_pictures:,} pictures, the data has {self._train_pictures:,}"
            raise ConfigError("resume", f"{last} was trained on {told}")
        if state.triplets_sha256 not in (self._triplets.sha256, None):
            raise ConfigError("resume", f"{last} was trained on other triplets")
