"""The peers' own virtual environment, so that none of their needs is one of Vitrine's."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
PLOT_PACKAGES: Final = ("matplotlib",)


@dataclass(frozen=True)
class Environment:
    """`missing`: why packages could not be installed, by the package named first."""

    folder: Path
    missing: dict[str, str]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name


def prepared(folder: Path, wanted: Iterable[tuple[str, ...]]) -> Environment:
    """Installs what is not there, each of `wanted` by itself: one that cannot be had takes no other with it."""
    stamp = folder / "installed.json"
    version = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    known = json.loads(stamp.read_bytes()) if stamp.is_file() else {}
    if known.get("requirements") != version:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        known = {"requirements": version, "packages": []}
    environment = Environment(folder, {})
    for packages in wanted:
        if packages[0] in known["packages"]:
            continue
        print(f"Installing {', '.join(packages)} into {folder} …", file=sys.stderr)
        if reason := _install(environment.python, packages):
            environment.missing[packages[0]] = reason
        else:
            known["packages"].append(packages[0])
            stamp.write_text(json.dumps(known))
    return environment


def _install(python: Path, packages: tuple[str, ...]) -> str:
    """Empty, or why not."""
    options: list[str | Path] = ["--quiet", "--disable-pip-version-check", "--constraint", REQUIREMENTS]
    answer = subprocess.run(
        [python, "-m", "pip", "install", *options, *packages], check=False, capture_output=True, text=True
    )
    if answer.returncode == 0:
        return ""
    said = answer.stderr.strip().splitlines() or [f"pip ended with {answer.returncode}"]
    return str(next((line for line in said if line.startswith("ERROR:")), said[-1]))
