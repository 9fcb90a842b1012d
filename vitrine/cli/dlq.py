"""vitrine dlq: what was refused, why, and publishing it again once its cause is mended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vitrine.cli import commands, console, letters, replaying
from vitrine.cli.shelves import shown_time
from vitrine.cli.streams import Kafka, KafkaOptions, KafkaTopic, existing_log
from vitrine.runtime.errors import ConfigError, NotFound
from vitrine.stream.kafka.names import DEFAULT_TOPIC
from vitrine.stream.log import DeadLetter, Position, Stream

# Inline pictures are a megabyte of base64: of a long text the beginning is shown. JSON has all of it.
_SHOWN_CHARACTERS = 300

dlq = typer.Typer(no_args_is_help=True, help="Dead letters: events that were refused, and publishing them again.")

Which = Annotated[Stream | None, typer.Option(help="only letters of this stream")]


@dlq.command()
def ls(
    stream: Which = None,
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    kafka: Kafka = "",
    kafka_topic: KafkaTopic = DEFAULT_TOPIC,
    kafka_options: KafkaOptions = "",
    as_json: commands.AsJson = False,
) -> None:
    """All dead letters, newest last."""
    with existing_log(folder, kafka, kafka_topic, kafka_options) as log:
        found = [letter for letter in log.dead_letters() if stream in (None, letter.record.position.stream)]
    if as_json:
        commands.print_json({"letters": [letters.summary(letter) for letter in found]})
        return
    if not found:
        console.out.print("No dead letters.")
        return
    table = Table("position", "product", "refused (UTC)", "", "reason", box=None, header_style="bold")
    for letter in found:
        product, reason = Text(letter.record.key, overflow="fold"), Text(letter.reason, overflow="fold")
        again = "" if not letters.is_replay(letter) else f"replay of {letters.shown(letters.origin(letter))}"
        notes = ", ".join(note for note in ("partly indexed" if letter.partly_indexed else "", again) if note)
        when = shown_time(letter.time_us / 1e6)
        table.add_row(letters.shown(letter.record.position), product, when, notes, reason)
    console.out.print(table)


@dlq.command()
def show(
    position: Annotated[str, typer.Argument(help="as `ls` shows it: STREAM:PARTITION:OFFSET, or PARTITION:OFFSET")],
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    kafka: Kafka = "",
    kafka_topic: KafkaTopic = DEFAULT_TOPIC,
    kafka_options: KafkaOptions = "",
    as_json: commands.AsJson = False,
) -> None:
    """All of one dead letter, its event decoded where it can be."""
    wanted = letters.parsed(position)
    with existing_log(folder, kafka, kafka_topic, kafka_options) as log:
        [letter] = _named(log.dead_letters(), [wanted])
    fields = {**letters.summary(letter), **letters.contents(letter.record)}
    if as_json:
        commands.print_json(fields)
        return
    for name, value in fields.items():
        shown = value if isinstance(value, str) else json.dumps(_shortened(value), indent=1, ensure_ascii=False)
        console.out.print(f"[bold]{name:<15}[/bold] {escape(_shortened(shown))}", highlight=False, soft_wrap=True)


@dlq.command()
def replay(
    positions: Annotated[list[str] | None, typer.Argument(help="as `ls` shows them")] = None,
    every: Annotated[bool, typer.Option("--all", help="all letters")] = False,
    force: Annotated[bool, typer.Option(help="those too that are older than the log keeps deletes")] = False,
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    kafka: Kafka = "",
    kafka_topic: KafkaTopic = DEFAULT_TOPIC,
    kafka_options: KafkaOptions = "",
    as_json: commands.AsJson = False,
) -> None:
    """Publish refused events again, each under the offset it had first: it never hides what is newer."""
    if bool(positions) == every:
        raise ConfigError("positions", "name letters, or give --all: one of the two")
    wanted = [letters.parsed(position) for position in positions or ()]
    with existing_log(folder, kafka, kafka_topic, kafka_options) as log:
        found = log.dead_letters()
        results = replaying.replay(log, found, found if every else _named(found, wanted), force)
    if as_json:
        commands.print_json({"letters": [asdict(result) for result in results]})
    else:
        for result in results:
            what = f"published again as {result.replayed_as}" if result.replayed_as else f"refused: {result.refused}"
            console.out.print(
                f"{result.position}  {result.product_id}  {what}", markup=False, highlight=False, soft_wrap=True
            )
    if any(result.refused for result in results):
        raise typer.Exit(1)


def _named(found: Sequence[DeadLetter], positions: Sequence[Position]) -> list[DeadLetter]:
    there = {letter.record.position: letter for letter in found}
    for position in positions:
        if position not in there:
            raise NotFound(f"position: there is no dead letter {letters.shown(position)}")
    return [there[position] for position in dict.fromkeys(positions)]


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_shortened(entry) for entry in value]
    if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS:
        return f"{value[:_SHOWN_CHARACTERS]}… ({len(value):,} characters)"
    return value
