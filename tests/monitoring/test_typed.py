"""What documents tell operators to type exists: commands, their options, and what they are used on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from tests.monitoring.typed import DOCUMENTS, options_alone, typed
from vitrine.cli.__main__ import app

VITRINE: Final = typer.main.get_command(app)
TYPED: Final = sorted({(path.stem, command) for path in DOCUMENTS for command in typed(path, "vitrine")})


def test_the_list_is_not_empty() -> None:
    assert len(TYPED) > 25
    assert any("--" in command for _, command in TYPED)
    assert {document for document, _ in TYPED} >= {"runbook", "upgrade", "access"}


@pytest.mark.parametrize(("document", "command"), TYPED)
def test_a_command_and_its_options_exist(document: str, command: str) -> None:
    assert unknown_in(command) == []


@pytest.mark.parametrize(
    ("command", "unknown"),
    [
        ("vitrine index status --json", []),
        ("vitrine index … --json", []),
        ("vitrine index verify --kafka HOST:PORT", ["--kafka"]),
        ("vitrine index verifies", ["verifies"]),
        ("vitrine indexes verify", ["indexes"]),
    ],
)
def test_what_does_not_exist_is_seen(command: str, unknown: list[str]) -> None:
    assert unknown_in(command) == unknown


@pytest.mark.parametrize("document", DOCUMENTS[:3], ids=lambda document: str(document.stem))
def test_an_option_that_is_named_alone_is_one_of_some_command(document: Path) -> None:
    assert options_alone(document) - {option for command in _commands(VITRINE) for option in _options(command)} == set()


def test_options_that_are_named_alone_are_found(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("Add `--tls FOLDER --token-file\nFILE` to `vitrine search --json` there.")
    assert options_alone(document) == {"--tls", "--token-file"}


def unknown_in(command: str) -> list[str]:
    """The words of a command of ours that it does not have; "…" stands for anything."""
    found, words = VITRINE, command.split()[1:]
    while words and words[0] in _below(found):
        found = _below(found)[words.pop(0)]
    if _below(found):
        return [] if not words or words[0] == "…" else words[:1]
    return sorted(set(re.findall(r"(?<!\S)--[a-z-]+", " ".join(words))) - _options(found))


# Typer's commands are click's, or those of its own copy of it, by its version.
def _below(command: Any) -> Mapping[str, Any]:
    """The commands of a group by name; none of what is a command itself."""
    return dict(getattr(command, "commands", {}))


def _options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def _commands(command: Any) -> Iterator[Any]:
    yield command
    for below in _below(command).values():
        yield from _commands(below)
