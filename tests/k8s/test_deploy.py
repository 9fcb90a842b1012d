"""`make deploy`: what is missing is named before anything is applied; what is applied is waited for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import yaml

from deploy.k8s.checks.objects import ROOT, Object, name_of, references, workloads
from tests.k8s.rendered import overlay, provided

# Stands for kubectl, kind and docker: notes how it is called and what it applies, and fails where the test has said so.
_PROGRAM: Final = """#!/bin/sh
call="$(basename "$0") $*"
echo "$call" >> {calls}
case "$call" in
  {failing}) exit 1 ;;
  *"apply --filename -") cat > {calls}.$(grep -c " apply " {calls}) ;;
  *"get job/index-create"*) echo {job} ;;
  *"logs job/index-create"*) echo 'partitions: 4 is not the 8 of the index' ;;
  *"get deployments,statefulsets"*) printf '%s\\n' deployment.apps/gateway statefulset.apps/indexer ;;
  "kind get clusters") echo {clusters} ;;
esac
"""
_TRUE_OF_THE_JOB: Final = 'jsonpath={.status.conditions[?(@.status=="True")].type}'


@dataclass(frozen=True)
class Cluster:
    """A cluster that is none."""

    folder: Path

    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def applied(self) -> list[list[Object]]:
        """What was applied, each time."""
        return [list(yaml.safe_load_all(file.read_text())) for file in sorted(self.folder.glob("calls.*"))]

    def deploy(
        self, name: str, objects: Sequence[Object] | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """`name`: of an overlay, or its folder. `objects`: those of the overlay, unless a test has others."""
        manifests = self.folder / "manifests.yaml"
        manifests.write_text(yaml.safe_dump_all(overlay(Path(name).name) if objects is None else objects))
        env = {**os.environ, "PATH": f"{self.folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin", **env}
        command = ["bash", str(ROOT / "scripts" / "deploy.sh"), name, str(manifests)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


def _cluster(folder: Path, failing: str = "nothing", clusters: str = "", job: str = "Complete") -> Cluster:
    """`failing`: a pattern of the shell for calls that fail. `job`: what is true of the Job that makes the index."""
    (folder / "bin").mkdir()
    for program in ("kubectl", "kind", "docker"):
        file = folder / "bin" / program
        file.write_text(_PROGRAM.format(calls=folder / "calls", failing=failing, clusters=clusters, job=job))
        file.chmod(0o755)
    return Cluster(folder)


def test_for_kind_the_cluster_is_made_its_images_are_loaded_and_all_is_waited_for(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path)
    done = cluster.deploy("kind")
    assert done.returncode == 0, done.stderr
    images = sorted({each.container["image"] for each in workloads(overlay("kind"))})
    kubectl = "kubectl --context kind-vitrine"
    assert [call for call in cluster.calls() if not call.startswith("docker")] == [
        "kind get clusters",
        "kind create cluster --name vitrine",
        f"kind load docker-image --name vitrine {' '.join(images)}",
        f"{kubectl} --namespace vitrine delete job/index-create --ignore-not-found",
        f"{kubectl} apply --filename -",
        f"{kubectl} --namespace vitrine get job/index-create --output {_TRUE_OF_THE_JOB}",
        f"{kubectl} apply --filename -",
        f"{kubectl} --namespace vitrine get deployments,statefulsets --output name",
        f"{kubectl} --namespace vitrine rollout status --timeout=3h deployment.apps/gateway",
        f"{kubectl} --namespace vitrine rollout status --timeout=3h statefulset.apps/indexer",
    ]
    assert "port-forward service/web 8080:80, then http://127.0.0.1:8080" in done.stdout


@pytest.mark.parametrize("name", ["kind", "production"])
def test_everything_is_applied_once_and_services_only_when_the_index_is_there(tmp_path: Path, name: str) -> None:
    cluster = _cluster(tmp_path)
    assert cluster.deploy(name).returncode == 0
    of_index, others = cluster.applied()
    assert sorted(map(name_of, [*of_index, *others])) == sorted(map(name_of, overlay(name)))
    assert {each["kind"] for each in of_index} <= {
        *("Namespace", "ConfigMap", "PersistentVolumeClaim", "NetworkPolicy", "Job")
    }
    (job,) = workloads(of_index)
    assert job.name == "Job/index-create"
    assert set(references(job)) - set(provided(name)) <= set(map(name_of, of_index))


def test_an_index_that_is_not_as_the_settings_say_ends_it_before_a_service_is_touched(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path, job="FailureTarget Failed")
    done = cluster.deploy("production")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "partitions: 4 is not the 8 of the index",
        "deploy: job/index-create has not made the index, and no service was touched; above is what it said",
    ]
    assert len(cluster.applied()) == 1


def test_the_folder_of_kind_is_kind(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path, clusters="vitrine")
    assert cluster.deploy("deploy/k8s/overlays/kind").returncode == 0
    assert "kubectl --context kind-vitrine apply --filename -" in cluster.calls()


def test_in_production_the_page_is_https_and_a_rollout_may_take_as_long_as_is_said(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path)
    done = cluster.deploy("production", DEPLOY_TIMEOUT="20m")
    assert done.stdout.rstrip().endswith("then https://127.0.0.1:8080")
    rollouts = [call for call in cluster.calls() if "rollout status" in call]
    assert len(rollouts) == 2
    assert all("--timeout=20m" in call for call in rollouts)


def test_a_cluster_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path, clusters="vitrine")
    assert cluster.deploy("kind").returncode == 0
    assert "kind create cluster --name vitrine" not in cluster.calls()


def test_what_is_waited_for_is_in_the_namespace_of_the_manifests(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path)
    objects = [{**each, "metadata": {**each["metadata"], "namespace": "vitrine-b"}} for each in overlay("production")]
    assert cluster.deploy("production", objects).returncode == 0
    assert not [call for call in cluster.calls() if "--namespace" in call and "--namespace vitrine-b " not in call]


def test_manifests_of_no_namespace_are_not_applied(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path)
    done = cluster.deploy("production", [])
    assert (done.returncode, cluster.calls()) == (2, [])
    assert done.stderr.startswith("deploy: namespace: one is needed in ")


def test_an_image_that_was_not_built_is_named(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path, failing='"docker image inspect vitrine-searcher:"*')
    done = cluster.deploy("kind")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("deploy: image: vitrine-searcher:")
    assert not [call for call in cluster.calls() if not call.startswith("docker")]


@pytest.mark.parametrize("name", provided("production"))
def test_what_production_expects_and_is_not_there_is_named_and_nothing_is_applied(tmp_path: Path, name: str) -> None:
    cluster = _cluster(tmp_path, failing=f'*"get {name}"')
    done = cluster.deploy("production")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"deploy: {name} is not in namespace vitrine: it holds ")
    assert cluster.applied() == []


def test_what_does_not_become_ready_is_named(tmp_path: Path) -> None:
    done = _cluster(tmp_path, failing='*"rollout status"*indexer').deploy("production")
    assert done.returncode == 2
    assert done.stderr.startswith("deploy: statefulset.apps/indexer is not ready: ")


def test_manifests_that_are_not_taken_end_it(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path, failing='*" apply "*')
    assert cluster.deploy("production").returncode == 1
    assert not [call for call in cluster.calls() if "rollout" in call or "get job" in call]


def test_without_kubectl_it_says_where_to_get_one(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dirname").symlink_to(str(shutil.which("dirname")))
    done = subprocess.run(
        [bash, str(ROOT / "scripts" / "deploy.sh"), "production", "manifests.yaml"],
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("deploy: missing: kubectl | ")


def test_a_kustomize_that_was_installed_here_is_used_though_it_does_not_know_its_version(tmp_path: Path) -> None:
    ours = tmp_path / "run" / "tools" / "kustomize"
    ours.parent.mkdir(parents=True)
    ours.write_text('#!/bin/sh\n[ "$1" = version ] && echo "(devel)" || echo "made of $2"\n')
    ours.chmod(0o755)
    assert _kustomize(tmp_path, "dirname", "sed", "head", "sh").stdout == "made of deploy/k8s/overlays/kind\n"


def test_an_old_kustomize_is_no_kustomize(tmp_path: Path) -> None:
    old = tmp_path / "kustomize"
    old.write_text("#!/bin/sh\necho v4.5.7\n")
    old.chmod(0o755)
    done = _kustomize(tmp_path, "dirname", "sed", "head")
    assert done.returncode == 2
    assert done.stderr.startswith("missing: kubectl 1.27 or newer, or kustomize 5 | ")


def test_make_names_the_overlay_that_it_needs_and_builds_images_for_kind_only() -> None:
    assert "deploy needs OVERLAY: kind, production or a folder of your own" in _make("deploy").stderr
    assert "manifests needs OVERLAY" in _make("manifests").stderr
    for name, builds in (("kind", True), ("deploy/k8s/overlays/kind", True), ("production", False)):
        said = _make("deploy", f"OVERLAY={name}").stdout
        assert said.index("deploy.k8s.checks") < said.index("scripts/deploy.sh")
        assert ("deploy/docker/build.sh" in said) is builds


def _kustomize(bin_folder: Path, *programs: str) -> subprocess.CompletedProcess[str]:
    """With nothing on the PATH but what is in the folder, and these."""
    for program in programs:
        (bin_folder / program).symlink_to(str(shutil.which(program)))
    script = bin_folder / "scripts" / "kustomize.sh"  # a copy: beside it is no run/tools but a test's
    script.parent.mkdir()
    shutil.copy(ROOT / "scripts" / "kustomize.sh", script)
    bash = shutil.which("bash")
    assert bash is not None
    command = [bash, str(script), "deploy/k8s/overlays/kind"]
    return subprocess.run(command, env={"PATH": str(bin_folder)}, capture_output=True, text=True, check=False)


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What make would do."""
    return subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
