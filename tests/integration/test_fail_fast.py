"""A service that cannot work ends at once, with exit code 2 and one line that names the setting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from vitrine.index.settings import IndexSettings, create_or_check
from vitrine.index.store import Store
from vitrine.runtime.ports import free_port, free_ports

ROOT: Final = Path(__file__).parents[2]
MODEL: Final = str(ROOT / "models" / "fashion-resnet18")
# A store that nobody answers for; obstore tries for 5 s.
NOBODY: Final = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:{nobody}",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "here",
}
PATIENCE_S: Final = 60.0
PROXIES: Final = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}

# What each service needs to start; `{folder}` is a folder with an index of four partitions and a topology.
WHOLE: Final[dict[str, dict[str, str]]] = {
    "embedder": {"model": MODEL},
    "searcher": {"store": "{folder}/store", "cache": "{folder}/cache"},
    "indexer": {
        "store": "{folder}/store",
        "stream": "{folder}/log.sqlite",
        "embedder": "127.0.0.1:{nobody}",
        "partitions": "4",
    },
    "gateway": {
        "store": "{folder}/store",
        "stream": "{folder}/log.sqlite",
        "embedder": "127.0.0.1:{nobody}",
        "topology": "{folder}/topology.json",
        "partitions": "4",
    },
    "web": {"gateway": "127.0.0.1:{nobody}"},
}
QUICK: Final = [
    ("embedder", {"model": "{folder}/absent"}, "model: {folder}/absent holds no readable model.json"),
    ("searcher", {"store": None}, "store: Field required"),
    ("indexer", {"embeder": "x"}, "VITRINE_INDEXER_EMBEDER: is in the environment, but there is no such setting"),
    ("gateway", {"topology": "{folder}/absent"}, "topology: {folder}/absent cannot be read"),
    ("web", {"tls": "{folder}/absent"}, "tls: {folder}/absent/"),
]
OTHERS: Final = [
    ("embedder", {"model": None}, "model: Field required"),
    ("embedder", {"variant": "gpu-fp17"}, "variant: the model has "),
    ("embedder", {"max_batch_images": "0"}, "max_batch_images: Input should be greater than or equal to 1"),
    ("embedder", {"providers": '["NoProvider"]'}, "providers: none of ['NoProvider'] is available here"),
    ("embedder", {"http_port": "70000"}, "http_port: Input should be less than or equal to 65535"),
    ("embedder", {"tls": "{folder}/absent"}, "tls: {folder}/absent/"),
    ("searcher", {"store": "ftp://somewhere"}, "store: ftp://somewhere: "),
    ("searcher", {"store": "/proc/store"}, "store: /proc/store is not a writable folder"),
    ("searcher", {"store": "s3://nobody"}, "store: cannot be listed: "),
    ("searcher", {"store": "s3://nobody", "workers": "2"}, "store: cannot be listed: "),
    ("searcher", {"partitions": "[3, 4]"}, "partitions: [4] are none of the 4 of index 'default'"),
    ("searcher", {"partitions": "3"}, "partitions: Input should be a valid"),
    ("searcher", {"partitions": "[3"}, "partitions: is not JSON"),
    ("searcher", {"tls": "{folder}/absent"}, "tls: {folder}/absent/"),
    ("indexer", {"store": "s3://nobody"}, "store: cannot be listed: "),
    ("indexer", {"stream": None}, "stream: one of `stream` (a file) and `kafka` (host:port) is needed"),
    ("indexer", {"stream": None, "kafka": "127.0.0.1:{nobody}"}, "kafka: cannot connect"),
    ("indexer", {"retention": "90 days"}, "retention: String should match pattern"),
    ("indexer", {"tokens": "{folder}/absent"}, "tokens: {folder}/absent cannot be read"),
    ("gateway", {"store": "s3://nobody"}, "store: cannot be listed: "),
    ("gateway", {"tls": "{folder}/absent"}, "tls: {folder}/absent/"),
    ("gateway", {"tokens": "{folder}/topology.json"}, "tokens: "),
    ("gateway", {"caller_limits": '{{"web": -1}}'}, "caller_limits: web: -1.0 is no number of searches a second"),
    ("gateway", {"caller_limits": '{{"web"'}, "caller_limits: is not JSON"),
    ("gateway", {"affinity": "{folder}/absent"}, "affinity: {folder}/absent cannot be read"),
    ("gateway", {"partitions": "0"}, "partitions: Input should be greater than or equal to 1"),
    ("web", {"gateway": None}, "gateway: Field required"),
    ("web", {"token_file": "{folder}/absent"}, "token_file: {folder}/absent cannot be read"),
    ("web", {"upload_bytes": "99999999"}, "upload_bytes: Input should be less than or equal to 16777216"),
]


@pytest.mark.parametrize(
    ("service", "changed", "said"), [*QUICK, *(pytest.param(*case, marks=pytest.mark.thorough) for case in OTHERS)]
)
def test_a_service_that_cannot_work_says_which_setting_is_wrong_and_ends(
    tmp_path: Path, service: str, changed: dict[str, str | None], said: str
) -> None:
    create_or_check(Store.open(str(tmp_path / "store")), IndexSettings("default", 4, "model", 4))
    (tmp_path / "topology.json").write_text(json.dumps({"groups": [{"addresses": ["127.0.0.1:1"]}]}))
    chosen = {name: value for name, value in {**WHOLE[service], **changed}.items() if value is not None}
    places = {"folder": tmp_path, "nobody": free_port()}

    began_s = time.monotonic()
    done = _ran(service, {name: value.format(**places) for name, value in chosen.items()}, places["nobody"])

    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(f"{service}: ")]
    assert lines, done.stderr
    assert all(line.startswith(f"{service}: {said.format(**places)}") for line in lines), lines
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began_s < PATIENCE_S


def _ran(service: str, chosen: dict[str, str], nobody: object) -> subprocess.CompletedProcess[str]:
    """The service as a process of its own, told by its environment, until it ends."""
    grpc_port, http_port = free_ports(6)[::3]
    prefix = f"VITRINE_{service.upper()}_"
    told = {"port": str(grpc_port), "http_port": str(http_port), "parent_pid": str(os.getpid()), **chosen}
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES}
    env = inherited | {name: value.format(nobody=nobody) for name, value in NOBODY.items()}
    env |= {f"{prefix}{name.upper()}": value for name, value in told.items()}
    return subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
