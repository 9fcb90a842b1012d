"""`make test ALL=1` must not be green because something was skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SKIPS = {
    "in the test": "import pytest\ndef test_one():\n    pytest.skip('no reason')\n",
    "by a mark": "import pytest\n@pytest.mark.skip(reason='no reason')\ndef test_one():\n    pass\n",
    "in a fixture": (
        "import pytest\n@pytest.fixture\ndef part():\n    pytest.skip('no reason')\ndef test_one(part):\n    pass\n"
    ),
    "the whole module": "import pytest\npytest.importorskip('no_such_module')\ndef test_one():\n    pass\n",
}


@pytest.mark.parametrize("skip", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_fails_only_with_all(tmp_path: Path, skip: str) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    test = tmp_path / "test_skipping.py"
    test.write_text(skip)

    assert _exit_code(test) in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert _exit_code(test, "--all") in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)


def _exit_code(test: Path, *options: str) -> int:
    settings = str(test.with_name("pytest.ini"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-c", settings]
    return subprocess.run([*command, *options, str(test)], cwd=ROOT, capture_output=True, check=False).returncode
