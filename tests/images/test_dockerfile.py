"""What the Dockerfile promises, read without building it."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.images.engine import PROGRAMS, ROOT

FOLDER: Final = ROOT / "deploy/docker"
FINAL: Final = (*PROGRAMS, "embedder-gpu")


def _stages() -> dict[str, tuple[str, list[str]]]:
    """Each stage's base and instructions, by its name."""
    text = (FOLDER / "Dockerfile").read_text().replace("\\\n", "")
    parts = re.split(r"^FROM (\S+) AS (\S+)$", text, flags=re.MULTILINE)
    return {
        name: (base, [line for line in body.splitlines() if line and not line.startswith("#")])
        for base, name, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    }


@pytest.mark.parametrize("target", FINAL)
def test_an_image_is_debians_python_and_what_is_copied_into_it(target: str) -> None:
    base, instructions = _stages()[target]
    assert base == "python"
    assert {line.split()[0] for line in instructions} <= {"COPY", "ENV", "USER", "EXPOSE", "ENTRYPOINT"}
    assert "USER 10001:10001" in instructions


@pytest.mark.parametrize("target", FINAL)
def test_signals_reach_the_program_itself_and_not_a_shell(target: str) -> None:
    _, instructions = _stages()[target]
    [entry] = [line for line in instructions if line.startswith("ENTRYPOINT")]
    assert entry.startswith('ENTRYPOINT ["')


def test_the_base_is_an_argument_and_named_once() -> None:
    assert [base for base, _ in _stages().values() if base not in _stages()] == ["${BASE}"]


def test_nothing_says_where_packages_come_from_and_no_layer_keeps_it() -> None:
    files = [path for path in FOLDER.rglob("*") if path.suffix in ("", ".sh", ".py", ".txt") and path.is_file()]
    assert len(files) > 10
    assert [path.name for path in files if re.search(r"https?://|--index|--trusted[-]host", path.read_text())] == []
