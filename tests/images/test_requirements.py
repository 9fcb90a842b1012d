"""What each image installs is what its service imports: no more, no less."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

import pytest

from tests.images.closure import imported_distributions
from tests.images.engine import PROGRAMS, ROOT

FOLDER: Final = ROOT / "deploy/docker/requirements"

# Imported by no line of ours: Starlette imports it to read forms.
INDIRECT: Final = {"web": {"python-multipart"}}


@pytest.mark.parametrize("target", PROGRAMS)
def test_an_image_requires_what_its_program_imports(target: str) -> None:
    wanted = imported_distributions(PROGRAMS[target]) | INDIRECT.get(target, set())
    assert _required(FOLDER / f"{target}.txt") == wanted


def test_the_embedders_of_cpu_and_gpu_differ_only_in_their_runtime() -> None:
    cpu, gpu = (_required(FOLDER / f"embedder-{kind}.txt") for kind in ("cpu", "gpu"))
    assert cpu - gpu == {"onnxruntime"}
    assert {name for name in gpu - cpu if not name.startswith("nvidia-")} == {"onnxruntime-gpu[cuda,cudnn]"}


def test_every_requirement_has_an_exact_version_in_one_place() -> None:
    constraints = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    for path in FOLDER.glob("*.txt"):
        names = {line.split("[")[0] for line in _lines(path)}
        pinned = {name.split("==")[0] for name in names if "==" in name}
        assert {name for name in names if "==" not in name} <= constraints, path.name
        assert not pinned & constraints, path.name


def test_requirements_are_dependencies_of_the_project_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    names = {line.split(";")[0].split(">=")[0].split("==")[0].strip() for line in declared}
    required = {line.split("[")[0] for path in FOLDER.glob("*.txt") for line in _lines(path) if "==" not in line}
    assert required <= names


def _required(path: Path) -> set[str]:
    """Names, of the files included too."""
    included = [line.removeprefix("-r ") for line in path.read_text().splitlines() if line.startswith("-r ")]
    names = {line.split("==")[0] for line in _lines(path)}
    return names.union(*(_required(path.parent / name) for name in included))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "-r "))]
