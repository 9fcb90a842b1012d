"""Measures a model on a data set's test split, with the train split as the catalogue, and writes report.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from training.data import Dataset, Pictures
from training.evaluation.classes import ClassFigures, Confusion, confusion, per_class
from training.evaluation.conditions import Answers, Catalogue, ConditionFigures, answered, cropped_queries, measured
from training.evaluation.distances import label_precision
from training.evaluation.embedding_map import embedding_map
from training.evaluation.findings import Facts, Report
from training.evaluation.index_recall import index_recall
from training.evaluation.metrics import aligned, vote_shares
from training.evaluation.scenes_found import AutoCrop, NoProduct, auto_crop, no_product
from training.exporting.session import Embedded
from training.scenes import heldout
from training.scenes.cutout import can_be_cut, product_masks
from training.scenes.geometry import bounding_boxes
from vitrine.model_folder import ModelFolder
from vitrine.runtime.errors import ConfigError

FILE: Final = "report.json"

Progress = Callable[[str], None]


class Model(Protocol):
    """What is measured: `training.exporting.session.Session`, or anything like it."""

    @property
    def facts(self) -> ModelFolder: ...

    @property
    def variant(self) -> str: ...

    def embed(self, pixels: npt.NDArray[np.uint8]) -> Embedded: ...


def evaluate(session: Model, dataset: Dataset, seed: int, told: Progress = lambda step: None) -> Report:
    """All figures; the same seed gives the same. `told` hears what is being measured.

    Raises ConfigError (`px`) where the data's pictures are not of the size that the model takes, and one naming the
    scored column where no query has a label that can be right.
    """
    if (session.facts.height, session.facts.width) != (dataset.px, dataset.px):
        raise ConfigError("px", f"is {dataset.px}, but the model takes {session.facts.width}x{session.facts.height}")
    if not (dataset.splits["test"].labels[dataset.scored_column] >= 0).any():
        raise ConfigError(dataset.scored_column, "no picture of the split test has a label that the split train has")
    return _Evaluation(session, dataset, seed, told).report()


def write(report: Report, folder: Path) -> Path:
    """Writes report.json into `folder`, which is made if absent. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(json.dumps(report.as_json(), ensure_ascii=False) + "\n")
    return path


