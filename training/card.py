"""MODEL_CARD.md: what the model is, what it was measured to do, and what it is not for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.bundle import INT8_VARIANT, TrainingFacts
from training.data import LABEL_COLUMNS
from training.train import Run

_CARD = """# {name}

A small sample model for product pictures: ResNet-18 at {px}×{px} pixels, {dim} dimensions, int8, {megabytes:.1f} MB.
It lets Vitrine be tried without training anything. **It is a sample, not meant for production.**

## Data

{dataset}: {rows:,} rows with the labels subcategory, article_type and colour.
{source}
None of its pictures are in this repository; the weights were learned from them.

## Training

{runs}; exported on {date}.
About 60 % of the pictures that could be cut out of their white background were put on a generated one in each epoch
(noise, gradients, stripes, checks, rectangles, parts of other products).

## Measured

The exported int8 file on the split `test`; the catalogue is the split `train`, on white. *Composed* queries are
products cut out and put on backgrounds of kinds that training never drew (polygons, bricks, tiles); products whose
cut fails, covering under 10 % or over 90 % of the picture, are left out of that column.

| | clean | composed |
|---|---|---|
| queries (of the nine subcategories) | {clean_queries} | {composed_queries} |
| vote of the 10 nearest, catalogue of the nine subcategories | {clean_nine} | {composed_nine} |
| vote of the 10 nearest, whole catalogue | {clean_full} | {composed_full} |
| classification head, all {labels} subcategories | {clean_head} | {composed_head} |
{precision_rows}

The nine: Topwear, Shoes, Bags, Bottomwear, Watches, Innerwear, Jewellery, Eyewear, Socks.

int8 against fp32 on `test`: cosine {cosine_mean:.4f} on average, {cosine_min:.4f} at least;
{overlap:.1%} of the ten nearest are the same.

## Limits

- The composed backgrounds are generated. No street photo, shelf photo or selfie was tested; expect worse there.
- One shop's pictures, one product each, {px} pixels at most: fine texture, prints and brands are not seen.
- People wear some of the products; nothing was done or measured about fairness towards them.
- Labels come from the data set and are uneven: rare subcategories have a handful of pictures, and colours overlap.
"""


def write(folder: Path, document: dict[str, Any], facts: TrainingFacts) -> None:
    """MODEL_CARD.md from what model.json, `document`, holds."""
    variant, tests = document["variants"][INT8_VARIANT], document["training"]["test"]
    columns = {f"{kind}_{name}": text for kind in tests for name, text in _column(tests[kind]).items()}
    card = _CARD.format(
        name=document["name"],
        px=document["input"]["width"],
        dim=document["dim"],
        megabytes=variant["bytes"] / 1e6,
        dataset=facts.dataset,
        source=facts.source,
        rows=facts.rows,
        runs=", then ".join(_described(run) for run in facts.runs),
        date=facts.date,
        labels=len(document["labels"]),
        precision_rows=_precision_rows(tests),
        cosine_mean=variant["cosine_to_fp32_mean"],
        cosine_min=variant["cosine_to_fp32_min"],
        overlap=variant["overlap_at_10"],
        **columns,
    )
    (folder / "MODEL_CARD.md").write_text(card)


def _described(run: Run) -> str:
    return f"{run.epochs} epochs (seed {run.seed}, peak learning rate {run.learning_rate_max:g})"


def _column(metrics: dict[str, Any]) -> dict[str, str]:
    return {
        "queries": f"{metrics['queries']:,} ({metrics['queries_reference']:,})",
        "nine": f"{metrics['knn_accuracy_nine_way']:.2%}",
        "full": f"{metrics['knn_accuracy_full_catalogue']:.2%}",
        "head": f"{metrics['head_accuracy']:.2%}",
    }


def _precision_rows(tests: dict[str, Any]) -> str:
    clean, composed = tests["clean"]["precision_at_10"], tests["composed"]["precision_at_10"]
    return "\n".join(
        f"| precision@10, {column} | {clean[column]:.2%} | {composed[column]:.2%} |" for column in LABEL_COLUMNS
    )
