"""gRPC channels and their options, the same on both ends."""

from __future__ import annotations

from typing import Final

import grpc.aio

# A picture may have 16 MiB, 10,000 hits about 5 MiB.
MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024

MESSAGE_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)
CHANNEL_OPTIONS: Final = (
    *MESSAGE_OPTIONS,
    # A proxy in the environment is for the outside world, never for calls between services.
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def internal_channel(address: str) -> grpc.aio.Channel:
    """A channel to one of our services at `host:port`."""
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
