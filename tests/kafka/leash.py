"""Runs a command that cannot outlive whoever holds the other end of standard input, however that one ends.

    python leash.py COMMAND…

End of standard input: COMMAND gets SIGKILL. SIGTERM: COMMAND gets SIGTERM. The exit code is COMMAND's, negative (mod
256) for a signal. A pipe is closed by the kernel even when its holder is killed; a parent-death signal would do the
same on Linux only, and would fire when a mere thread ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=_kill_when_let_go, args=(child,), daemon=True).start()
    return child.wait()


def _kill_when_let_go(child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1):  # not through sys.stdin: its lock would be held while the interpreter ends
        pass
    child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
