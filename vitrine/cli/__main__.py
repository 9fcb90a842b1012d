"""vitrine: the command line."""

from __future__ import annotations

import sys

import typer

from vitrine.cli import affinity, commands, demo, models, searching, suggesting
from vitrine.cli.bench import bench
from vitrine.cli.connecting import connecting
from vitrine.cli.console import err
from vitrine.cli.dedupe import dedupe
from vitrine.cli.dlq import dlq
from vitrine.cli.feedback import feedback
from vitrine.cli.index import index
from vitrine.cli.topics import topics
from vitrine.runtime.errors import ConfigError, VitrineError

EXIT_FAILED = 1
EXIT_CONFIG = 2

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Look-alike search for shops."
)
app.command()(commands.up)
app.command()(demo.demo)
app.command()(connecting(commands.ingest))
app.command()(connecting(searching.search))
app.command()(connecting(suggesting.recommend))
app.command()(connecting(suggesting.look))
app.command()(connecting(dedupe))
app.add_typer(index, name="index")
app.add_typer(dlq, name="dlq")
app.add_typer(topics, name="topics")
app.add_typer(feedback, name="feedback")
app.command()(models.train)
app.command("train-affinity")(connecting(affinity.train_affinity))
app.command("eval")(models.evaluate)
app.command()(models.export)
model = typer.Typer(no_args_is_help=True, help="Look at a model folder.")
model.command("check")(models.check)
app.add_typer(model, name="model")
app.add_typer(bench, name="bench")


def main() -> None:
    """Runs a command. What is wrong is one line; settings that are wrong end with exit code 2."""
    try:
        app()
    except ConfigError as error:
        _say(error)
        sys.exit(EXIT_CONFIG)
    except VitrineError as error:
        _say(error)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


def _say(error: Exception) -> None:
    err.print(f"vitrine: {error}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
