"""Who may talk to whom, worked out from NetworkPolicies as a cluster would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from deploy.k8s.checks.objects import Object, Workload, of_kind, workloads
from deploy.k8s.checks.problems import selects

Rule = Mapping[str, Any]


class Edge(NamedTuple):
    """`port`: a name, a number, or * for any. Outside of the namespace `source` or `target` is what the policy says."""

    source: str
    target: str
    port: str


def edges(objects: Sequence[Object]) -> set[Edge]:
    """Every connection that is allowed. Between our own pods both ends must allow it."""
    out, into = _allowed(objects)
    return (out | into) - half_open(objects)


def half_open(objects: Sequence[Object]) -> set[Edge]:
    """Connections between our own pods that one end allows and the other does not."""
    names = {_service(workload) for workload in workloads(objects)}
    out, into = _allowed(objects)
    return {edge for edge in out ^ into if edge.source in names and edge.target in names}


def _allowed(objects: Sequence[Object]) -> tuple[set[Edge], set[Edge]]:
    """What may go out of our pods, and what may come in."""
    pods = {_service(workload): workload for workload in workloads(objects)}
    out = {edge for name, pod in pods.items() for edge in _edges(objects, pods, name, pod, "egress")}
    into = {edge for name, pod in pods.items() for edge in _edges(objects, pods, name, pod, "ingress")}
    return out, into


def denied_by_default(objects: Sequence[Object], workload: Workload) -> bool:
    """Whether nothing may reach the pods, or be reached by them, that no rule allows."""
    types = {
        kind
        for policy in of_kind(objects, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], workload.labels)
        for kind in policy["spec"]["policyTypes"]
    }
    return types == {"Ingress", "Egress"}


def _edges(
    objects: Sequence[Object], pods: Mapping[str, Workload], name: str, pod: Workload, way: str
) -> Iterator[Edge]:
    for policy in of_kind(objects, "NetworkPolicy"):
        if not selects(policy["spec"]["podSelector"], pod.labels):
            continue
        rules: Sequence[Rule] = policy["spec"].get(way, ())
        for rule in rules:
            for other in _others(rule.get("to" if way == "egress" else "from", [{}]), pods):
                for port in rule.get("ports", [{"port": "*"}]):
                    ends = (name, other) if way == "egress" else (other, name)
                    yield Edge(*ends, str(port["port"]))


def _others(peers: Sequence[Rule], pods: Mapping[str, Workload]) -> Iterator[str]:
    for peer in peers:
        if "ipBlock" in peer:
            yield peer["ipBlock"]["cidr"]
        elif "namespaceSelector" in peer:
            yield ",".join(f"{key}={value}" for key, value in peer["namespaceSelector"]["matchLabels"].items())
        elif "podSelector" in peer:
            yield from (name for name, pod in pods.items() if selects(peer["podSelector"], pod.labels))
        else:
            yield "anything"


def _service(workload: Workload) -> str:
    return workload.labels["app.kubernetes.io/name"]
