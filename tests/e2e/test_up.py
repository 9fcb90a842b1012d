"""vitrine up: how it starts, how it refuses to, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.command import DRAIN_TIMEOUT_S, gone, last_json, running_up, services_of, succeeded, vitrine
from tests.e2e.pictures import saved
from tests.integration.shop import drawn, http
from vitrine.cli.stack import known_addresses

PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
SERVICES = 5


def test_ctrl_c_drains_all_services(tmp_path: Path) -> None:
    with running_up(tmp_path / "up") as up:
        assert len(services_of(up.pid)) == SERVICES
        started_s = time.monotonic()
        up.send_signal(signal.SIGINT)
        assert up.wait(DRAIN_TIMEOUT_S) == 0
        assert time.monotonic() - started_s < DRAIN_TIMEOUT_S
        assert services_of(up.pid) == []
    assert not (tmp_path / "up" / "addresses.json").exists()
    assert (tmp_path / "up.log").read_text().endswith("Stopped.\n")


def test_an_up_that_was_killed_leaves_no_service_and_loses_nothing(tmp_path: Path) -> None:
    folder, shop = tmp_path / "up", tmp_path / "shop"
    names = saved(shop, drawn()[:3], "kept")
    with running_up(folder) as killed:
        succeeded("ingest", shop, "--folder", folder)
        killed.kill()
        killed.wait()
        assert gone(killed.pid, DRAIN_TIMEOUT_S)

    with running_up(folder) as up:
        answer = last_json(succeeded("search", shop / names[0], "--folder", folder, "--json"))
        assert sorted(hit["product_id"] for hit in answer["hits"]) == names
        assert last_json(succeeded("ingest", shop, "--folder", folder, "--json"))["published"] == 0
        up.send_signal(signal.SIGTERM)
        assert up.wait(DRAIN_TIMEOUT_S) == 0


def test_everything_works_behind_a_proxy_that_does_not(tmp_path: Path) -> None:
    folder, shop = tmp_path / "up", tmp_path / "shop"
    names = saved(shop, drawn()[:3], "proxied")
    with running_up(folder, env=PROXIES):
        report = last_json(succeeded("ingest", shop, "--folder", folder, "--json", env=PROXIES))
        assert (report["published"], report["refused"]) == (3, {})
        answer = last_json(succeeded("search", shop / names[0], "--folder", folder, "--json", env=PROXIES))
        assert len(answer["hits"]) == 3


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = vitrine("up", "--folder", tmp_path / "up", "--port", str(taken.getsockname()[1]))
    _refused(done, "port")


def test_a_port_of_the_page_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = vitrine("up", "--folder", tmp_path / "up", "--port", "0", "--web-port", port)
    _refused(done, "web_port")


def test_the_page_can_be_left_out(tmp_path: Path) -> None:
    with running_up(tmp_path / "up", "--no-web") as up:
        assert len(services_of(up.pid)) == SERVICES - 1
        assert "web" not in known_addresses(tmp_path / "up")


def test_a_page_that_is_asked_for_says_what_it_lacks(tmp_path: Path) -> None:
    absent = "import sys; sys.modules['starlette'] = None; from vitrine.cli.__main__ import main; main()"
    command = [sys.executable, "-c", absent, "up", "--folder", str(tmp_path / "up"), "--port", "0", "--web"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    _refused(done, "web")


def test_the_page_is_where_the_addresses_say(tmp_path: Path) -> None:
    with running_up(tmp_path / "up"):
        page = known_addresses(tmp_path / "up")["web"]["page"]
        assert f"The page: http://{page}/" in (tmp_path / "up.log").read_text()
        status, said = http(page, "/")
        assert status == 200
        assert "Vitrine" in said


def test_a_port_that_is_no_port(tmp_path: Path) -> None:
    done = vitrine("up", "--folder", tmp_path / "up", "--port", "70000")
    assert done.returncode == 2, done.stderr
    assert "port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_of_an_unknown_kind(tmp_path: Path) -> None:
    _refused(vitrine("up", "--folder", tmp_path / "up", "--port", "0", "--store", "ftp://somewhere"), "store")


def test_a_model_that_is_missing(tmp_path: Path) -> None:
    _refused(vitrine("up", "--folder", tmp_path / "up", "--port", "0", "--model", tmp_path / "none"), "model")


def test_a_model_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    started_s = time.monotonic()
    _refused(vitrine("up", "--folder", tmp_path / "up", "--port", "0", "--model", tmp_path / "model"), "model")
    assert time.monotonic() - started_s < DRAIN_TIMEOUT_S


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _refused(vitrine("up", "--folder", tmp_path / "file" / "up", "--port", "0"), "folder")


def test_a_folder_that_is_in_use(folder: Path) -> None:
    _refused(vitrine("up", "--folder", folder, "--port", "0"), "folder")
    # The one that runs there goes on, and its commands still find it.
    assert "index default" in succeeded("index", "status", "--folder", folder)


def test_an_allow_list_that_is_none(tmp_path: Path) -> None:
    _refused(vitrine("up", "--folder", tmp_path / "up", "--port", "0", "--uri-allow", "gopher://x"), "uri_allow")


def _refused(done: subprocess.CompletedProcess[str], field: str) -> None:
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith(f"vitrine: {field}: "), line
