"""What every service tells Prometheus, and what it costs to be asked."""

from __future__ import annotations

import math
import re
import time
from statistics import median

import pytest

from tests.integration.shop import Shop, http, metric

MOST_S = 0.05
TIMES = 50


@pytest.mark.parametrize("name", ["embedder", "searcher", "indexer", "gateway"])
def test_metrics_are_told_within_50_ms(shop: Shop, name: str) -> None:
    address = shop.stack.addresses[name].http
    assert f"vitrine_{name}_calls_in_flight" in http(address, "/metrics")[1]
    assert median(_asked_s(address) for _ in range(TIMES)) <= MOST_S


def test_a_search_makes_the_embedder_busy_for_a_while(shop: Shop) -> None:
    for product in shop.products[:10]:
        # Not asked before: the gateway keeps the vectors of those that were.
        shop.calls.client.search(image=product.pictures[0] + time.time_ns().to_bytes(8, "big"))
    assert 0 < metric(shop.stack.addresses["embedder"].http, "vitrine_embedder_busy_ratio") <= 1


def test_an_embedder_says_whether_it_fell_back(shop: Shop) -> None:
    address = shop.stack.addresses["embedder"].http
    [provider] = re.findall(r'^vitrine_embedder_provider_info\{provider="(\w+)"', http(address, "/metrics")[1], re.M)
    # The first of the default.
    wanted = provider == "CUDAExecutionProvider"
    assert metric(address, "vitrine_embedder_on_wanted_provider") == wanted


def test_a_log_in_a_file_keeps_deletes_for_ever(shop: Shop) -> None:
    assert metric(shop.stack.addresses["indexer"].http, "vitrine_indexer_delete_retention_seconds") == math.inf


def test_counters_are_there_before_the_first_trouble(shop: Shop) -> None:
    # Prometheus sees no increase in a counter that begins with 1: an alert would miss the first.
    first_seen_at_0 = {
        "embedder": ["refused_images_total{", "bad_images_total{"],
        "gateway": ['answers_total{outcome="failed"}', 'answers_total{outcome="partial"}'],
        "indexer": ['dead_letters_total{partition="0"}', 'events_total{kind="delete",partition="0"}'],
        "searcher": ['refused_shards_total{partition="0"}', 'refused_manifests_total{partition="0"}'],
    }
    for name, counters in first_seen_at_0.items():
        _, text = http(shop.stack.addresses[name].http, "/metrics")
        assert [counter for counter in counters if f"vitrine_{name}_{counter}" not in text] == []


def _asked_s(address: str) -> float:
    began_s = time.perf_counter()
    http(address, "/metrics")
    return time.perf_counter() - began_s
