"""`python -m tests.kafka.broker`: a broker for as long as one command runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final, NoReturn

from tests.kafka.broker import BrokerFailed, missing, running_broker

_USAGE: Final = (
    "usage: python -m tests.kafka.broker [-- COMMAND…]   {kafka} in COMMAND stands for the broker's host:port"
)
_EXIT_CANNOT: Final = 2
_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Exit code of the command after `--`; 2 if there can be no broker."""
    if arguments and (arguments[0] != "--" or len(arguments) == 1):
        print(_USAGE, file=sys.stderr)
        return _EXIT_CANNOT
    if reason := missing():
        print(f"kafka: {reason}", file=sys.stderr)
        return _EXIT_CANNOT
    for number in _FORWARDED:
        signal.signal(number, _leave)
    try:
        with TemporaryDirectory(prefix="vitrine-kafka-") as folder, running_broker(Path(folder)) as broker:
            return _run(arguments[1:], broker.address) if arguments else _serve(broker.address)
    except BrokerFailed as failure:
        print(f"kafka: {failure}", file=sys.stderr)
        return _EXIT_CANNOT


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Unwinds, so that broker and folder go too."""
    raise SystemExit(128 + number)


def _serve(address: str) -> int:
    print(address, flush=True)
    signal.pause()
    return 0


def _run(command: Sequence[str], address: str) -> int:
    try:
        child = subprocess.Popen([word.replace("{kafka}", address) for word in command])
    except OSError as cause:
        print(f"{command[0]}: {cause.strerror}", file=sys.stderr)
        return 127

    def forward(number: int, _frame: FrameType | None) -> None:
        # A terminal sends Ctrl-C to COMMAND as well; twice would be read as impatience.
        if number != signal.SIGINT or not os.isatty(0):
            child.send_signal(number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    code = child.wait()
    return code if code >= 0 else 128 - code
