"""What documents tell operators to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.monitoring.names import ROOT

DOCUMENTS: Final = tuple(ROOT / "docs" / f"{name}.md" for name in ("runbook", "dashboards", "upgrade", "access"))

# A span of code, which may go on in the next line, or a line of a block.
_CODE: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)|^    (\S.*)$", re.MULTILINE)
_BETWEEN_COMMANDS: Final = re.compile(r"&&|\||#")


def typed(document: Path, program: str) -> Iterator[str]:
    """Each command of a document that begins with `program`, without what follows in a pipe or as a comment."""
    for span, line in _CODE.findall(document.read_text()):
        for command in _BETWEEN_COMMANDS.split(span or line):
            if command.split()[:1] == [program]:
                yield " ".join(command.split())


def options_alone(document: Path) -> set[str]:
    """Options that a document names without their command, as in "add `--tls FOLDER`"."""
    spans = [span for span, _ in _CODE.findall(document.read_text()) if span.startswith("--")]
    return {option for span in spans for option in re.findall(r"(?<!\S)--[a-z-]+", span)}