@dataclass(frozen=True)
class _Evaluation:
    """One model, one data set. `report` asks for the parts in turn."""

    session: Model
    dataset: Dataset
    seed: int
    told: Progress

    def report(self) -> Report:
        queries, train = self.dataset.splits["test"], self.dataset.splits["train"]
        self.told("embedding the catalogue")
        catalogue = Catalogue(train, self.session.embed(train.pixels).vectors)
        clean = self._answered("clean", queries, np.arange(len(queries)), catalogue)
        cut = _Cut.of(queries, self.dataset.scored_column)
        answers = {"clean": clean, **self._shifted(queries, cut, catalogue), **self._elsewhere(clean)}
        conditions = self._measured(answers)
        found, empty, without = self._scenes(queries, cut)
        self.told("measuring classes, distances and the index")
        told_by, classes, confused = self._classes(clean)
        labels = {column: clean.queries.labels[column] for column in self.dataset.columns}
        return Report(
            facts=self._facts(),
            conditions=conditions,
            told_by=told_by,
            classes=classes,
            confusion=confused,
            distances=label_precision(clean.vectors, catalogue.vectors, labels, train.labels, self.seed),
            index=index_recall(clean.vectors, catalogue.vectors, clean.ranking.scores[:, -1], self.seed),
            embedding_map=embedding_map(clean.vectors, labels[self.dataset.scored_column], self.seed),
            auto_crop=found,
            no_product=empty,
            skipped=cut.skipped("composed", "cropped") | without,
            names=self.dataset.names[self.dataset.scored_column],
            answers=answers,
        )

    def _shifted(self, queries: Pictures, cut: _Cut, catalogue: Catalogue) -> dict[str, Answers]:
        """The queries that can be cut, on held-out backgrounds and cropped."""
        if not len(cut.rows):
            return {}
        whole = queries.taken(cut.rows)
        composed = replace(whole, pixels=heldout.composed(whole.pixels, self.seed))
        cropped = cropped_queries(whole, cut.boxes, self.seed)
        return {
            "composed": self._answered("composed", composed, cut.rows, catalogue),
            "cropped": self._answered("cropped", cropped, cut.rows, catalogue),
        }

    def _elsewhere(self, clean: Answers) -> dict[str, Answers]:
        """The clean queries against pictures that the model was not trained on, and against as many that it was."""
        unseen = self.dataset.splits["val"]
        trained = clean.catalogue
        size = min(len(unseen), len(trained.pictures))
        rows = np.sort(np.random.default_rng(self.seed).choice(len(trained.pictures), size, replace=False))
        self.told("embedding the catalogue not trained on")
        catalogues = {
            "untrained_catalogue": Catalogue(unseen, self.session.embed(unseen.pixels).vectors),
            "trained_catalogue_of_that_size": Catalogue(trained.pictures.taken(rows), trained.vectors[rows]),
        }
        return {
            name: answered(clean.queries, clean.rows, clean.vectors, clean.scores, catalogue, self.dataset.names)
            for name, catalogue in catalogues.items()
        }

    def _answered(self, name: str, queries: Pictures, rows: npt.NDArray[np.int64], catalogue: Catalogue) -> Answers:
        self.told(f"asking {len(queries):,} queries: {name}")
        embedded = self.session.embed(queries.pixels)
        facts, names = self.session.facts, self.dataset.names
        scores = {
            column: aligned(values, facts.labels_of(column), names[column])
            for column, values in embedded.scores.items()
            if column in names
        }
        return answered(queries, rows, embedded.vectors, scores, catalogue, names)

    def _measured(self, answers: Mapping[str, Answers]) -> dict[str, ConditionFigures]:
        return {
            name: measured(one, self.dataset.names, self.seed, None if name == "clean" else answers["clean"])
            for name, one in answers.items()
        }

    def _classes(self, clean: Answers) -> tuple[str, tuple[ClassFigures, ...], Confusion]:
        """By the head's first choice; without a head, by the vote of the nearest."""
        column = self.dataset.scored_column
        names, truth = self.dataset.names[column], clean.queries.labels[column]
        scores = clean.scores.get(column)
        choice = vote_shares(clean.neighbours(column), len(names)) if scores is None else scores
        known = truth >= 0
        truth, predicted = truth[known], choice.argmax(axis=1)[known]
        classes = per_class(truth, predicted, clean.matches(column)[known], names, self.seed)
        return "vote" if scores is None else "head", classes, confusion(truth, predicted, names)

    def _scenes(self, queries: Pictures, cut: _Cut) -> tuple[AutoCrop | None, NoProduct | None, dict[str, str]]:
        """Figures of crop = AUTO and of the score for no product, and why one is missing."""
        if not len(cut.rows):
            return None, None, cut.skipped("auto_crop", "no_product")
        self.told("looking for products in scenes")
        # Not the seed of the composed queries, which would put each product before the same background again.
        scenes = heldout.scenes(queries.pixels[cut.rows], self.seed + 1)
        seen = self.session.embed(scenes.pixels)
        found, empty, skipped = None, None, {}
        if seen.activation is None:
            skipped["auto_crop"] = "the model has no output `activation`"
        else:
            found = auto_crop(seen.activation, scenes.boxes, self.seed)
        if seen.presence is None:
            skipped["no_product"] = "the model has no output `presence`"
        else:
            nothing = self.session.embed(heldout.empty(len(cut.rows), self.dataset.px, self.seed + 2)).presence
            assert nothing is not None
            empty = no_product(seen.presence, nothing)
        return found, empty, skipped

    def _facts(self) -> Facts:
        return Facts(
            model=self.session.facts.name,
            model_id=self.session.facts.model_id,
            variant=self.session.variant,
            dim=self.session.facts.dim,
            rows={split: len(pictures) for split, pictures in self.dataset.splits.items()},
            labels={column: len(names) for column, names in self.dataset.names.items()},
            left_out=tuple(self.dataset.skipped.lines()),
            seed=self.seed,
        )


@dataclass(frozen=True)
class _Cut:
    """Which queries can be cut out of a white background, int64 (m,), and the boxes of their products, (m, 4)."""

    rows: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]

    @staticmethod
    def of(queries: Pictures, column: str) -> _Cut:
        """None of them where not one has a label in `column`."""
        masks = product_masks(queries.pixels)
        rows = np.flatnonzero(can_be_cut(masks))
        if not (queries.labels[column][rows] >= 0).any():
            rows = rows[:0]
        boxes = (bounding_boxes(torch.from_numpy(masks[rows]).unsqueeze(1)) + 1) / 2
        return _Cut(rows, boxes.float().numpy())

    def skipped(self, *parts: str) -> dict[str, str]:
        """Why each of `parts` is missing; {} where it is not."""
        reason = "no labelled picture of the test split can be cut out: none is a product on plain white"
        return {} if len(self.rows) else dict.fromkeys(parts, reason)
