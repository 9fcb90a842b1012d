"""What an operator sees of every service: health, reflection, metrics, probes."""

from __future__ import annotations

import re

import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.integration.shop import Shop, channel_to, http, metric, refused, serving
from vitrine.runtime.errors import NotFound

GRPC_SERVICES = {
    "embedder": ["vitrine.v1.Embedder"],
    "indexer": ["vitrine.v1.Indexer"],
    "searcher": ["vitrine.v1.Searcher"],
    "gateway": ["vitrine.v1.VisualSearch", "vitrine.v1.Catalogue"],
}
OF_THE_PROCESS = ("python_", "process_")

every_service = pytest.mark.parametrize("name", GRPC_SERVICES)


@every_service
def test_health_says_serving(shop: Shop, name: str) -> None:
    address = shop.stack.addresses[name].grpc
    assert [serving(address, service) for service in ("", *GRPC_SERVICES[name])] == [
        True,
        *map(bool, GRPC_SERVICES[name]),
    ]
    with refused("NOT_FOUND"):
        serving(address, "vitrine.v1.Nothing")


@every_service
def test_reflection_lists_its_services(shop: Shop, name: str) -> None:
    with channel_to(shop.stack.addresses[name].grpc) as channel:
        listed = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert {*GRPC_SERVICES[name], "grpc.health.v1.Health"} <= set(listed)


@every_service
def test_probes_answer(shop: Shop, name: str) -> None:
    address = shop.stack.addresses[name].http
    assert http(address, "/livez") == (200, "alive\n")
    assert http(address, "/readyz") == (200, "ready\n")
    assert http(address, "/secrets")[0] == 404


@every_service
def test_metrics_are_named_after_their_service(shop: Shop, name: str) -> None:
    status, text = http(shop.stack.addresses[name].http, "/metrics")
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    own = [metric_name for metric_name in names if not metric_name.startswith(OF_THE_PROCESS)]
    assert status == 200
    assert len(own) > 5
    assert [metric_name for metric_name in own if not metric_name.startswith(f"vitrine_{name}_")] == []


def test_calls_are_counted_by_how_they_ended(shop: Shop) -> None:
    address, calls = shop.stack.addresses["gateway"].http, "vitrine_gateway_call_seconds_count"
    before = {code: metric(address, calls, method="Search", code=code) for code in ("OK", "NOT_FOUND")}
    shop.calls.client.search(product_id=shop.products[0].product_id)
    with pytest.raises(NotFound):
        shop.calls.client.search(product_id="no-such-product")
    after = {code: metric(address, calls, method="Search", code=code) for code in ("OK", "NOT_FOUND")}
    assert after == {code: count + 1 for code, count in before.items()}


def test_the_embedder_says_what_it_runs_on(shop: Shop) -> None:
    _, text = http(shop.stack.addresses["embedder"].http, "/metrics")
    assert re.search(
        r'^vitrine_embedder_provider_info\{provider="\w+ExecutionProvider",variant="[\w-]+"\} 1', text, re.M
    )
