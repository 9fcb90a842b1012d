"""What every pod of Vitrine has, whichever overlay it is of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from deploy.k8s.checks.objects import Workload, environment, of_kind, workloads
from deploy.k8s.checks.problems import SETTINGS, quantity, selects, service_of
from services.gateway.topology import Topology
from tests.k8s.network import Edge, denied_by_default, edges, half_open
from tests.k8s.rendered import NAMES, expanded, found, made, mounted, overlay, pods_of, servers_of, with_component
from vitrine.cli.__main__ import EXIT_CONFIG
from vitrine.runtime.settings import GrpcSettings
from vitrine.stream.kafka.names import DEFAULT_TOPIC

# Whoever asks waits for these; a CPU limit would make them wait longer.
QUICK: Final = ("embedder", "gateway", "searcher", "web")
TEMPORARY: Final = "/tmp"  # noqa: S108  (a pod's own volume)


@dataclass(frozen=True)
class Case:
    """One workload of one overlay."""

    overlay: str
    workload: Workload

    @property
    def service(self) -> str:
        return self.workload.labels["app.kubernetes.io/name"]

    @property
    def env(self) -> dict[str, str | None]:
        return environment(overlay(self.overlay), self.workload)


def _cases(workloads: Iterable[tuple[str, Workload]]) -> list[Any]:
    return [pytest.param(Case(name, each), id=f"{name}-{each.name}") for name, each in workloads]


EVERY: Final = _cases((name, each) for name in NAMES for each in pods_of(name))
SERVERS: Final = _cases((name, each) for name in NAMES for each in servers_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_namespace_lets_in_only_pods_of_the_restricted_kind(name: str) -> None:
    labels = found(overlay(name), "Namespace/vitrine")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}
    assert {each["metadata"].get("namespace", "vitrine") for each in overlay(name)} == {"vitrine"}


@pytest.mark.parametrize("case", EVERY)
def test_a_pod_is_of_the_restricted_kind(case: Case) -> None:
    pod, container = case.workload.spec["securityContext"], case.workload.container["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (10001, 10001, 10001)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(case.workload.spec)
    assert not [volume for volume in case.workload.spec["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("case", EVERY)
def test_a_pod_writes_only_where_a_volume_is(case: Case) -> None:
    assert case.workload.container["securityContext"]["readOnlyRootFilesystem"] is True
    writable = {m["mountPath"] for m in case.workload.container["volumeMounts"] if not m.get("readOnly")}
    assert TEMPORARY in writable
    assert writable <= {TEMPORARY, "/var/cache/vitrine", "/data"}


@pytest.mark.parametrize("case", EVERY)
def test_a_pod_gets_nothing_of_the_cluster_that_it_does_not_need(case: Case) -> None:
    assert case.workload.spec["automountServiceAccountToken"] is False
    assert case.workload.spec["enableServiceLinks"] is False


@pytest.mark.parametrize("case", EVERY)
def test_a_pod_says_what_it_needs_and_how_much_memory_it_may_take(case: Case) -> None:
    resources = case.workload.container["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("case", SERVERS)
def test_what_shoppers_wait_for_has_no_limit_of_cpu(case: Case) -> None:
    assert case.service not in QUICK or "cpu" not in case.workload.container["resources"]["limits"]


@pytest.mark.parametrize("case", SERVERS)
def test_probes_ask_for_health_over_http(case: Case) -> None:
    container = case.workload.container
    ready, alive, start = (container[f"{kind}Probe"]["httpGet"] for kind in ("readiness", "liveness", "startup"))
    assert (ready, alive) == ({"path": "/readyz", "port": "http"}, {"path": "/livez", "port": "http"})
    # A searcher listens before its shards are there; the others only once they can answer.
    assert start["path"] == ("/readyz" if case.service == "searcher" else "/livez")
    assert int(case.env[f"VITRINE_{case.service.upper()}_HTTP_PORT"] or 0) == _port(case, "http")
    main = "page" if case.service == "web" else "grpc"
    assert int(case.env[f"VITRINE_{case.service.upper()}_PORT"] or 0) == _port(case, main)


@pytest.mark.parametrize("case", SERVERS)
def test_a_stop_leaves_time_to_be_forgotten_and_to_drain(case: Case) -> None:
    spec = case.workload.spec
    pause_s: int = case.workload.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    fields = SETTINGS[case.service].model_fields
    drain_s = float(case.env.get(f"VITRINE_{case.service.upper()}_DRAIN_S") or fields["drain_s"].default)
    leave_s = float(fields["leave_s"].default) if issubclass(SETTINGS[case.service], GrpcSettings) else 0.0
    assert pause_s >= 5
    assert spec["terminationGracePeriodSeconds"] >= pause_s + leave_s + drain_s + 5


@pytest.mark.parametrize("case", SERVERS)
def test_the_next_pod_goes_only_when_callers_have_found_the_new_one(case: Case) -> None:
    age_s: float = GrpcSettings.model_fields["max_connection_age_s"].default
    dns_s = 5.0
    assert case.workload.source["spec"]["minReadySeconds"] >= 1.1 * age_s + dns_s


@pytest.mark.parametrize("case", SERVERS)
def test_a_searchers_first_copy_is_waited_for(case: Case) -> None:
    start = case.workload.container["startupProbe"]
    patience_s = start["periodSeconds"] * start["failureThreshold"]
    assert patience_s >= (1800 if case.service == "searcher" else 120)


@pytest.mark.parametrize("case", SERVERS)
def test_replicas_are_spread_over_zones_among_themselves(case: Case) -> None:
    constraints = case.workload.spec["topologySpreadConstraints"]
    assert "topology.kubernetes.io/zone" in {constraint["topologyKey"] for constraint in constraints}
    others = [other for other in servers_of(case.overlay) if other.name != case.workload.name]
    for constraint in constraints:
        assert selects(constraint["labelSelector"], case.workload.labels)
        assert not any(selects(constraint["labelSelector"], other.labels) for other in others)


@pytest.mark.parametrize("case", SERVERS)
def test_no_more_than_one_is_taken_away_at_a_time(case: Case) -> None:
    budgets = [
        budget
        for budget in of_kind(overlay(case.overlay), "PodDisruptionBudget")
        if selects(budget["spec"]["selector"], case.workload.labels)
    ]
    assert [budget["spec"]["maxUnavailable"] for budget in budgets] == [1]
    others = [other for other in servers_of(case.overlay) if other.name != case.workload.name]
    assert not any(selects(budgets[0]["spec"]["selector"], other.labels) for other in others)


@pytest.mark.parametrize("components", [[], ["hpa"], ["keda"]], ids=["by hand", "hpa", "keda"])
def test_nothing_stands_alone_but_in_kind(components: list[str]) -> None:
    objects = made(components)
    lowest = {
        f"{scaler['spec']['scaleTargetRef']['kind']}/{scaler['spec']['scaleTargetRef']['name']}": least
        for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
        for least in [scaler["spec"].get("minReplicas", scaler["spec"].get("minReplicaCount"))]
    }
    replicas = {
        each.name: lowest.get(each.name, each.source["spec"].get("replicas", 1))
        for each in workloads(objects)
        if each.is_server
    }
    assert len(replicas) == 6
    assert {name: count for name, count in replicas.items() if count < 2} == {}


def test_the_embedder_never_needs_a_spare_gpu() -> None:
    embedder = found(overlay("production"), "Deployment/embedder")["spec"]
    assert embedder["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    pod = embedder["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["containers"][0]["image"].startswith("vitrine-embedder-gpu:")
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert [(each["key"], each["effect"]) for each in pod["tolerations"]] == [("nvidia.com/gpu", "NoSchedule")]


@pytest.mark.parametrize("name", NAMES)
def test_a_gateway_is_replaced_only_by_one_that_is_ready(name: str) -> None:
    strategy = found(overlay(name), "Deployment/gateway")["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("name", NAMES)
def test_grpc_is_dialled_by_names_that_stand_for_every_pod(name: str) -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay(name), "Service")}
    assert {s for s, spec in services.items() if spec.get("clusterIP") == "None"} == set(services) - {"web"}
    # An indexer that is not ready is one that an operator has to reach; nobody else calls one by its Service.
    assert [s for s, spec in services.items() if spec.get("publishNotReadyAddresses")] == ["indexer"]
    dialled = {
        value
        for each in servers_of(name)
        for key, value in environment(overlay(name), each).items()
        if value and key.startswith("VITRINE_") and key.endswith(("_EMBEDDER", "_GATEWAY"))
    }
    assert dialled == {"dns:///embedder:50051", "dns:///gateway:50051"}


@pytest.mark.parametrize("name", NAMES)
def test_each_partition_has_one_group_and_all_say_the_same_of_it(name: str, tmp_path: Any) -> None:
    objects = overlay(name)
    (topology_map,) = [m for m in of_kind(objects, "ConfigMap") if "topology.json" in m.get("data", {})]
    (tmp_path / "topology.json").write_text(topology_map["data"]["topology.json"])
    told = {group.name: group.partitions for group in Topology.read(tmp_path / "topology.json").groups}
    served = {
        each.source["spec"]["serviceName"]: tuple(
            json.loads(environment(objects, each)["VITRINE_SEARCHER_PARTITIONS"] or "[]")
        )
        for each in servers_of(name)
        if service_of(each) == "searcher"
    }
    assert told == served
    count = int(_indexer(name)["VITRINE_INDEXER_PARTITIONS"] or 0)
    assert sorted(number for numbers in served.values() for number in numbers) == list(range(count))
    assert _env(name, "Deployment/gateway")["VITRINE_GATEWAY_PARTITIONS"] == str(count)


@pytest.mark.parametrize("name", NAMES)
def test_everybody_means_the_same_store(name: str) -> None:
    stores = {
        value
        for each in pods_of(name)
        for key, value in environment(overlay(name), each).items()
        if key.endswith("_STORE")
    }
    assert len(stores) == 1


@pytest.mark.parametrize("component", ["hpa", "keda"])
def test_there_are_never_more_indexers_than_partitions(component: str) -> None:
    objects = with_component(component)
    (indexer,) = [each for each in workloads(objects) if each.name == "StatefulSet/indexer"]
    partitions = int(environment(objects, indexer)["VITRINE_INDEXER_PARTITIONS"] or 0)
    (scaler,) = [
        each
        for each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
        if each["spec"]["scaleTargetRef"]["name"] == "indexer"
    ]
    assert scaler["spec"].get("maxReplicas", scaler["spec"].get("maxReplicaCount")) == partitions


def test_an_indexer_is_known_to_its_group_by_its_pods_name() -> None:
    (indexer,) = [each for each in servers_of("production") if each.name == "StatefulSet/indexer"]
    (instance,) = [e for e in indexer.container["env"] if e["name"] == "VITRINE_INDEXER_KAFKA_GROUP_INSTANCE_ID"]
    assert instance["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


@pytest.mark.parametrize("service", ["searcher", "indexer"])
def test_copies_of_shards_have_a_disk_of_their_own_with_room_for_those_in_use(service: str) -> None:
    for each in servers_of("production"):
        if service_of(each) != service:
            continue
        (cache,) = [volume for volume in each.spec["volumes"] if volume["name"] == "cache"]
        claim = cache["ephemeral"]["volumeClaimTemplate"]["spec"]
        bound = int(environment(overlay("production"), each)[f"VITRINE_{service.upper()}_CACHE_BYTES"] or 0)
        assert 0 < bound < quantity(claim["resources"]["requests"]["storage"])
        assert "/var/cache/vitrine" in {mount["mountPath"] for mount in each.container["volumeMounts"]}


def test_searchers_start_all_at_once_and_on_nodes_of_their_own() -> None:
    searchers = [each for each in servers_of("production") if service_of(each) == "searcher"]
    assert len(searchers) == 2
    for each in searchers:
        assert each.source["spec"]["podManagementPolicy"] == "Parallel"
        hosts = [c for c in each.spec["topologySpreadConstraints"] if c["topologyKey"] == "kubernetes.io/hostname"]
        assert [(each["whenUnsatisfiable"], each["nodeTaintsPolicy"]) for each in hosts] == [("DoNotSchedule", "Honor")]


def test_a_searchers_memory_holds_the_shards_that_its_comment_counts() -> None:
    # benchmarks/results/scale.json: bytes a row that a search reads, all mapped; and private ones.
    mapped, private, rows, partitions = 1_800, 56, 4_000_000, 2
    needed = rows * (mapped + private) + rows // partitions // 2 * mapped + 500_000_000
    for each in servers_of("production"):
        if service_of(each) == "searcher":
            assert needed <= quantity(each.container["resources"]["requests"]["memory"]) <= 1.2 * needed


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_allowed_that_no_rule_allows(name: str) -> None:
    assert [each.name for each in pods_of(name) if not denied_by_default(overlay(name), each)] == []
    assert found(overlay(name), "NetworkPolicy/default-deny")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert half_open(overlay(name)) == set()
    about_all = {p["metadata"]["name"] for p in of_kind(overlay(name), "NetworkPolicy") if not p["spec"]["podSelector"]}
    assert about_all <= {"default-deny", "dns", "metrics"}


def test_the_ways_between_our_own_pods_and_out_of_the_cluster_of_kind() -> None:
    assert edges(overlay("kind")) == _OWN | _dns(*_PODS)


def test_the_ways_in_production() -> None:
    kafka = {Edge(source, "kubernetes.io/metadata.name=kafka", "9093") for source in ("gateway", "indexer", "tools")}
    store = {Edge(source, "0.0.0.0/0", "443") for source in ("gateway", "index", "indexer", "searcher", "tools")}
    scraped = {Edge("kubernetes.io/metadata.name=monitoring", target, "http") for target in _PODS}
    assert edges(overlay("production")) == _OWN | _dns(*_PODS) | kafka | store | scraped


_PODS: Final = ("embedder", "gateway", "index", "indexer", "searcher", "tools", "web")
_OWN: Final = {
    Edge("gateway", "embedder", "grpc"),
    Edge("gateway", "searcher", "grpc"),
    Edge("indexer", "embedder", "grpc"),
    Edge("web", "gateway", "grpc"),
    Edge("tools", "gateway", "grpc"),
    Edge("tools", "indexer", "grpc"),
    Edge("vitrine/client=true", "gateway", "grpc"),
    Edge("vitrine/ingress=true", "web", "page"),
}


def _dns(*sources: str) -> set[Edge]:
    return {Edge(source, "kubernetes.io/metadata.name=kube-system", "53") for source in sources}


def test_in_production_every_hop_has_a_certificate_and_every_door_asks_for_a_token() -> None:
    objects = overlay("production")
    certificates = {
        c["spec"]["secretName"]: c["spec"]["dnsNames"]
        for c in of_kind(objects, "Certificate")
        if "dnsNames" in c["spec"]
    }
    for each in servers_of("production"):
        service = str(service_of(each))
        assert environment(objects, each)[f"VITRINE_{service.upper()}_TLS"] == "/etc/vitrine/tls"
        assert mounted(each, "/etc/vitrine/tls") == {"secretName": f"{service}-tls", "defaultMode": 0o440}
        # Both the name that is dialled and, of searchers, the one that the gateway checks.
        dialled = each.source["spec"].get("serviceName", each.source["metadata"]["name"])
        assert dialled in certificates[f"{service}-tls"]
    for service in ("gateway", "indexer"):
        (each,) = [each for each in servers_of("production") if service_of(each) == service]
        assert environment(objects, each)[f"VITRINE_{service.upper()}_TOKENS"] == "/etc/vitrine/tokens/tokens.json"
        assert mounted(each, "/etc/vitrine/tokens")["secretName"] == "tokens"


def test_in_production_nobody_is_shown_what_is_for_those_who_look_after_the_shop() -> None:
    assert _env("production", "Deployment/web")["VITRINE_WEB_OPS"] == "false"


def test_only_doors_for_callers_without_a_certificate_let_them_in() -> None:
    lax = {
        each.name
        for each in servers_of("production")
        for key, value in environment(overlay("production"), each).items()
        if key.endswith("_TLS_CLIENT_CERTIFICATES") and value != "true"
    }
    assert lax == {"Deployment/gateway", "Deployment/web"}


def test_topics_are_made_as_the_command_makes_them() -> None:
    # Warnings are errors here, and importing kafka-python gives some: importorskip lets them pass.
    pytest.importorskip("kafka")
    from vitrine.stream.kafka.connection import KafkaSettings
    from vitrine.stream.kafka.topics import configs_of

    objects = with_component("kafka-strimzi")
    made = {topic["metadata"]["name"]: topic["spec"] for topic in of_kind(objects, "KafkaTopic")}
    ours = configs_of(KafkaSettings("kafka:9092", DEFAULT_TOPIC))
    assert {
        name: {key: str(value) for key, value in spec["config"].items() if key != "min.insync.replicas"}
        for name, spec in made.items()
    } == ours
    (indexer,) = [each for each in workloads(objects) if each.name == "StatefulSet/indexer"]
    partitions = int(environment(objects, indexer)["VITRINE_INDEXER_PARTITIONS"] or 0)
    assert {spec["partitions"] for spec in made.values()} == {partitions}


@pytest.mark.parametrize("name", NAMES)
def test_the_index_is_made_with_the_settings_of_those_who_fill_it(name: str) -> None:
    (job,) = [each for each in pods_of(name) if each.name == "Job/index-create"]
    variables = environment(overlay(name), job)
    assert expanded(job.container["args"], variables)[:2] == ["index", "create"]
    assert not [argument for argument in expanded(job.container["args"], variables) if "$(" in argument]
    own = ("PARTITIONS", "METRIC", "RETENTION", "RECALL_TARGET", "INDEX", "STORE")
    indexer = _indexer(name)
    assert {key: variables[f"VITRINE_INDEXER_{key}"] for key in own} == {
        key: indexer[f"VITRINE_INDEXER_{key}"] for key in own
    }
    assert variables["VITRINE_EMBEDDER_MODEL"] == _env(name, "Deployment/embedder")["VITRINE_EMBEDDER_MODEL"]


@pytest.mark.parametrize("name", NAMES)
def test_every_night_the_whole_index_is_read(name: str) -> None:
    (job,) = [each for each in pods_of(name) if each.name == "CronJob/index-verify"]
    spec = job.source["spec"]
    assert expanded(job.container["args"], environment(overlay(name), job))[:2] == ["index", "verify"]
    assert (spec["concurrencyPolicy"], spec["jobTemplate"]["spec"]["backoffLimit"]) == ("Forbid", 0)
    assert job.spec["restartPolicy"] == "Never"


def test_an_index_that_is_not_as_the_settings_say_is_not_tried_again() -> None:
    (job,) = [each for each in pods_of("production") if each.name == "Job/index-create"]
    assert job.source["spec"]["podFailurePolicy"]["rules"] == [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": job.container["name"], "operator": "In", "values": [EXIT_CONFIG]},
        }
    ]


def _port(case: Case, name: str) -> int:
    (port,) = [port["containerPort"] for port in case.workload.container["ports"] if port["name"] == name]
    return int(port)


def _env(name: str, workload: str) -> dict[str, str | None]:
    (one,) = [each for each in pods_of(name) if each.name == workload]
    return environment(overlay(name), one)


def _indexer(name: str) -> dict[str, str | None]:
    return _env(name, "StatefulSet/indexer")
