"""The images as they are built and run: by buildah, podman and runc, without a Docker engine."""

from __future__ import annotations

import json
import re
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest

from deploy.docker import sizes
from tests.e2e.pictures import saved
from tests.images.closure import imported_modules
from tests.images.engine import PROGRAMS, Engine, image
from tests.images.shop import SERVICES, Shop
from tests.integration.shop import drawn
from vitrine.runtime.ports import LOCALHOST

pytestmark = [pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(1800)]

# Issue 7's limits, of an image as it is pulled: its layers compressed by gzip.
PULLED_MB: Final = {"gateway": 200, "searcher": 400, "indexer": 400, "embedder-cpu": 450}
# What a release must not pass unnoticed, on a node's disk.
UNPACKED_MB: Final = {"gateway": 280, "web": 270, "searcher": 400, "indexer": 400, "embedder-cpu": 450, "tools": 400}

STOP_S: Final = 20.0

LISTED: Final = """
import os
for folder, _, names in os.walk("/"):
    if folder == "/proc" or folder.startswith(("/proc/", "/sys/")):
        continue
    for name in names:
        print(os.path.join(folder, name))
"""
CONFINED: Final = """
import os
def written(folder):
    try:
        open(os.path.join(folder, "x"), "w").close()
    except OSError as error:
        return os.strerror(error.errno)
    return "written"
print(os.getuid(), os.getgid(), written("/opt/vitrine/code"), written("/var/tmp"), written("/tmp"), sep="; ")
"""


def test_a_product_that_is_published_is_found_by_its_picture(shop: Shop, tmp_path: Path) -> None:
    names = saved(tmp_path, drawn()[:12], "images")
    tmp_path.chmod(0o755)  # the container's user is not the one who runs the tests
    gateway = ("--gateway", shop.ports["gateway"].address)

    ingest = ("ingest", "/files", "--folder", "/tmp", "--json")  # noqa: S108  (the container's)
    done = json.loads(shop.vitrine(*ingest, *gateway, files=tmp_path))
    assert (done["published"], done["refused"]) == (12, {})

    answer = json.loads(shop.vitrine("search", f"/files/{names[3]}", *gateway, "--json", files=tmp_path))
    assert answer["hits"][0]["product_id"] == names[3]
    assert answer["coverage"]["partitions_answered"] == answer["coverage"]["partitions_total"]


def test_the_page_is_served_and_knows_the_shop(shop: Shop) -> None:
    assert b"<html" in _got(shop, "/")
    assert json.loads(_got(shop, "/api/ops/status"))["partitions"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_is_told_to_stop_stops_in_good_order_and_in_time(shop: Shop, name: str) -> None:
    began_s = time.monotonic()
    shop.engine.podman("stop", "--time", "60", name)
    took_s = time.monotonic() - began_s
    code = shop.engine.podman("inspect", "--format", "{{.State.ExitCode}}", name).strip()
    shop.engine.podman("start", name)
    shop.wait_ready(name)

    assert code == "0"
    assert took_s < STOP_S


@pytest.mark.parametrize("target", PROGRAMS)
def test_an_image_runs_without_rights_on_a_root_that_cannot_be_written(engine: Engine, target: str) -> None:
    assert engine.podman("inspect", "--format", "{{.Config.User}}", image(target)).strip() == "10001:10001"
    refused = "Read-only file system"
    assert engine.python(target, CONFINED).strip() == f"10001; 10001; {refused}; {refused}; written"


@pytest.mark.parametrize("target", PROGRAMS)
def test_an_image_holds_what_its_service_can_ever_import(engine: Engine, target: str) -> None:
    modules = imported_modules(PROGRAMS[target])
    assert len(modules) > 30
    engine.python(target, f"import {', '.join(modules)}")


@pytest.mark.parametrize("target", PROGRAMS)
def test_an_image_holds_no_compiler_no_installer_and_nothing_to_compile(engine: Engine, target: str) -> None:
    files = engine.python(target, LISTED).splitlines()
    unwanted = re.compile(
        r"/(c\+\+|cc|cc1plus|[^/]*g\+\+[^/]*|[^/]*gcc(-[0-9]+)?|as|ld|pip[0-9.]*)$"  # programs
        r"|/(pip|setuptools)/__init__\.py$|\.(a|h|hpp|pyx|pxd)$|^/var/lib/apt/lists/.|^/root/\.cache/|\.whl$"
    )
    assert [name for name in files if unwanted.search(name)] == []

    ours = [Path(name) for name in files if name.startswith("/opt/vitrine/") and name.endswith(".py")]
    compiled = {name for name in files if name.endswith(".cpython-311.pyc")}
    assert len(ours) > 500
    assert [
        str(path) for path in ours if f"{path.parent}/__pycache__/{path.stem}.cpython-311.pyc" not in compiled
    ] == []


def test_annoy_runs_on_every_processor_of_the_promised_level(engine: Engine, tmp_path: Path) -> None:
    """x86-64-v3: AVX2 is used, AVX-512 never, whatever the machine that builds has."""
    library = tmp_path / "annoylib.so"
    created = engine.podman("create", image("searcher")).strip()
    found = "/opt/vitrine/lib/annoy/annoylib.cpython-311-x86_64-linux-gnu.so"
    engine.podman("cp", f"{created}:{found}", str(library))
    engine.podman("rm", created)

    code = subprocess.run(["objdump", "-d", library], capture_output=True, text=True, check=True).stdout
    registers = set(re.findall(r"%([xyz]mm|k)[0-9]+", code))
    assert registers == {"xmm", "ymm"}
    assert "vfmadd" in code, "FMA is part of x86-64-v3 as well"
    assert not set(re.findall(r"%[xy]mm(?:1[6-9]|2[0-9]|3[01])\b", code)), "registers that only AVX-512 has"


def test_images_are_as_small_as_promised(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONTAINERS_STORAGE_CONF", "CONTAINERS_CONF"):
        monkeypatch.setenv(name, engine.environment[name])
    found = dict(zip(PROGRAMS, sizes.sizes([image(target) for target in PROGRAMS]), strict=True))

    print(sizes.table(list(found.values())))
    assert {target: found[target].pulled / 1e6 < limit for target, limit in PULLED_MB.items()} == dict.fromkeys(
        PULLED_MB, True
    )
    assert {target: found[target].unpacked / 1e6 < limit for target, limit in UNPACKED_MB.items()} == dict.fromkeys(
        UNPACKED_MB, True
    )


def _got(shop: Shop, path: str) -> bytes:
    connection = HTTPConnection(LOCALHOST, shop.ports["web"].own, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return response.read()
    finally:
        connection.close()
