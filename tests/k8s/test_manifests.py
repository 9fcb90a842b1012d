"""Everything that kustomize makes of our folders can be applied; what cannot is found before, and named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.k8s.checks.objects import ROOT, of_kind
from deploy.k8s.checks.problems import problems
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
            "Issuer/vitrine: apiVersion: cert-manager.io/v9 Issuer is not known",
        ),
        (
            lambda o: _object(o, "Service/embedder")["metadata"].update(name="gateway"),
            "Service/gateway: is there twice",
        ),
    ],
)
def test_a_manifest_that_would_not_work_is_found_and_named(
    change: Callable[[list[Changed]], object], said: str
) -> None:
    objects: list[Changed] = deepcopy([dict(each) for each in overlay("production")])
    change(objects)
    assert said in problems(objects, provided("production"))


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
    (tmp_path / "provided.txt").write_text("")
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


def _volumes(objects: list[Changed], name: str, volume: str) -> Any:
    (one,) = [v for v in _object(objects, name)["spec"]["template"]["spec"]["volumes"] if v["name"] == volume]
    return one


def _config(objects: list[Changed], name: str) -> Any:
    (one,) = [o for o in of_kind(objects, "ConfigMap") if o["metadata"]["name"].rsplit("-", 1)[0] == name]
    return one["data"]
