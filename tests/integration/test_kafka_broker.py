"""The broker that other tests rely on: it is Kafka, it keeps what it has, it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.kafka.broker import Broker, missing, running_broker
from tests.kafka.jars import NoBroker, jar_folder

kafka_python = pytest.importorskip("kafka")
admin = pytest.importorskip("kafka.admin")

pytestmark = pytest.mark.thorough

_RECORDS: Final = [(f"key {number}".encode(), f"value {number}".encode()) for number in range(500)]
_PATIENCE_S: Final = 20.0
_PUT_JAR: Final = 'for last; do :; done; folder=${last#*=}; mkdir -p "$folder"; : >"$folder/kafka.jar"'
_LAUNCHER: Final = (sys.executable, "-m", "tests.kafka.broker")


@pytest.fixture(scope="module")
def can_run() -> None:
    if reason := missing():
        pytest.skip(reason)


def test_a_consumer_reads_what_a_producer_wrote(kafka: Broker) -> None:
    write(kafka, "smoke", _RECORDS)
    assert read(kafka, "smoke", len(_RECORDS)) == _RECORDS


@pytest.mark.usefixtures("can_run")
def test_acknowledged_records_survive_a_killed_broker(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        address = broker.address
        write(broker, "kept", _RECORDS)
        broker.kill()
        assert not listens(address)
        broker.restart()
        assert broker.address == address
        assert read(broker, "kept", len(_RECORDS)) == _RECORDS


@pytest.mark.usefixtures("can_run")
def test_the_launcher_gives_the_address_and_passes_the_exit_code_on() -> None:
    command = [sys.executable, "-c", "import sys; print(sys.argv[1]); sys.exit(7)", "at={kafka}"]
    ended = subprocess.run([*_LAUNCHER, "--", *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 7, ended.stderr
    assert ended.stdout.startswith("at=127.0.0.1:")
    assert not listens(ended.stdout.strip().removeprefix("at="))


@pytest.mark.usefixtures("can_run")
def test_the_launcher_forwards_sigterm(tmp_path: Path) -> None:
    program = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print("up", flush=True)
time.sleep(30)
"""
    with launched("--", sys.executable, "-c", program, folder=tmp_path) as (launcher, first_line):
        assert first_line == "up"
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(_PATIENCE_S) == 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("can_run")
def test_a_broker_ends_with_a_launcher_that_is_killed(tmp_path: Path) -> None:
    with launched(folder=tmp_path) as (launcher, address):
        assert listens(address)
        launcher.kill()
        until = time.monotonic() + _PATIENCE_S
        while listens(address) and time.monotonic() < until:
            time.sleep(0.05)
        assert not listens(address)


def test_missing_names_the_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert missing() == "no java on PATH (Kafka needs 17 or newer)"


def test_the_launcher_says_in_one_line_why_there_is_no_broker() -> None:
    command = [*_LAUNCHER, "--", "true"]
    ended = subprocess.run(command, env=os.environ | {"PATH": ""}, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith("kafka: no java on PATH")


def test_a_failed_fetch_says_why_and_leaves_no_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_mvn(tmp_path / "bin", "echo 'Unknown host'; exit 1", monkeypatch)
    with pytest.raises(NoBroker, match="Unknown host"):
        jar_folder(tmp_path / "cache")
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["lock"]


def test_two_who_need_the_jars_fetch_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_mvn(tmp_path / "bin", f'echo fetch >>"$(dirname "$0")/fetches"; sleep 0.3; {_PUT_JAR}', monkeypatch)
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(jar_folder, [tmp_path / "cache"] * 2)
    assert first == second
    assert (tmp_path / "bin" / "fetches").read_text() == "fetch\n"


def test_jars_that_are_there_need_no_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_mvn(tmp_path / "bin", _PUT_JAR, monkeypatch)
    fetched = jar_folder(tmp_path / "cache")
    monkeypatch.setenv("PATH", "")
    assert jar_folder(tmp_path / "cache") == fetched


def write(broker: Broker, topic: str, records: list[tuple[bytes, bytes]]) -> None:
    """Makes `topic`, one partition, and returns when the broker has acknowledged all records."""
    client = admin.KafkaAdminClient(bootstrap_servers=broker.address)
    client.create_topics([admin.NewTopic(topic, num_partitions=1, replication_factor=1)])
    client.close()
    producer = kafka_python.KafkaProducer(bootstrap_servers=broker.address, acks="all")
    sent = [producer.send(topic, key=key, value=value) for key, value in records]
    for record in sent:
        record.get(_PATIENCE_S)
    producer.close()


def read(broker: Broker, topic: str, count: int) -> list[tuple[bytes, bytes]]:
    """The first `count` records, read as a group's only member; fewer when patience ends."""
    consumer = kafka_python.KafkaConsumer(
        topic,
        bootstrap_servers=broker.address,
        group_id=f"{topic} readers",
        auto_offset_reset="earliest",
        session_timeout_ms=1000,
        heartbeat_interval_ms=300,
    )
    found: list[tuple[bytes, bytes]] = []
    until = time.monotonic() + _PATIENCE_S
    while len(found) < count and time.monotonic() < until:
        for records in consumer.poll(timeout_ms=200).values():
            found += [(record.key, record.value) for record in records]
    consumer.close()
    return found


def listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@contextmanager
def launched(*arguments: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The launcher, keeping its files in `folder`, and the first line that it or its command prints."""
    environment = os.environ | {"TMPDIR": str(folder)}
    command = [*_LAUNCHER, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as launcher:
        assert launcher.stdout is not None
        try:
            yield launcher, launcher.stdout.readline().strip()
        finally:
            launcher.kill()


def put_mvn(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a `mvn` that runs `script` first on PATH."""
    folder.mkdir()
    (folder / "mvn").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
