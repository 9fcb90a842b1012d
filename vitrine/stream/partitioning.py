"""product_id → partition, the same on every stream and in every client."""

from __future__ import annotations

from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_R: Final = 24
_MASK: Final = 0xFFFFFFFF


def partition_of(product_id: str, partitions: int) -> int:
    """The partition Kafka's Java client would choose: murmur2 of the key's UTF-8 bytes, positive, mod partitions.

    librdkafka's default differs (crc32); its setting `partitioner=murmur2_random` agrees with this.
    """
    return (murmur2(product_id.encode()) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2), unsigned."""
    length = len(data)
    state = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        word = (word ^ (word >> _R)) * _M & _MASK
        state = (state * _M & _MASK) ^ word
    if tail := data[whole:]:
        state = (state ^ int.from_bytes(tail, "little")) * _M & _MASK
    state = (state ^ (state >> 13)) * _M & _MASK
    return state ^ (state >> 15)
