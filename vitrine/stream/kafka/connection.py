"""What is told about a Kafka cluster, how clients are made from it, and its errors as ours."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from kafka import errors
from kafka.net.compat import KafkaNetClient

from vitrine.runtime.errors import ConfigError, Unavailable
from vitrine.stream.kafka.names import DEFAULT_GROUP, DEFAULT_TOPIC
from vitrine.stream.log import Stream

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "AWS_MSK_IAM")
_FILES: Final = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")
_NAMES: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_LONGEST_SUFFIX: Final = len(".feedback")
# Options of kafka-python that are passed through: how to be let in, never how events are read or written.
_PASSED: Final = (
    "security_protocol",
    *_FILES,
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_password",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_kerberos_name",
    "sasl_kerberos_service_name",
    "sasl_kerberos_domain_name",
    "client_rack",
)
_REQUEST_TIMEOUT_MS: Final = 10_000
_NOT_LET_IN: Final = (errors.SaslAuthenticationFailedError, errors.UnsupportedSaslMechanismError)
_CONNECTING: Final = logging.getLogger("kafka.net")
# A broker that is gone is said once by us; of kafka-python it would be 25 lines a second.
_NOISY: Final = ("kafka.cluster", "kafka.net.connection", "kafka.coordinator", "kafka.consumer.fetcher")
# A broker that comes back is found again within this time: 30 s, the default, is longer than a session.
_RECONNECT_MAX_MS: Final = 1_000

# Refusals that no retry mends, and the setting that does.
_SETTINGS_AT_FAULT: Final[Mapping[type[errors.KafkaError], str]] = {
    errors.KafkaConfigurationError: "kafka_options",
    errors.SaslAuthenticationFailedError: "kafka_options",
    errors.UnsupportedSaslMechanismError: "kafka_options",
    errors.AuthorizationError: "kafka",
    errors.InvalidTopicError: "kafka_topic",
    errors.InvalidGroupIdError: "kafka_group",
    errors.InconsistentGroupProtocolError: "kafka_group",
    errors.GroupMaxSizeReachedError: "kafka_group",
    errors.FencedInstanceIdError: "kafka_group_instance_id",
    errors.InvalidSessionTimeoutError: "kafka_session_timeout_s",
    errors.InvalidReplicationFactorError: "replication_factor",
}


@dataclass(frozen=True)
class KafkaSettings:
    """How to reach a cluster and which topics to use there. Raises ConfigError naming the setting that is wrong.

    servers            host:port, several separated by commas
    topic              of the catalogue; `.live`, `.dlq` and `.feedback` are added for the others
    group              consumer group of the indexers of one index
    group_instance_id  names this member across restarts, so that a restart moves no partition; empty: none
    session_timeout_s  a member that is silent for longer loses its partitions
    options            security_protocol, sasl_… and ssl_… as kafka-python names them
    connect_timeout_s  a cluster that has not answered by then is unavailable
    """

    servers: str
    topic: str = DEFAULT_TOPIC
    group: str = DEFAULT_GROUP
    group_instance_id: str = ""
    session_timeout_s: float = 30.0
    # Not shown: it may hold a password.
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_timeout_s: float = 20.0

    def __post_init__(self) -> None:
        for server in self.servers.split(","):
            if not re.fullmatch(r"\s*(\[[0-9a-fA-F:]+\]|[^\s:\[\]]+):[0-9]{1,5}\s*", server):
                raise ConfigError("kafka", f"{server!r} is not host:port")
        if not _NAMES.fullmatch(self.topic) or len(self.topic) > 249 - _LONGEST_SUFFIX:
            raise ConfigError("kafka_topic", f"{self.topic!r} is no name of a topic")
        if not self.group:
            raise ConfigError("kafka_group", "is empty")
        if self.group_instance_id and not _NAMES.fullmatch(self.group_instance_id):
            raise ConfigError("kafka_group_instance_id", f"{self.group_instance_id!r}: letters, digits and . _ - only")
        _check_options(self.options)

    def topic_of(self, stream: Stream) -> str:
        return self.topic if stream is Stream.CATALOGUE else f"{self.topic}.live"

    def stream_of(self, topic: str) -> Stream:
        """Raises ValueError if it is neither of the two."""
        for stream in Stream:
            if topic == self.topic_of(stream):
                return stream
        raise ValueError(f"{topic} is no topic of {self.topic}")

    @property
    def dead_letter_topic(self) -> str:
        return f"{self.topic}.dlq"

    @property
    def feedback_topic(self) -> str:
        return f"{self.topic}.feedback"

    def client_options(self, name: str) -> dict[str, Any]:
        """What every client of the cluster is made with."""
        return {
            "bootstrap_servers": [server.strip() for server in self.servers.split(",")],
            "client_id": f"vitrine-{name}",
            "bootstrap_timeout_ms": int(self.connect_timeout_s * 1000),
            "request_timeout_ms": _REQUEST_TIMEOUT_MS,
            "reconnect_backoff_max_ms": _RECONNECT_MAX_MS,
            **{option: _parsed(option, text) for option, text in self.options.items() if option != "client_rack"},
        }

    def consumer_options(self, name: str) -> dict[str, Any]:
        """The same for clients that read: the nearest replica serves them."""
        return {**self.client_options(name), "client_rack": self.options.get("client_rack", "")}


_Client = TypeVar("_Client")


def quieten() -> None:
    """For programs: keeps kafka-python from filling their logs while a broker is away."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Of its own: its parent's level is not for it.
    logging.getLogger("kafka.coordinator.heartbeat").setLevel(logging.WARNING)


