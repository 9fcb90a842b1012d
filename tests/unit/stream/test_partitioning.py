"""A product is in the partition that every Kafka client would choose."""

from __future__ import annotations

from collections import Counter

import pytest

from vitrine.stream.partitioning import murmur2, partition_of

# org.apache.kafka.common.utils.UtilsTest.testMurmur2, as signed 32-bit numbers.
KAFKA = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("key", "expected"), KAFKA.items())
def test_murmur2_is_kafkas(key: str, expected: int) -> None:
    assert murmur2(key.encode()) == expected & 0xFFFFFFFF


@pytest.mark.parametrize(("key", "expected"), KAFKA.items())
@pytest.mark.parametrize("partitions", [1, 3, 4, 4096])
def test_the_partition_is_the_positive_hash_modulo_partitions(key: str, expected: int, partitions: int) -> None:
    assert partition_of(key, partitions) == (expected & 0x7FFFFFFF) % partitions


@pytest.mark.parametrize("key", ["", "ß", "靴-1", "👟" * 64, "a\0b"])
def test_any_text_has_a_partition(key: str) -> None:
    assert 0 <= partition_of(key, 7) < 7


def test_products_spread_evenly() -> None:
    counts = Counter(partition_of(f"product-{number}", 8) for number in range(8_000))

    assert min(counts.values()) > 850
