"""vitrine bench: what this machine does, as JSON."""

import typer

bench = typer.Typer(no_args_is_help=True, help="Measure speed and recall on this machine; prints JSON.")
