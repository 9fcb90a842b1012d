"""Images built and containers run on a machine without a Docker engine: buildah, podman and runc, all in one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
TAG: Final = "test"
# What runs in each image.
PROGRAMS: Final = {
    "embedder-cpu": "services.embedder.__main__",
    "searcher": "services.searcher.__main__",
    "indexer": "services.indexer.__main__",
    "gateway": "services.gateway.__main__",
    "web": "services.web.__main__",
    "tools": "vitrine.cli.__main__",
}

_TOOLS: Final = ("buildah", "podman", "runc", "conmon", "debootstrap", "objdump")
_TIDY: Final = Path(__file__).with_name("tidy.py")
_RELEASE: Final = "bookworm"
_BASE: Final = f"localhost/debian:{_RELEASE}"
# What the official slim image leaves out too.
_NOT_IN_SLIM: Final = (
    *("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man"),
    *("var/cache/apt", "var/lib/apt/lists"),
)
_DPKG_EXCLUDES: Final = (
    "path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n"
)

_STORAGE: Final = """\
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""
# Everything in the folder: another podman of this machine is neither seen nor disturbed. The limits are those that root
# may set where it is itself confined.
_CONTAINERS: Final = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "{folder}/tmp"
"""


def missing() -> str:
    """Why this machine cannot build and run images; empty if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "images are built and run by root on Linux here"
    absent = [name for name in _TOOLS if shutil.which(name) is None]
    return f"missing: {', '.join(absent)}; scripts/images.sh installs them" if absent else ""


@dataclass(frozen=True)
class Engine:
    """Images and containers that live in `folder`."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
        }

    def podman(self, *arguments: str, check: bool = True) -> str:
        """What podman prints. Fails with what it says on standard error."""
        command = ["podman", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"podman {' '.join(arguments[:4])} …: {done.stderr}"
        return done.stdout

    def python(self, target: str, program: str) -> str:
        """What a Python program prints that runs in an image in place of its service."""
        options = [*hardened(), "--rm", "--entrypoint", "python3"]
        return self.podman("run", *options, image(target), "-c", program)

    def build(self, *targets: str) -> None:
        """By the script that everybody uses, on a base made here. Fails with the end of what it says."""
        command = ["bash", "deploy/docker/build.sh", *targets]
        chosen = {"BUILDER": "buildah", "BASE": _BASE, "TAG": TAG}
        log = self.folder / "build.log"
        with log.open("wb") as output:
            built = subprocess.run(
                command, cwd=ROOT, env={**self.environment, **chosen}, stdout=output, stderr=output, check=False
            )
        assert built.returncode == 0, "\n".join(log.read_text(errors="replace").splitlines()[-30:])

    def make_base(self) -> None:
        """Debian's base system from this machine's own mirror, as slim as the official image."""
        root = self.folder / "base"
        command = ["debootstrap", "--variant=minbase", _RELEASE, str(root), *_mirror()]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout[-2000:]
        for name in _NOT_IN_SLIM:
            shutil.rmtree(root / name)
        (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(_DPKG_EXCLUDES)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packing:
            subprocess.run(
                ["podman", "import", "--quiet", "-", _BASE],
                env=self.environment,
                stdin=packing.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
            )
        shutil.rmtree(root)


@contextmanager
def running_engine(folder: Path) -> Iterator[Engine]:
    """An engine in `folder`, which is gone at the end with all it holds, even if this process is killed."""
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
    (folder / "containers.conf").write_text(_CONTAINERS.format(folder=folder))
    engine = Engine(folder)
    command = [sys.executable, "-I", "-S", str(_TIDY), str(folder)]
    with subprocess.Popen(command, env=engine.environment, stdin=subprocess.PIPE, start_new_session=True) as tidy:
        try:
            yield engine
        finally:
            assert tidy.stdin is not None
            tidy.stdin.close()  # it tidies up, and ends
            tidy.wait()


def image(target: str) -> str:
    return f"localhost/vitrine-{target}:{TAG}"


def hardened() -> list[str]:
    """Options of `podman run`: what a pod of Kubernetes' level `restricted` may do, and no more."""
    return [
        *("--network", "host", "--user", "10001", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp"),  # noqa: S108  (the container's)
    ]


def _mirror() -> list[str]:
    """Where apt gets this machine's packages from, if it is of the same release; else debootstrap's own choice."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {_RELEASE}"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return listed.stdout.split()[:1]
