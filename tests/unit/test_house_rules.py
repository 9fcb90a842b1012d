"""Rules about the text of the code that neither ruff nor import-linter can state."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "vitrine" / "v1"
HAND_WRITTEN = sorted(
    path
    for folder in ("vitrine", "services", "training")
    for path in (ROOT / folder).rglob("*.py")
    if GENERATED not in path.parents
)

ENVIRONMENT = {("os", "environ"), ("os", "environb"), ("os", "getenv")}
STATUS_CODE = {("grpc", "StatusCode"), ("grpc.aio", "StatusCode")}
REGISTRY_ADDRESS = re.compile(r"--(extra-)?index[-]url|--find[-]links|--trusted[-]host|pypi[.]org|files[.]pythonhosted")


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import os\nos.environ['A']", 2),
        ("from os import getenv", 1),
        ("import os\ndef f():\n    return os.getenv('A')", 3),
    ],
)
def test_the_rule_sees_the_environment_being_read(code: str, line: int) -> None:
    assert list(_uses(ast.parse(code), ENVIRONMENT)) == [line]


def test_only_main_modules_read_the_environment() -> None:
    assert not [
        f"{path.relative_to(ROOT)}:{line}"
        for path in HAND_WRITTEN
        if path.name != "__main__.py"
        for line in _uses(ast.parse(path.read_bytes()), ENVIRONMENT)
    ]


def test_status_codes_stay_in_the_runtime() -> None:
    runtime = ROOT / "vitrine" / "runtime"
    assert not [
        f"{path.relative_to(ROOT)}:{line}"
        for path in HAND_WRITTEN
        if runtime not in path.parents
        for line in _uses(ast.parse(path.read_bytes()), STATUS_CODE)
    ]


def test_no_file_names_a_package_registry() -> None:
    # Where packages come from is the business of each machine's own pip settings.
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    files = [ROOT / name for name in tracked if name]
    assert not [
        str(path.relative_to(ROOT))
        for path in files
        if path.is_file() and REGISTRY_ADDRESS.search(path.read_text(errors="ignore"))
    ]


def _uses(tree: ast.Module, names: set[tuple[str, str]]) -> Iterator[int]:
    """Lines that read `module.name` or import that name, for each (module, name)."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=owner, attr=name) if (ast.unparse(owner), name) in names:
                yield node.lineno
            case ast.ImportFrom(module=str(module), names=imported):
                if any((module, alias.name) in names for alias in imported):
                    yield node.lineno
