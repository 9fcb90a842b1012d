"""The examples that documents show: Python, and requests as grpcurl sends them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"
API: Final = ROOT / "docs" / "api.md"

_PYTHON: Final = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_GRPCURL: Final = re.compile(
    r"^grpcurl -plaintext (?:-max-time \d+ )?-d @ 127\.0\.0\.1:7000 ([\w.]+)/(\w+) <<'?JSON'?\n(.*?)^JSON$",
    re.MULTILINE | re.DOTALL,
)
_SECTION: Final = re.compile(r"^## (\w[^\n]*)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class Request(NamedTuple):
    """`service`: its full name. `json`: what is sent, with the shell's substitutions still in it."""

    service: str
    method: str
    json: str


def sections(document: Path) -> dict[str, str]:
    """The text below each heading of the second level."""
    return dict(_SECTION.findall(document.read_text()))


def python_examples(text: str) -> list[str]:
    return _PYTHON.findall(text)


def grpcurl_examples(text: str) -> list[Request]:
    return [Request(*found) for found in _GRPCURL.findall(text)]
