"""What kafka-python 3.0.12 leaves out when a member joins its group and `poll` returns before the group's answer.

Java's client had the first fault too (KAFKA-9815); its `AbstractCoordinator.joinGroupIfNeeded` shows both as they
should be. Without this a member can stay without partitions for ever, or keep the whole group from settling.
"""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer
from kafka.structs import MemberState


class Joining:
    """Stands between `member` and its coordinator. Call `go_on` before each poll."""

    def __init__(self, member: KafkaConsumer) -> None:
        self._coordinator = member._coordinator
        self._join = self._coordinator._do_join_and_sync_async
        self._answer: Any = None
        self._coordinator._do_join_and_sync_async = self._join_once

    def go_on(self) -> None:
        """A member that has begun to join goes on: where new metadata was the reason, it would forget to."""
        if self._coordinator.rejoining:
            self._coordinator.request_rejoin()

    async def _join_once(self) -> Any:
        """The group's answer; one that came while nobody waited is taken now. It would be asked for again, and where
        this member leads the group, that calls all the others together anew.
        """
        if self._answer is None or self._coordinator.state is not MemberState.REBALANCING:
            self._answer = None
            self._answer = await self._join()
        return self._answer
