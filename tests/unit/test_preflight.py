"""The preflight says what a machine lacks in one line each, with the command that brings it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "preflight.sh"


@dataclass(frozen=True)
class Machine:
    """A folder of commands, the only ones that the script can find."""

    commands: Path

    def has(self, command: str, says: str = "", exit_code: int = 0) -> Machine:
        """Installs a command that prints `says`."""
        path = self.commands / command
        path.write_text(f"#!/bin/sh\ncat <<'EOF'\n{says}\nEOF\nexit {exit_code}\n")
        path.chmod(0o755)
        return self

    def has_python(self, command: str, version: str, *, venv: bool = True, headers: Path | None = None) -> Machine:
        facts = (f"{version} {'venv' if venv else 'no-venv'}", str(headers or self.commands / "no-headers"), "g++")
        return self.has(command, says="\n".join(facts))

    def has_free_disk(self, gigabytes: int) -> Machine:
        header = "Filesystem 1024-blocks Used Available Capacity Mounted"
        return self.has("df", says=f"{header}\ndisk 1 1 {gigabytes * 1024 * 1024} 1% /")

    def preflight(self, *options: str, python: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.commands)} | ({"PYTHON": python} if python else {})
        bash = shutil.which("bash") or "bash"
        return subprocess.run(
            [bash, SCRIPT, *options], env=environment, capture_output=True, text=True, check=False, timeout=30
        )


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """Has disk space and the commands of any Unix; no Python, no compiler."""
    for command in ("awk", "cat", "dirname", "uname"):
        (tmp_path / command).symlink_to(shutil.which(command) or command)
    return Machine(tmp_path).has_free_disk(gigabytes=50)


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    folder = tmp_path / "include"
    folder.mkdir()
    (folder / "Python.h").touch()
    return folder


def test_a_machine_with_everything_is_told_nothing(bare: Machine, headers: Path) -> None:
    ready = bare.has_python("python3.12", "3.12", headers=headers).has("g++").has("xcode-select").preflight("--all")

    assert (ready.returncode, ready.stderr) == (0, "")
    assert ready.stdout == f"python={bare.commands / 'python3.12'}\nannoy=yes\n"


def test_without_a_compiler_the_demo_goes_on_with_exact_search(bare: Machine, headers: Path) -> None:
    found = bare.has_python("python3.12", "3.12", headers=headers).preflight()

    assert found.returncode == 0
    assert found.stdout.endswith("annoy=no\n")
    missing, consequence = found.stderr.splitlines()
    assert missing == (
        "missing: a C++ compiler (g++) | apt: sudo apt install g++ | dnf: sudo dnf install gcc-c++"
        " | macOS: xcode-select --install"
    )
    assert "exact search only" in consequence


def test_without_headers_the_demo_goes_on_with_exact_search(bare: Machine) -> None:
    found = bare.has_python("python3.12", "3.12").has("g++").has("xcode-select").preflight()

    assert found.returncode == 0
    assert found.stdout.endswith("annoy=no\n")
    assert "apt: sudo apt install python3.12-dev | dnf: sudo dnf install python3.12-devel" in found.stderr


def test_all_does_not_go_on_without_a_compiler(bare: Machine, headers: Path) -> None:
    found = bare.has_python("python3.12", "3.12", headers=headers).preflight("--all")

    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("missing: a C++ compiler (g++) |")


def test_a_real_interpreter_answers_what_is_asked_of_it(bare: Machine) -> None:
    found = bare.preflight(python=sys.executable)

    assert found.returncode == 0
    assert found.stdout.startswith(f"python={sys.executable}\n")


def test_no_python_is_one_line(bare: Machine) -> None:
    found = bare.preflight()

    assert found.returncode == 2
    assert len(found.stderr.splitlines()) == 1
    assert found.stderr.startswith("missing: Python 3.11, 3.12 or 3.13 | apt: ")


def test_an_old_python_that_was_asked_for_is_not_replaced_by_another(bare: Machine) -> None:
    found = bare.has_python("python3.12", "3.12").has_python("old", "3.10").preflight(python="old")

    assert found.returncode == 2
    assert "PYTHON=old is not one" in found.stderr


def test_a_python_that_can_make_a_venv_comes_before_a_newer_one_that_cannot(bare: Machine) -> None:
    bare.has_python("python3.13", "3.13", venv=False).has_python("python3.11", "3.11")

    assert f"python={bare.commands / 'python3.11'}\n" in bare.preflight().stdout


def test_no_venv_module_is_missing(bare: Machine) -> None:
    found = bare.has_python("python3", "3.11", venv=False).preflight()

    assert found.returncode == 2
    assert found.stderr.startswith("missing: Python's venv module | apt: sudo apt install python3.11-venv |")


@pytest.mark.parametrize(("gigabytes", "options", "exit_code"), [(2, [], 2), (4, [], 0), (9, ["--all"], 2)])
def test_a_full_disk_is_missing_space(bare: Machine, gigabytes: int, options: list[str], exit_code: int) -> None:
    found = bare.has_free_disk(gigabytes).has_python("python3", "3.11").preflight(*options)

    assert found.returncode == exit_code
    assert ("GB of free disk" in found.stderr) is (exit_code == 2)
