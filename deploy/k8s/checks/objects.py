"""What kustomize makes of a folder, as objects, and where things are in them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from vitrine.runtime.errors import ConfigError

ROOT: Final = Path(__file__).parents[3]
FOLDER: Final = ROOT / "deploy" / "k8s"
OVERLAYS: Final = FOLDER / "overlays"

Object = Mapping[str, Any]
# Where each kind that makes pods has their template.
_TEMPLATES: Final[Mapping[str, Sequence[str]]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
# What our own containers are called: a service's, and a command's.
_OURS: Final = ("server", "vitrine")


@dataclass(frozen=True)
class Workload:
    """An object that makes pods, and their template. `name`: kind/name."""

    source: Object
    template: Object

    @property
    def name(self) -> str:
        return name_of(self.source)

    @property
    def is_server(self) -> bool:
        return self.source["kind"] in ("Deployment", "StatefulSet")

    @property
    def labels(self) -> Mapping[str, str]:
        return dict(self.template.get("metadata", {}).get("labels", {}))

    @property
    def spec(self) -> Object:
        return dict(self.template["spec"])

    @property
    def containers(self) -> Sequence[Object]:
        """All, those that run first among them."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def container(self) -> Object:
        """The one that runs our program, wherever in the list it is; of pods that are not ours, the first."""
        containers: Sequence[Object] = self.spec["containers"]
        return next((found for found in containers if found["name"] in _OURS), containers[0])


def rendered(folder: Path) -> list[Object]:
    """The objects of a kustomization. Raises ConfigError (`manifests`) saying what kustomize says."""
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "kustomize.sh"), str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConfigError("manifests", f"{folder}: {done.stderr.strip()}")
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def name_of(source: Object) -> str:
    return f"{source['kind']}/{source['metadata']['name']}"


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def workloads(objects: Sequence[Object]) -> list[Workload]:
    found = []
    for source in of_kind(objects, *_TEMPLATES):
        template: Any = source
        for key in _TEMPLATES[source["kind"]]:
            template = template[key]
        found.append(Workload(source, template))
    return found


def environment(objects: Sequence[Object], workload: Workload) -> dict[str, str | None]:
    """Variables of the container that runs our program, as `variables` has them."""
    return variables(objects, workload.container)


def variables(objects: Sequence[Object], container: Object) -> dict[str, str | None]:
    """A container's variables and their values; None where only the cluster knows it."""
    maps = {found["metadata"]["name"]: found.get("data", {}) for found in of_kind(objects, "ConfigMap")}
    named: dict[str, str | None] = {}
    for source in container.get("envFrom", ()):
        named |= maps.get(source["configMapRef"]["name"], {}) if "configMapRef" in source else {}
    return named | {
        entry["name"]: None if "valueFrom" in entry else entry.get("value", "") for entry in container.get("env", ())
    }


def references(workload: Workload) -> Iterator[str]:
    """Kind/name of the ConfigMaps, Secrets and claims without which its pods do not start."""
    for container in workload.containers:
        for entry in container.get("envFrom", ()):
            yield from _named(entry, {"configMapRef": ("ConfigMap", "name"), "secretRef": ("Secret", "name")})
        for entry in container.get("env", ()):
            keys = {"configMapKeyRef": ("ConfigMap", "name"), "secretKeyRef": ("Secret", "name")}
            yield from _named(entry.get("valueFrom", {}), keys)
    for volume in workload.spec.get("volumes", ()):
        sources = {
            "configMap": ("ConfigMap", "name"),
            "secret": ("Secret", "secretName"),
            "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
        }
        yield from _named(volume, sources)


def _named(entry: Object, kinds: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for key, (kind, field) in kinds.items():
        if key in entry and not entry[key].get("optional", False):
            yield f"{kind}/{entry[key][field]}"
