"""TLS connections of a server: how many were begun, how many were of use.

What fails in a handshake (no certificate, an expired one, one of a stranger's authority) never comes up from gRPC to
here; gRPC writes a line with the reason on standard error. So both ends are counted: each handshake, and each
connection at its first call. What the first has more is what was refused.
"""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic
from typing import Final

from prometheus_client import Counter

from vitrine.runtime.context import Context

# More than are open at a time: one that is forgotten and calls again would be counted twice.
_REMEMBERED: Final = 16_384
# gRPC spreads the age of connections by a tenth to both sides; what is under way then is still the old connection's.
_SPREAD: Final = 1.1
_GRACE_S: Final = 5.0


class Connections:
    """Of one server."""

    def __init__(self, service: str, max_age_s: float) -> None:
        """`max_age_s`: a connection so old takes no new calls."""
        self._handshakes = Counter(f"vitrine_{service}_tls_handshakes", "TLS handshakes begun, those that failed too")
        self._used = Counter(f"vitrine_{service}_tls_connections", "TLS connections that brought at least one call")
        self._lasts_s = _SPREAD * max_age_s + _GRACE_S
        # When each was first seen, the oldest first. Ports come round again: then it is another connection.
        self._peers: OrderedDict[str, float] = OrderedDict()

    def began(self) -> None:
        """A handshake. Called from any thread."""
        self._handshakes.inc()

    def called(self, context: Context) -> None:
        """A call has come in. Called from the event loop."""
        peer, now_s = context.peer(), monotonic()
        first_s = self._peers.get(peer)
        if first_s is not None and now_s - first_s < self._lasts_s:
            return
        self._peers[peer] = now_s
        self._peers.move_to_end(peer)
        self._used.inc()
        if len(self._peers) > _REMEMBERED:
            self._peers.popitem(last=False)
