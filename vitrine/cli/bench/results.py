"""Where a measurement goes: one line of JSON on standard output, and into a file if one is wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vitrine.cli import commands

Out = Annotated[Path | None, typer.Option(help="folder to write the result into too; default: it is only printed")]


def say(fields: dict[str, Any], out: Path | None) -> None:
    """`fields["bench"]` names the file."""
    commands.print_json(fields)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{fields['bench']}.json").write_text(json.dumps(fields) + "\n")
