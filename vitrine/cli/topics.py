"""vitrine topics create: the topics of a catalogue on Kafka."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from vitrine.cli import commands, console
from vitrine.cli.streams import KafkaOptions, kafka_settings
from vitrine.stream.kafka.names import DEFAULT_TOPIC

topics = typer.Typer(no_args_is_help=True, help="The topics of a catalogue on Kafka.")


@topics.callback()
def _group() -> None:
    """Makes `create` a command of its own, though there is no other yet."""


@topics.command()
def create(
    kafka: Annotated[str, typer.Option(help="host:port of Kafka, several separated by commas")],
    topic: Annotated[str, typer.Option(help="topic of the catalogue")] = DEFAULT_TOPIC,
    partitions: Annotated[int, typer.Option(min=1, max=4096, help=commands.PARTITIONS_HELP)] = 1,
    replication_factor: Annotated[int, typer.Option(min=1, max=32767, help="brokers that hold each partition")] = 1,
    kafka_options: KafkaOptions = "",
    as_json: commands.AsJson = False,
) -> None:
    """Make the topics TOPIC, TOPIC.live, TOPIC.dlq and TOPIC.feedback, those that are absent, with their settings."""
    settings = kafka_settings(kafka, topic, kafka_options)
    from vitrine.stream.kafka.topics import create_topics

    done = create_topics(settings, partitions, replication_factor)
    if as_json:
        commands.print_json(done)
        return
    table = Table("topic", "partitions", "", box=None, header_style="bold")
    for name, what in done.items():
        table.add_row(name, str(partitions), what)
    console.out.print(table)
