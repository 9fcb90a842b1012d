"""vitrine feedback: what shoppers did with answers, as triplets to train on and as figures."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from vitrine.cli import commands, console
from vitrine.cli.click_figures import CLICK_THROUGH_AT, Figure, SurfaceFigures, figures_by_surface
from vitrine.cli.clicked_triplets import triplets_of, write_triplets
from vitrine.cli.displays import Displays, displays_of
from vitrine.cli.streams import Kafka, KafkaOptions, KafkaTopic, existing_log
from vitrine.runtime.errors import ConfigError, NotFound
from vitrine.stream.kafka.names import DEFAULT_TOPIC

_AGO: Final = re.compile(r"(\d{1,6})([hd])")
_UNIT_S: Final = {"h": 3_600, "d": 86_400}

feedback = typer.Typer(no_args_is_help=True, help="What shoppers did with answers: SendFeedback, and what was shown.")

Since = Annotated[str, typer.Option(help="only what came since: 7d, 12h, or a date or time such as 2026-11-20 (UTC)")]


@feedback.command()
def export(
    out: Annotated[Path, typer.Option(help="the .csv file to write: for `vitrine train --triplets`")],
    since: Since = "",
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    kafka: Kafka = "",
    kafka_topic: KafkaTopic = DEFAULT_TOPIC,
    kafka_options: KafkaOptions = "",
    as_json: commands.AsJson = False,
) -> None:
    """Turn feedback into triplets: anchor, positive, negative, weight, surface, query_id."""
    if out.suffix.lower() != ".csv":
        raise ConfigError("out", f"{out} is no .csv file")
    found = _read(since, folder, kafka, kafka_topic, kafka_options)
    triplets = [triplet for display in found.displays for triplet in triplets_of(display)]
    answers = len(found.displays)
    source = f"{found.acts:,} acts on {answers:,} answers{_left_out(found)}"
    if not triplets:
        raise NotFound(f"feedback: there is no triplet in {source}")
    write_triplets(triplets, out)
    console.err.print(f"{out}: {len(triplets):,} triplets of {source}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        fields = {"triplets": len(triplets), "answers": answers, "acts": found.acts, "left_out": found.left_out}
        commands.print_json(fields)


@feedback.command()
def stats(
    since: Since = "",
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    kafka: Kafka = "",
    kafka_topic: KafkaTopic = DEFAULT_TOPIC,
    kafka_options: KafkaOptions = "",
    as_json: commands.AsJson = False,
) -> None:
    """Click-through@k and the mean rank of clicks by surface, with 95 % intervals."""
    found = _read(since, folder, kafka, kafka_topic, kafka_options)
    figures = figures_by_surface(found.displays)
    if as_json:
        commands.print_json({"surfaces": [asdict(one) for one in figures], "left_out": found.left_out})
        return
    if not figures:
        console.out.print("No answers were shown: only requests that name a `surface` are remembered.")
        return
    heads = (f"click-through@{k}" for k in CLICK_THROUGH_AT)
    table = Table("surface", "answers", *heads, "mean rank", "acts", box=None, header_style="bold")
    for one in figures:
        table.add_row(*map(Text, _row(one)))
    console.out.print(table)
    if found.left_out:
        console.err.print(f"{found.acts:,} acts{_left_out(found)}", markup=False, highlight=False)


def _read(since: str, folder: Path, kafka: str, topic: str, options: str) -> Displays:
    since_us = _since_us(since)
    with existing_log(folder, kafka, topic, options) as log:
        return displays_of(log.feedback(since_us))


def _since_us(text: str) -> int:
    """Microseconds since 1970. Raises ConfigError (`since`)."""
    if not text:
        return 0
    if ago := _AGO.fullmatch(text):
        return max(0, round((time.time() - int(ago[1]) * _UNIT_S[ago[2]]) * 1e6))
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return max(0, round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6))
    raise ConfigError("since", f"{text!r} is neither 7d, 12h nor a date or time such as 2026-11-20")


def _left_out(found: Displays) -> str:
    """The end of a line about what was not."""
    told = ", ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
    return f"; left out: {told}" if told else ""


def _row(one: SurfaceFigures) -> tuple[str, ...]:
    acts = ", ".join(f"{count:,} {kind}" for kind, count in one.acts.items() if count)
    through = (_shown(figure, ".1%") for figure in one.click_through.values())
    return one.surface, f"{one.answers:,}", *through, _shown(one.mean_rank, ".2f"), acts


def _shown(figure: Figure | None, digits: str) -> str:
    return f"{figure.value:{digits}} ({figure.low:{digits}} to {figure.high:{digits}})" if figure else ""
