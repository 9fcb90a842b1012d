"""A real Apache Kafka broker on 127.0.0.1: one process, KRaft, data in a folder of its own, up in about two seconds.

    python -m tests.kafka.broker -- COMMAND…    run COMMAND with each `{kafka}` in its arguments replaced by host:port
    python -m tests.kafka.broker                print host:port and serve until Ctrl-C

The exit code is COMMAND's; 2 if this machine cannot run a broker.
"""

from __future__ import annotations

import base64
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.kafka.jars import NoBroker, jar_folder, java, missing
from vitrine.runtime.ports import free_ports

__all__ = ["Broker", "BrokerFailed", "NoBroker", "missing", "running_broker"]

HOST: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0

_POLL_S: Final = 0.02
_ASK_TIMEOUT_S: Final = 2.0
_LEASH: Final = Path(__file__).with_name("leash.py")

# Started often, used for minutes by few clients: the first compiler tier and the simplest collector are enough.
_JVM: Final = (
    "-Xms64m",
    "-Xmx384m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",  # no files outside the broker's folder
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=BROKER://{host}:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}

auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# Groups settle at once, and a test may take a dead member for gone after a second.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000

# Compaction within a second of a segment's end. Its default buffer alone is 128 MiB.
log.cleaner.enable=true
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=8388608

# A broker that was killed may come back only when its last session is over: 9 s otherwise.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=250
"""


class BrokerFailed(Exception):
    """The broker did not start or stop as asked; carries the end of its log."""


class Broker:
    """One broker with its data in `folder`. Ends with the process that started it, even if that one is killed.

    Raises NoBroker if this machine cannot run one. Use `running_broker`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._classpath = f"{jar_folder()}/*"
        self._java = java()
        self._port, self._controller_port = free_ports(2)
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """host:port for clients; the same over restarts."""
        return f"{HOST}:{self._port}"

    @property
    def log_path(self) -> Path:
        """What the broker printed, over all its starts."""
        return self._folder / "broker.log"

    def start(self) -> None:
        """Returns once clients are answered. Raises BrokerFailed."""
        assert self._running is None, "the broker runs already"
        if not self._properties.exists():
            self._format()
        with self.log_path.open("ab") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LEASH), *self._main("kafka.Kafka"), str(self._properties)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,  # where a JVM that crashes writes
                start_new_session=True,  # a terminal's Ctrl-C is for the program that uses the broker
            )
        try:
            self._wait_until_answering(self._running)
        except BaseException:  # Ctrl-C too: nobody else knows of the process yet
            self.kill()
            raise

    def stop(self) -> None:
        """Ends the broker in good order. Nothing to do if it does not run. Raises BrokerFailed, having killed it."""
        if self._running is None:
            return
        self._running.terminate()
        try:
            self._running.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as cause:
            raise self._failed(f"did not stop within {STOP_TIMEOUT_S:.0f} s") from cause
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends the broker by SIGKILL, as a power cut would. Nothing to do if it does not run."""
        if self._running is None:
            return
        assert self._running.stdin is not None
        self._running.stdin.close()  # lets the leash go, which kills
        self._running.wait()
        self._running = None

    def restart(self) -> None:
        """Starts the broker anew on the same port and data; one that runs is stopped first. Raises BrokerFailed."""
        self.stop()
        self.start()

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"

    def _main(self, java_class: str) -> list[str]:
        return [self._java, *_JVM, "-cp", self._classpath, java_class]

    def _format(self) -> None:
        """Writes the settings and an empty storage that carries a new cluster id."""
        self._folder.mkdir(parents=True, exist_ok=True)
        ports = {"port": self._port, "controller_port": self._controller_port}
        draft = self._properties.with_suffix(".draft")
        draft.write_text(_PROPERTIES.format(host=HOST, data=self._folder / "data", **ports), encoding="utf-8")
        storage_tool = [*self._main("kafka.tools.StorageTool"), "format"]
        command = [*storage_tool, f"--cluster-id={_cluster_id()}", f"--config={draft}"]
        with self.log_path.open("ab") as log:
            formatted = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if formatted.returncode:
            raise self._failed("could not format its storage")
        draft.rename(self._properties)

    def _wait_until_answering(self, running: subprocess.Popen[bytes]) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not _answers(self._port):
            if running.poll() is not None:
                raise self._failed(f"ended while starting, with code {running.returncode}")
            if time.monotonic() > deadline_s:
                raise self._failed(f"did not answer within {START_TIMEOUT_S:.0f} s")
            time.sleep(_POLL_S)

    def _failed(self, what: str) -> BrokerFailed:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return BrokerFailed("\n  ".join([f"the broker {what}; the end of {self.log_path}:", *lines[-20:]]))


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """A broker that has started and keeps its data in `folder`. Raises NoBroker, BrokerFailed."""
    broker = Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _answers(port: int) -> bool:
    """Whether the broker answers a metadata request by naming itself: only then can topics be made."""
    body = struct.pack(">hhihi", 3, 1, 0, -1, 0)  # Metadata, version 1, correlation id, no client id, no topics
    try:
        with socket.create_connection((HOST, port), _ASK_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            head = connection.recv(12, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == 12 and struct.unpack(">iii", head)[2] == 1  # size, correlation id, brokers known


if __name__ == "__main__":
    from tests.kafka.command import main

    sys.exit(main(sys.argv[1:]))
