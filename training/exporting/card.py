"""MODEL_CARD.md: what a model is, what it was measured to do, and what it is not for. All of it from model.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from vitrine.model_folder import ModelFolder

FILE: Final = "MODEL_CARD.md"
SAMPLE: Final = "It is a sample to try Vitrine with, not meant for production."

_CARD: Final = """# {name}

{summary}

## Data

{data}

## Training

{training}

## Measured

{measured}

{variants}

## Limits

- **{sample}**
- "Composed" backgrounds are generated. No street photo, shelf photo or selfie was tested; expect worse there.
- Fine texture, prints and small brands are not seen at {width}×{height} pixels.
- People may wear the products; nothing was done or measured about fairness towards them.
- Labels are those of the data, with its gaps and mistakes; rare ones rest on a handful of pictures.
"""
_MEASURED: Final = """On the split `test`; the catalogue is the split `train`, on its own background. *Composed* queries
are products cut out and put on generated backgrounds that training never drew. Behind each share is its 95 % interval.
{where}"""
_FACTS_APART: Final = frozenset({"dataset", "source", "terms", "rows", "data", "report", "test"})


def write(folder: Path) -> None:
    """MODEL_CARD.md from the folder's model.json. Raises ConfigError (`model`)."""
    (folder / FILE).write_text(rendered(ModelFolder.read(folder)))


def rendered(facts: ModelFolder) -> str:
    """The card, in Markdown."""
    return _CARD.format(
        name=facts.name,
        summary=_summary(facts),
        data=_data(facts.training),
        training=_training(facts.training),
        measured=_measured(facts.training),
        variants=_variants(facts),
        sample=SAMPLE,
        width=facts.width,
        height=facts.height,
    )


def _summary(facts: ModelFolder) -> str:
    lines = [f"Pictures of {facts.width}×{facts.height} pixels to unit vectors of {facts.dim} dimensions."]
    if facts.parts:
        parts = ", ".join(
            f"{part.name} ({part.dim} dimensions, {part.weight:.0%} of the cosine)" for part in facts.parts
        )
        lines.append(f"The vector has the parts {parts}.")
    lines += [f"Scores {len(facts.labels_of(column))} labels of `{column}`." for column in facts.score_outputs]
    if facts.outputs.activation:
        lines.append("Says where in the picture the product is, and whether there is one.")
    return "\n".join(lines)


def _data(training: Mapping[str, Any]) -> str:
    if "dataset" not in training:
        return "Not recorded. Find out what the weights were learned from, and its terms, before you use them."
    rows = f", {training['rows']:,} rows" if isinstance(training.get("rows"), int) else ""
    source = training.get("source") or "Its publisher is not recorded."
    terms = training.get("terms") or "Check its terms before you use the model for more than trying it."
    return f"{training['dataset']}{rows}. {source}\n{terms} None of its pictures are in this folder."


def _training(training: Mapping[str, Any]) -> str:
    facts = {name: value for name, value in training.items() if name not in _FACTS_APART}
    return (
        _table(("", ""), ((_spaced(name), _shown(value)) for name, value in facts.items()))
        if facts
        else "Not recorded."
    )


def _measured(training: Mapping[str, Any]) -> str:
    test = training.get("test")
    if not test:
        return "Not measured."
    columns = {str(kind): dict(_flat(figures)) for kind, figures in test.items() if isinstance(figures, Mapping)}
    names = list(dict.fromkeys(name for figures in columns.values() for name in figures))
    rows = ((_spaced(name), *(_shown(figures.get(name)) for figures in columns.values())) for name in names)
    where = (
        f"The full report: {training['report']}." if training.get("report") else "`vitrine eval` makes the full report."
    )
    return f"{_MEASURED.format(where=where)}\n\n{_table(('', *columns), rows)}"


def _variants(facts: ModelFolder) -> str:
    rows = (
        (
            name,
            f"{found.bytes / 1e6:.1f} MB",
            _shown(found.cosine_to_fp32_mean),
            _shown(found.cosine_to_fp32_min),
            "–" if found.overlap_at_10 is None else f"{found.overlap_at_10:.1%}",
        )
        for name, found in facts.variants.items()
    )
    head = ("variant", "size", "mean cosine to fp32", "least", "same among the ten nearest")
    warnings = [f"- `{name}` {found.warning}." for name, found in facts.variants.items() if found.warning]
    return "\n".join([_table(head, rows), *([""] if warnings else []), *warnings])


def _flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Figures by one name each, whatever the depth they lie at; one with an interval is one figure."""
    for name, value in figures.items():
        if isinstance(value, Mapping) and "value" not in value:
            yield from _flat(value, f"{before}{name}, ")
        else:
            yield f"{before}{name}", value


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
        case list() | tuple():
            return ", ".join(_shown(inner) for inner in value)
        case {"value": float(share), "low": float(low), "high": float(high)}:
            return f"{share:.1%} ({100 * low:.1f}–{100 * high:.1f})"
        case Mapping():
            return ", ".join(f"{_spaced(str(name))} {_shown(inner)}" for name, inner in value.items())
        case _:
            return str(value)
