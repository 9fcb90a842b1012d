"""Which partitions the consumer group gives to a member."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition

from vitrine.stream.kafka.mending import forget_what_was_lost


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """What `member` holds now. Called on the client's own thread."""

    def __init__(self, member: KafkaConsumer, partitions: int) -> None:
        self._member = member
        self._partitions = partitions
        self._lock = threading.Lock()
        self._held: dict[int, int] = {}
        self._times = 0

    def held(self) -> dict[int, int]:
        """Partition → a number that is new whenever the partition is."""
        with self._lock:
            return dict(self._held)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        places = list(assigned)
        # Never where the group has committed: nothing is read before the partition is claimed and its manifest says
        # from where.
        for place in places:
            self._member.seek(place, 0)
        self._member.pause(*places)
        with self._lock:
            self._times += 1
            # A partition beyond the index's number is for `KafkaLog.check` to tell of, not for reading.
            self._held.update({place.partition: self._times for place in places if place.partition < self._partitions})

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        with self._lock:
            for place in revoked:
                self._held.pop(place.partition, None)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)
        forget_what_was_lost(self._member)
