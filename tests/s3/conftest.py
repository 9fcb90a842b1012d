"""An S3 server for all tests here; a bucket, and a proxy before it, for each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.s3.proxy import FaultProxy
from tests.s3.server import environment, make_bucket, s3_server
from vitrine.index.store import Store


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    with s3_server() as port:
        yield port


@pytest.fixture
def proxy(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """What the environment names as the S3 endpoint."""
    proxy = FaultProxy(s3_port)
    with proxy.listening() as port:
        for name, value in environment(port).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def url(s3_port: int) -> str:
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    make_bucket(s3_port, bucket)
    return f"s3://{bucket}/root"


@pytest.fixture
def store(proxy: FaultProxy, url: str) -> Store:
    return Store.open(url)
