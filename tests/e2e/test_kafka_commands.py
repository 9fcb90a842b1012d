"""vitrine topics create, and vitrine up and dlq on Kafka."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.command import last_json, succeeded, vitrine
from tests.integration.kafka_topics import PARTITIONS, own_settings, own_topics
from tests.integration.shop import eventually
from tests.kafka.broker import Broker
from vitrine.cli.letters import shown
from vitrine.stream.kafka.log import KafkaLog
from vitrine.stream.kafka.topics import administration
from vitrine.stream.log import DeadLetter, Entry, Record

pytestmark = pytest.mark.thorough


def test_topics_are_made_once_with_one_number_of_partitions(kafka: Broker) -> None:
    command = ("topics", "create", "--kafka", kafka.address, "--topic", f"made-{uuid4().hex}")
    topic = command[-1]
    four = [topic, f"{topic}.live", f"{topic}.dlq", f"{topic}.feedback"]
    assert last_json(succeeded(*command, "--partitions", "2", "--json")) == dict.fromkeys(four, "created")
    assert last_json(succeeded(*command, "--partitions", "2", "--json")) == dict.fromkeys(four, "exists")
    done = vitrine(*command, "--partitions", "3")
    assert (done.returncode, done.stderr) == (2, f"vitrine: partitions: topic {topic} exists with 2, not 3\n")


def test_on_kafka_a_letter_older_than_the_deletes_that_are_kept_is_forced(kafka: Broker) -> None:
    settings = own_topics(kafka)
    options = ("--kafka", kafka.address, "--kafka-topic", settings.topic)
    with closing(KafkaLog.open(settings, PARTITIONS)) as log:
        [old, young] = log.append([Entry("old", b"\x00"), Entry("young", b"\x00")])
        now_us = time.time_ns() // 1_000
        assert log.keeps_deletes_s is not None
        long_ago_us = now_us - int(log.keeps_deletes_s * 2_000_000)
        records = [Record(old, "old", b"\x00", long_ago_us), Record(young, "young", b"\x00", now_us)]
        log.put_dead_letters([DeadLetter(record, "no event", False, now_us) for record in records])

        done = vitrine("dlq", "replay", "--all", *options, "--json")
        results = {result["position"]: result for result in last_json(done.stdout)["letters"]}
        assert done.returncode == 1
        assert "--force" in results[shown(old)]["refused"]
        replayed_as = results[shown(young)]["replayed_as"]
        assert "published again as" in succeeded("dlq", "replay", shown(old), "--force", *options)
        again = vitrine("dlq", "replay", shown(young), *options)
        assert again.stdout == f"{shown(young)}  young  refused: published again already, as {replayed_as}\n"


def test_an_up_names_what_of_kafka_is_wrong(kafka: Broker, tmp_path: Path) -> None:
    for options, field in (
        (("--kafka-topic", "no-such-topic"), "kafka_topic"),
        (("--kafka-options", "no JSON"), "kafka_options"),
    ):
        done = vitrine("up", "--folder", tmp_path / "up", "--port", "0", "--kafka", kafka.address, *options)
        assert done.returncode == 2, done.stderr
        assert [line.startswith(f"vitrine: {field}: ") for line in done.stderr.splitlines()] == [True]
    assert not (tmp_path / "up").exists()


@pytest.mark.slow
def test_the_demo_goes_through_kafka_and_leaves_no_topic_there(kafka: Broker, tmp_path: Path) -> None:
    settings = own_settings(kafka)
    with administration(settings) as client:
        before = set(client.list_topics())
        command = ("demo", "--once", "--json", "--products", "18", "--grid", tmp_path / "grid.png")
        figures = last_json(succeeded(*command, "--kafka", kafka.address))
        assert (figures["products"], figures["recall_at_10"], figures["coverage"]) == (18, 1.0, 1.0)
        assert (tmp_path / "grid.png").is_file()
        eventually(lambda: set(client.list_topics()) - {"__consumer_offsets"} <= before)
