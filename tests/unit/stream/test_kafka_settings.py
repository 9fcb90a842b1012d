"""What may be said of a Kafka cluster; what is wrong with it is told before anything is connected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kafka", reason="needs the extra `kafka`")

from vitrine.runtime.errors import ConfigError
from vitrine.stream.kafka.connection import KafkaSettings
from vitrine.stream.log import Stream

PLAIN = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "shop",
    "sasl_plain_password": "secret",
}


def settings(**fields: Any) -> KafkaSettings:
    return KafkaSettings(**{"servers": "127.0.0.1:9092", **fields})


def without(name: str) -> dict[str, str]:
    return {option: value for option, value in PLAIN.items() if option != name}


# What is wrong with options, and the option that the refusal must name.
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no option of a client": ({"sasl_foo": "1"}, "sasl_foo"),
    "one that changes how events are read": ({"auto_offset_reset": "latest"}, "auto_offset_reset"),
    "one that is no text": ({"ssl_context": "x"}, "ssl_context"),
    "an unknown protocol": ({"security_protocol": "TLS"}, "security_protocol"),
    "no mechanism": (without("sasl_mechanism"), "sasl_mechanism"),
    "an unknown mechanism": (PLAIN | {"sasl_mechanism": "MD5"}, "sasl_mechanism"),
    "no password": (without("sasl_plain_password"), "sasl_plain_password"),
    "no user": (PLAIN | {"sasl_plain_username": ""}, "sasl_plain_username"),
    "a password in the clear": (without("security_protocol"), "security_protocol"),
    "a certificate in the clear": ({"ssl_check_hostname": "true"}, "security_protocol"),
    "a file that is not there": ({"security_protocol": "SSL", "ssl_cafile": "/no/such/file"}, "ssl_cafile"),
    "neither true nor false": ({"security_protocol": "SSL", "ssl_check_hostname": "yes"}, "ssl_check_hostname"),
}


@pytest.mark.parametrize(("options", "named"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_option_is_refused_by_its_name(options: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        settings(options=options)

    assert caught.value.field == "kafka_options"


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("servers", "", "kafka"),
        ("servers", "localhost", "kafka"),
        ("servers", "localhost:port", "kafka"),
        ("servers", "a:9092,,b:9092", "kafka"),
        ("topic", "", "kafka_topic"),
        ("topic", "shoes and bags", "kafka_topic"),
        ("topic", "x" * 241, "kafka_topic"),
        ("group", "", "kafka_group"),
        ("group_instance_id", "pod/0", "kafka_group_instance_id"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name(field: str, value: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**{field: value})

    assert caught.value.field == named


@pytest.mark.parametrize("servers", ["kafka:9092", "a:1, b:65535", "[::1]:9092", "10.0.0.1:9092"])
def test_servers_may_be_several_and_of_any_family(servers: str) -> None:
    assert settings(servers=servers).client_options("x")["bootstrap_servers"] == [
        server.strip() for server in servers.split(",")
    ]


def test_options_reach_every_client() -> None:
    assert PLAIN.items() <= settings(options=PLAIN).client_options("x").items()


def test_a_switch_is_not_a_text() -> None:
    options = {"security_protocol": "SSL", "ssl_check_hostname": "false"}

    assert settings(options=options).client_options("x")["ssl_check_hostname"] is False


def test_files_are_passed_on(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()

    options = {"security_protocol": "SSL", "ssl_cafile": str(file)}

    assert settings(options=options).client_options("x")["ssl_cafile"] == str(file)


def test_the_rack_is_for_clients_that_read() -> None:
    racked = settings(options={"client_rack": "eu-1a"})

    assert racked.consumer_options("x")["client_rack"] == "eu-1a"
    assert "client_rack" not in racked.client_options("x")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(settings(options=PLAIN))


@pytest.mark.parametrize("stream", list(Stream))
def test_each_stream_has_a_topic_of_its_own(stream: Stream) -> None:
    assert settings().stream_of(settings().topic_of(stream)) is stream


@pytest.mark.parametrize("topic", ["catalogue", "live", "vitrine.catalogue.dlq", ""])
def test_another_topic_is_no_stream(topic: str) -> None:
    with pytest.raises(ValueError, match="no topic of"):
        settings().stream_of(topic)