def connected(make: Callable[..., _Client], **options: Any) -> _Client:
    """A client of kafka-python. Its constructor waits for the cluster and, when that fails, leaves a thread running
    that goes on trying: here it is ended. Raises ConfigError, Unavailable.
    """
    with ExitStack() as on_failure, translated("connect"), _reason_told():

        def network(**config: Any) -> KafkaNetClient:
            client = KafkaNetClient(**config)
            on_failure.callback(client.close)
            return client

        client = make(kafka_client=network, **options)
        on_failure.pop_all()
        return client


@contextmanager
def _reason_told() -> Iterator[None]:
    """Raises why the last attempt to connect has failed: kafka-python logs it, and raises that the time is over."""
    reasons = _Reasons()
    _CONNECTING.addHandler(reasons)
    try:
        yield
    except errors.KafkaTimeoutError as error:
        if reasons.not_let_in:
            raise errors.SaslAuthenticationFailedError(reasons.said) from error
        raise errors.KafkaTimeoutError(reasons.said) from error
    finally:
        _CONNECTING.removeHandler(reasons)


class _Reasons(logging.Handler):
    """Keeps what the last exception that was logged has said: the exception itself would keep its socket."""

    said = "nobody answered in time"
    not_let_in = False

    def emit(self, record: logging.LogRecord) -> None:
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, _NOT_LET_IN):
                self.not_let_in, self.said = True, str(value)
            elif isinstance(value, errors.KafkaConnectionError) and not self.not_let_in:
                self.said = str(value)
                if "disconnected" in self.said:
                    self.said += ", which is how a cluster answers who may not come in: see kafka_options"


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Kafka's errors as ours: what is refused for good is a setting to mend, the rest may pass."""
    try:
        yield
    except errors.KafkaError as error:
        for kind, setting in _SETTINGS_AT_FAULT.items():
            if isinstance(error, kind):
                raise ConfigError(setting, f"cannot {action} ({error})") from error
        raise Unavailable(f"kafka: cannot {action} ({error})") from error
    # RuntimeError is how kafka-python says that a client is closed.
    except (OSError, RuntimeError) as error:
        raise Unavailable(f"kafka: cannot {action} ({type(error).__name__}: {error})") from error


def _check_options(options: Mapping[str, str]) -> None:
    for name in options:
        if name not in _PASSED:
            raise ConfigError("kafka_options", f"{name!r} is not among {', '.join(_PASSED)}")
    protocol = options.get("security_protocol", "PLAINTEXT")
    if protocol not in _PROTOCOLS:
        raise ConfigError("kafka_options", f"security_protocol is {protocol!r}, not one of {', '.join(_PROTOCOLS)}")
    for name in _FILES:
        if name in options and not Path(options[name]).is_file():
            raise ConfigError("kafka_options", f"{name}: there is no file {options[name]}")
    # Without these kafka-python connects in the clear, or not at all, and says nothing.
    if not protocol.startswith("SASL") and any(name.startswith("sasl_") for name in options):
        raise ConfigError("kafka_options", f"sasl_… is given, but security_protocol is {protocol}")
    if not protocol.endswith("SSL") and any(name.startswith("ssl_") for name in options):
        raise ConfigError("kafka_options", f"ssl_… is given, but security_protocol is {protocol}")
    if protocol.startswith("SASL"):
        _check_sasl(options)
    _parsed("ssl_check_hostname", options.get("ssl_check_hostname", "true"))


def _check_sasl(options: Mapping[str, str]) -> None:
    mechanism = options.get("sasl_mechanism", "")
    if mechanism not in _MECHANISMS:
        raise ConfigError("kafka_options", f"sasl_mechanism is {mechanism!r}, not one of {', '.join(_MECHANISMS)}")
    if mechanism == "PLAIN" or mechanism.startswith("SCRAM"):
        for name in ("sasl_plain_username", "sasl_plain_password"):
            if not options.get(name):
                raise ConfigError("kafka_options", f"{name} is missing, {mechanism} needs it")


def _parsed(option: str, text: str) -> str | bool:
    if option != "ssl_check_hostname":
        return text
    if text.lower() not in ("true", "false"):
        raise ConfigError("kafka_options", f"ssl_check_hostname is {text!r}, not true or false")
    return text.lower() == "true"
