"""Faults of kafka-python 3.0.12, mended from outside. Each has a test that fails without it.

Joining a group, where `poll` returns before the group's answer: a member can stay without partitions for ever, or keep
the whole group from settling. Java's client had the first of the two as well (KAFKA-9815); its `joinGroupIfNeeded` in
AbstractCoordinator shows how both should be. Where another takes a member's name: nobody is told.

Being thrown out: a member that comes back still claims its partitions, and may be given them again though another
has them and works.

Pausing: what had been fetched of a paused partition is laid aside, and not always taken up again. The partition is then
never read again.
"""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer, errors
from kafka.structs import MemberState


class Joining:
    """Stands between `member` and its coordinator. Call `go_on` before each poll."""

    def __init__(self, member: KafkaConsumer) -> None:
        self._coordinator = member._coordinator
        self._join = self._coordinator._do_join_and_sync_async
        self._answer: Any = None
        self._coordinator._do_join_and_sync_async = self._join_once

    def go_on(self) -> None:
        """A member that has begun to join goes on: where new metadata was the reason, it would forget to.

        Raises FencedInstanceIdError if another has joined under this member's name.
        """
        if self._coordinator.rejoining:
            self._coordinator.request_rejoin()
        elif self._coordinator.state is MemberState.STABLE and not self._coordinator._heartbeat_enabled:
            raise errors.FencedInstanceIdError(f"another member has joined as {self._coordinator.group_instance_id}")

    async def _join_once(self) -> Any:
        """The group's answer; one that came while nobody waited is taken now. It would be asked for again, and where
        this member leads the group, that calls all the others together anew.
        """
        if self._answer is None or self._coordinator.state is not MemberState.REBALANCING:
            self._answer = None
            self._answer = await self._join()
        return self._answer


def take_up_laid_aside(client: KafkaConsumer) -> None:
    """Before each poll: what is laid aside is only taken up in the place of records that are used up and *removed*."""
    fetcher = client._fetcher
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None


def forget_what_was_lost(member: KafkaConsumer) -> None:
    """Of a member that was thrown out of its group and joins again: it would claim to own what others have now."""
    for assignor in member._coordinator._assignors.values():
        assignor.member_assignment = None
