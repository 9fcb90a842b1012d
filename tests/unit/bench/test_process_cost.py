"""What processes cost, as the system tells it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitrine.cli.bench.process_cost import cpu_seconds, descendants, peak_of_new_processes

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="told by /proc only")

# A child of the child works for 0.3 s of CPU time and holds 60 MB.
WORK = "import time\nheld = b'x' * 60_000_000\nwhile time.process_time() < 0.3: pass\n"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {WORK!r}])"


def test_the_cost_of_a_process_is_that_of_all_below_it() -> None:
    before = cpu_seconds([os.getpid()])
    subprocess.run([sys.executable, "-c", PARENT], check=True)
    after = cpu_seconds([os.getpid()])

    assert before is not None
    assert after is not None
    assert after - before > 0.25


def test_a_process_that_is_not_there_has_cost_nothing() -> None:
    assert cpu_seconds([2**30]) == 0


def test_the_memory_of_what_is_started_meanwhile_is_seen_and_of_nothing_else() -> None:
    with subprocess.Popen([sys.executable, "-c", "held = b'x' * 300_000_000; input()"], stdin=subprocess.PIPE) as old:
        while old.pid not in descendants():
            time.sleep(0.01)
        time.sleep(0.3)
        with peak_of_new_processes() as peak:
            subprocess.run([sys.executable, "-c", PARENT], check=True)
        old.communicate(b"\n")

    assert peak.private_bytes is not None
    assert 60e6 < peak.private_bytes < 250e6
