"""Everything that kustomize makes of our folders can be applied; what cannot is found before, and named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.k8s.checks.objects import FOLDER, OVERLAYS, ROOT, environment, of_kind, rendered, workloads
from deploy.k8s.checks.problems import problems, quantity, selects, service_of, unchecked_by
from tests.k8s.rendered import COMPONENTS, NAMES, found, made, overlay, provided, with_component
from vitrine.runtime.errors import ConfigError

Changed = dict[str, Any]


@pytest.mark.parametrize("name", NAMES)
def test_an_overlay_has_no_problems(name: str) -> None:
    assert problems(overlay(name), provided(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_newest_kubernetes_takes_an_overlay_as_the_oldest_does(name: str) -> None:
    newest = kubernetes_validate.latest_version()
    ours = [each for each in overlay(name) if "." not in each["apiVersion"] or "k8s.io/" in each["apiVersion"]]
    versions = {kubernetes_validate.validate(dict(each), newest, strict=True) for each in ours}
    assert [newest.startswith(version) for version in versions] == [True]


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_by_itself_has_no_problems(name: str) -> None:
    expected = ["Secret/kafka-access"] if name == "kafka-strimzi" else []
    assert problems(with_component(name), expected) == []


def test_every_patch_is_of_one_object_as_a_kustomize_before_5_1_needs_it() -> None:
    patches = [
        file.parent / patch["path"]
        for file in FOLDER.rglob("kustomization.yaml")
        for patch in yaml.safe_load(file.read_text()).get("patches", ())
        if "path" in patch
    ]
    assert len(patches) > 10
    assert [patch for patch in patches if len(list(yaml.safe_load_all(patch.read_text()))) != 1] == []


def test_the_two_ways_to_scale_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"(?s)keda.*/spec/replicas"):
        made(["hpa", "keda"])


@pytest.mark.parametrize("name", ["hpa", "keda"])
def test_what_is_scaled_has_no_number_of_replicas_of_its_own(name: str) -> None:
    objects = with_component(name)
    for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        assert "replicas" not in found(objects, f"{target['kind']}/{target['name']}")["spec"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda o: _container(o, "Deployment/gateway").update(image="vitrine-gateway"),
            "Deployment/gateway: image: vitrine-gateway has no tag; name it under `images` of the overlay",
        ),
        (
            lambda o: _container(o, "Deployment/gateway").update(image="vitrine-gateway:latest"),
            "Deployment/gateway: image: vitrine-gateway:latest has no tag; name it under `images` of the overlay",
        ),
        (
            lambda o: _container(o, "Deployment/web")["env"][0].update(name="VITRINE_WEB_TOKEN"),
            "Deployment/web: VITRINE_WEB_TOKEN: is in the environment, but there is no such setting",
        ),
        (
            lambda o: _container(o, "Deployment/web")["env"][0].update(name="VITRINE_PAGE_PORT"),
            "Deployment/web: VITRINE_PAGE_PORT is a setting of no service",
        ),
        (
            lambda o: _config(o, "embedder").update(VITRINE_EMBEDDER_HTTP_PORT="many"),
            "Deployment/embedder: http_port: Input should be a valid integer, unable to parse string as an integer",
        ),
        (
            lambda o: _config(o, "searcher-g0").pop("VITRINE_SEARCHER_PORT"),
            "StatefulSet/searcher-g0: port: Field required",
        ),
        (
            lambda o: _config(o, "place").update(VITRINE_GATEWAY_STREAM="/data/stream.sqlite"),
            "Deployment/gateway: one of VITRINE_GATEWAY_STREAM and VITRINE_GATEWAY_KAFKA is needed, and not both",
        ),
        (
            lambda o: _volumes(o, "StatefulSet/indexer", "tokens")["secret"].update(secretName="token"),
            "StatefulSet/indexer: Secret/token is neither made here nor named in provided.txt",
        ),
        (
            lambda o: _object(o, "Service/gateway")["spec"]["ports"][0].update(targetPort="rpc"),
            "Service/gateway: targetPort: its pods have no port rpc",
        ),
        (
            lambda o: _object(o, "Service/gateway")["spec"]["selector"].update({"app.kubernetes.io/name": "gw"}),
            "Service/gateway: selector: no pod has the labels {'app.kubernetes.io/name': 'gw'}",
        ),
        (
            lambda o: _object(o, "PodDisruptionBudget/gateway")["spec"]["selector"].update(matchLabels={"a": "b"}),
            "PodDisruptionBudget/gateway: selector: no pod has these labels",
        ),
        (
            lambda o: _object(o, "PodDisruptionBudget/gateway")["spec"].pop("selector"),
            "PodDisruptionBudget/gateway: selector: no pod has these labels",
        ),
        (
            lambda o: _object(o, "NetworkPolicy/gateway")["spec"]["podSelector"].update(matchLabels={"a": "b"}),
            "NetworkPolicy/gateway: podSelector: no pod has these labels",
        ),
        (
            lambda o: _object(o, "ScaledObject/indexer")["spec"]["scaleTargetRef"].update(kind="Deployment"),
            "ScaledObject/indexer: scaleTargetRef: there is no Deployment/indexer",
        ),
        (
            lambda o: _container(o, "Deployment/gateway")["resources"]["limits"].update(memory="512Mi"),
            "Deployment/gateway: resources: memory: 1Gi is requested, and 512Mi the limit",
        ),
        (
            lambda o: _object(o, "ScaledObject/embedder")["spec"].update(maxReplicaCount=1),
            "ScaledObject/embedder: minReplicaCount: 2 is more than maxReplicaCount, 1",
        ),
        (
            lambda o: _object(o, "Deployment/gateway")["spec"].update(replica=2),
            "Deployment/gateway: spec: Additional properties are not allowed ('replica' was unexpected)",
        ),
        (
            lambda o: _object(o, "KafkaTopic/vitrine.catalogue")["spec"].update(partition=4),
            "KafkaTopic/vitrine.catalogue: spec: Additional properties are not allowed ('partition' was unexpected)",
        ),
        (
            lambda o: _object(o, "Issuer/vitrine").update(apiVersion="cert-manager.io/v9"),
            (
                "Issuer/vitrine: apiVersion: cert-manager.io/v9 Issuer is not known; "
                "what is right all the same is named in unchecked.txt"
            ),
        ),
        (
            lambda o: _object(o, "Service/embedder")["metadata"].update(name="gateway"),
            "Service/gateway: is there twice",
        ),
        (
            lambda o: _object(o, "Certificate/gateway-tls")["metadata"].update(namespace="vitrine-b"),
            "Certificate/gateway-tls: dnsNames: gateway.vitrine.svc is of namespace vitrine, and all else of vitrine-b",
        ),
        (
            lambda o: _object(o, "ScaledObject/embedder")["metadata"].update(namespace="vitrine-b"),
            "ScaledObject/embedder: triggers: a query asks for namespace vitrine, and all else is in vitrine-b",
        ),
        (
            lambda o: _beside(o, "Deployment/web", {"name": "proxy", "image": "proxy"}),
            "Deployment/web: image: proxy has no tag; name it under `images` of the overlay",
        ),
        (
            lambda o: _beside(
                o,
                "Deployment/web",
                {"name": "proxy", "image": "proxy:1", "envFrom": [{"secretRef": {"name": "proxy"}}]},
            ),
            "Deployment/web: Secret/proxy is neither made here nor named in provided.txt",
        ),
        (
            lambda o: _container(o, "Deployment/gateway")["resources"]["limits"].update(memory="1GB"),
            "Deployment/gateway: resources: memory: 1Gi or 1GB is no quantity",
        ),
    ],
)
def test_a_manifest_that_would_not_work_is_found_and_named(
    change: Callable[[list[Changed]], object], said: str
) -> None:
    objects: list[Changed] = deepcopy([dict(each) for each in overlay("production")])
    change(objects)
    assert said in problems(objects, provided("production"))


@pytest.mark.parametrize(
    "change",
    [
        lambda o: _object(o, "Service/gateway")["spec"]["ports"][0].pop("targetPort"),
        lambda o: _object(o, "Service/gateway")["spec"]["ports"][0].update(targetPort=50051),
        lambda o: _object(o, "Service/gateway")["spec"].pop("ports"),
        lambda o: _object(o, "Service/web")["spec"].pop("selector"),
        lambda o: _beside(o, "Deployment/web", {"name": "proxy", "image": "proxy:1"}),
        lambda o: _container(o, "Deployment/gateway")["resources"]["limits"].update(memory="2G", cpu="1.5k"),
        lambda o: _container(o, "Deployment/gateway")["envFrom"].append({"secretRef": {"name": "x", "optional": True}}),
        lambda o: _object(o, "Certificate/web-tls")["spec"]["dnsNames"].append("web.shop.example"),
    ],
    ids=["no targetPort", "a number", "no ports", "no selector", "a sidecar", "decimal", "optional", "a public name"],
)
def test_what_is_right_in_another_way_is_let_pass(change: Callable[[list[Changed]], object]) -> None:
    objects: list[Changed] = deepcopy([dict(each) for each in overlay("production")])
    change(objects)
    assert problems(objects, provided("production")) == []


def test_our_own_container_is_found_wherever_it_stands() -> None:
    objects: list[Changed] = deepcopy([dict(each) for each in overlay("production")])
    _beside(objects, "Deployment/web", {"name": "proxy", "image": "proxy:1"})
    (web,) = [each for each in workloads(objects) if each.name == "Deployment/web"]
    assert service_of(web) == "web"
    assert environment(objects, web)["VITRINE_WEB_OPS"] == "false"


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ({"operator": "In", "values": ["web", "gateway"]}, True),
        ({"operator": "In", "values": ["gateway"]}, False),
        ({"operator": "NotIn", "values": ["gateway"]}, True),
        ({"operator": "NotIn", "values": ["web"]}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "DoesNotExist"}, False),
    ],
)
def test_pods_are_selected_as_kubernetes_does_it(expression: Changed, chosen: bool) -> None:
    assert selects({"matchExpressions": [{"key": "name", **expression}]}, {"name": "web"}) is chosen
    without = expression["operator"] in ("NotIn", "DoesNotExist")
    assert selects({"matchExpressions": [{"key": "name", **expression}]}, {}) is without


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("250m", 0.25), ("2", 2), ("1.5", 1.5), ("1e3", 1000), ("3k", 3e3), ("3M", 3e6), ("3G", 3e9), ("3T", 3e12)),
        *(("1Ki", 1024), ("1Mi", 2**20), ("1Gi", 2**30), ("1.5Ti", 1.5 * 2**40)),
    ],
)
def test_quantities_are_what_kubernetes_takes_them_for(text: str, number: float) -> None:
    assert quantity(text) == number


def test_a_kind_of_ones_own_is_taken_as_it_is_where_the_overlay_says_so(tmp_path: Path) -> None:
    own = {"apiVersion": "shop.example/v1", "kind": "Sign", "metadata": {"name": "open"}}
    (tmp_path / "unchecked.txt").write_text("# ours\nshop.example/v1   Sign\n")
    assert problems([*overlay("kind"), own], [], unchecked_by(tmp_path)) == []
    assert problems(overlay("kind"), [], unchecked_by(tmp_path)) == [
        "unchecked.txt: shop.example/v1 Sign: there is none"
    ]


def test_texts_follow_the_namespace_of_an_overlay(tmp_path: Path) -> None:
    shutil.copytree(OVERLAYS / "production", tmp_path / "copy")
    kustomization = tmp_path / "copy" / "kustomization.yaml"
    text = kustomization.read_text().replace("namespace: vitrine\n", "namespace: vitrine-b\n")
    kustomization.write_text(text.replace("../../", f"{os.path.relpath(FOLDER, tmp_path / 'copy')}/"))
    objects = rendered(tmp_path / "copy")
    assert problems(objects, provided("production")) == []
    assert "gateway.vitrine-b.svc" in found(objects, "Certificate/gateway-tls")["spec"]["dnsNames"]


def test_what_is_provided_and_nobody_needs_is_said() -> None:
    assert problems(overlay("kind"), ["Secret/forgotten"]) == ["provided.txt: Secret/forgotten: nothing needs it"]


def test_the_command_prints_what_it_has_checked() -> None:
    done = _checks("kind")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(yaml.safe_load_all(done.stdout)) == list(overlay("kind"))


def test_the_command_names_an_overlay_that_there_is_not() -> None:
    done = _checks("staging")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "OVERLAY: 'staging' is neither one of kind, production nor a folder with a kustomization.yaml\n"
    )


def test_the_command_prints_nothing_of_a_bad_overlay_of_ones_own(tmp_path: Path) -> None:
    base = os.path.relpath(ROOT / "deploy" / "k8s" / "base", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{base}]")
    done = _checks(str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Deployment/web: image: vitrine-web has no tag" in done.stderr
    assert "StatefulSet/indexer: ConfigMap/place is neither made here nor named in provided.txt" in done.stderr


def _checks(name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.k8s.checks", name]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _object(objects: list[Changed], name: str) -> Any:
    return found(objects, name)


def _container(objects: list[Changed], name: str) -> Any:
    return _object(objects, name)["spec"]["template"]["spec"]["containers"][0]


def _beside(objects: list[Changed], name: str, container: Changed) -> None:
    """The container before ours."""
    _object(objects, name)["spec"]["template"]["spec"]["containers"].insert(0, container)


def _volumes(objects: list[Changed], name: str, volume: str) -> Any:
    (one,) = [v for v in _object(objects, name)["spec"]["template"]["spec"]["volumes"] if v["name"] == volume]
    return one


def _config(objects: list[Changed], name: str) -> Any:
    (one,) = [o for o in of_kind(objects, "ConfigMap") if o["metadata"]["name"].rsplit("-", 1)[0] == name]
    return one["data"]
