"""What kustomize makes of our folders, each rendered once a run. Without kustomize, tests of it are skipped."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
import yaml

from deploy.k8s.checks.objects import (
    FOLDER,
    OVERLAYS,
    Object,
    Workload,
    environment,
    name_of,
    rendered,
    workloads,
)
from deploy.k8s.checks.problems import provided_by
from vitrine.runtime.errors import ConfigError

NAMES: Final = ("kind", "production")
COMPONENTS: Final = tuple(sorted(path.name for path in (FOLDER / "components").iterdir()))
# Where store and log are, for a component that is rendered by itself.
_PLACE: Final = ("SEARCHER_STORE", "INDEXER_STORE", "GATEWAY_STORE")
_STREAM: Final = ("INDEXER_STREAM", "GATEWAY_STREAM")
_IMAGES: Final = ("embedder-cpu", "embedder-gpu", "gateway", "indexer", "searcher", "tools", "web")


@lru_cache
def overlay(name: str) -> Sequence[Object]:
    """The objects of one of our overlays."""
    return rendered(OVERLAYS / name)


@lru_cache
def with_component(name: str) -> Sequence[Object]:
    """The base and one component, with images and a place: an overlay that somebody might write."""
    return made([name])


def made(components: Sequence[str]) -> Sequence[Object]:
    """An overlay of the base and these components. Raises ConfigError where kustomize cannot make it."""
    stream = () if "kafka-strimzi" in components else _STREAM
    with TemporaryDirectory() as folder:
        kustomization: Mapping[str, Any] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "vitrine",
            "resources": [os.path.relpath(FOLDER / "base", folder)],
            "components": [os.path.relpath(FOLDER / "components" / name, folder) for name in components],
            "images": [{"name": f"vitrine-{image}", "newTag": "0.1.0"} for image in _IMAGES],
            "configMapGenerator": [
                {"name": "place", "literals": [f"VITRINE_{name}=/data/{name}" for name in (*_PLACE, *stream)]}
            ],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return rendered(Path(folder))


def _skip_without_kustomize() -> None:
    try:
        overlay("kind")
    except ConfigError as error:
        if "missing: kubectl" not in error.reason:
            raise
        pytest.skip(error.reason, allow_module_level=True)


_skip_without_kustomize()


def provided(name: str) -> Sequence[str]:
    return provided_by(OVERLAYS / name)


def pods_of(name: str) -> list[Workload]:
    """Everything that makes pods in an overlay."""
    return workloads(overlay(name))


def servers_of(name: str) -> list[Workload]:
    """Those that serve: Deployments and StatefulSets."""
    return [workload for workload in pods_of(name) if workload.is_server]


def found(objects: Sequence[Object], name: str) -> Object:
    """The one called kind/name."""
    (one,) = [each for each in objects if name_of(each) == name]
    return one


def mounted(workload: Workload, path: str) -> dict[str, Any]:
    """The Secret that is to be read at a path."""
    (mount,) = [mount for mount in workload.container["volumeMounts"] if mount["mountPath"] == path]
    assert mount["readOnly"] is True
    (volume,) = [volume for volume in workload.spec["volumes"] if volume["name"] == mount["name"]]
    return dict(volume["secret"])


def expanded(arguments: Sequence[str], variables: Mapping[str, str | None]) -> list[str]:
    """As Kubernetes does it: $(NAME) of a variable that is not there stays as it is."""
    words = list(arguments)
    for name, value in variables.items():
        words = [word.replace(f"$({name})", value or "") for word in words]
    return words


def told_to_operators(name: str) -> dict[str, str]:
    """What a shell in an overlay's pod for operators has, each variable with those before it in it."""
    (tools,) = [each for each in pods_of(name) if each.name == "CronJob/tools"]
    settings = {key: value for key, value in environment(overlay(name), tools).items() if key.startswith("VITRINE_")}
    told: dict[str, str] = {}
    for entry in tools.container["env"]:
        if "value" in entry:
            (told[entry["name"]],) = expanded([entry["value"]], settings | told)
    return told
