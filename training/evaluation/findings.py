"""Everything that is measured of one model on one data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from training.evaluation.classes import ClassFigures, Confusion
from training.evaluation.conditions import Answers, ConditionFigures
from training.evaluation.embedding_map import EmbeddingMap
from training.evaluation.index_recall import IndexRecall
from training.evaluation.intervals import Figure
from training.evaluation.scenes_found import AutoCrop, NoProduct

FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class Facts:
    """What was measured with what.

    `rows`: pictures by split; `labels`: how many labels each column has; `left_out`: what of the data could not be
    used, or only in part, in sentences.
    """

    model: str
    model_id: str
    variant: str
    dim: int
    rows: Mapping[str, int]
    labels: Mapping[str, int]
    left_out: tuple[str, ...]
    seed: int

    @property
    def scored_column(self) -> str:
        """The label column that classes, confusion and map are about."""
        return next(iter(self.labels))


@dataclass(frozen=True)
class Report:
    """All figures. `skipped`: why a part is missing, by its name.

    `told_by`: whether classes and confusion come from the `head` or, without one, from the `vote` of the nearest.
    `names`: labels of the scored column in code order. `answers`: what the pictures of a local report are drawn from;
    never part of report.json.
    """

    facts: Facts
    conditions: Mapping[str, ConditionFigures]
    told_by: str
    classes: tuple[ClassFigures, ...]
    confusion: Confusion
    distances: Mapping[str, Mapping[str, Figure]]
    index: IndexRecall
    embedding_map: EmbeddingMap | None
    auto_crop: AutoCrop | None
    no_product: NoProduct | None
    skipped: Mapping[str, str]
    names: tuple[str, ...]
    answers: Mapping[str, Answers] = field(default_factory=dict, repr=False, compare=False)

    def summary(self) -> dict[str, Any]:
        """The figures that model.json carries; a part that is missing is {"skipped": why}."""
        parts: dict[str, Any] = {name: _summary(figures) for name, figures in self.conditions.items()}
        if self.auto_crop:
            parts["auto_crop"] = {
                "found": self.auto_crop.found.as_json(),
                "mean_iou": self.auto_crop.mean_iou.as_json(),
            }
        if self.no_product:
            parts["no_product"] = {"area_under_roc": self.no_product.area_under_roc.as_json()}
        return parts | {name: {"skipped": reason} for name, reason in self.skipped.items()}

    def as_json(self) -> dict[str, Any]:
        """Everything but the answers."""
        parts = {"auto_crop": self.auto_crop, "no_product": self.no_product, "embedding_map": self.embedding_map}
        facts = self.facts
        return {
            "format_version": FORMAT_VERSION,
            "model": {"name": facts.model, "model_id": facts.model_id, "variant": facts.variant, "dim": facts.dim},
            "data": {
                "rows": dict(facts.rows),
                "labels": dict(facts.labels),
                "scored_column": facts.scored_column,
                "left_out": list(facts.left_out),
            },
            "seed": facts.seed,
            "conditions": {name: figures.as_json() for name, figures in self.conditions.items()},
            "classes": {"told_by": self.told_by, "labels": [figures.as_json() for figures in self.classes]},
            "confusion": self.confusion.as_json(),
            "label_precision_at_10_by_distance": {
                distance: {column: figure.as_json() for column, figure in figures.items()}
                for distance, figures in self.distances.items()
            },
            "index": self.index.as_json(),
            **{name: part.as_json() for name, part in parts.items() if part},
            "skipped": dict(self.skipped),
        }


def _summary(figures: ConditionFigures) -> dict[str, Any]:
    columns = figures.columns.items()
    return {
        "queries": figures.queries,
        "catalogue_rows": figures.catalogue_rows,
        **({"reference_subcategories": figures.reference.as_json()} if figures.reference else {}),
        "precision_at_10": {column: of.precision_at[10].as_json() for column, of in columns},
        "mean_average_precision": {column: of.mean_average_precision.as_json() for column, of in columns},
        "top_1_by_head": {column: of.top_by_head[1].as_json() for column, of in columns if of.top_by_head},
        "top_1_by_vote": {column: of.top_by_vote[1].as_json() for column, of in columns},
    }
