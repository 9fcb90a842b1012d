"""The images, built once for all tests here, and a shop that runs from them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.images.engine import PROGRAMS, Engine, missing, running_engine
from tests.images.shop import Shop
from tests.s3.server import make_bucket, s3_server


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """All images, built from nothing but Debian's packages and Python's. Skips where the tools are missing."""
    if reason := missing():
        pytest.skip(reason)
    with running_engine(tmp_path_factory.mktemp("engine")) as engine:
        engine.make_base()
        engine.build(*PROGRAMS)
        yield engine


@pytest.fixture(scope="session")
def shop(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with s3_server() as port:
        make_bucket(port, "shop")
        shop = Shop(engine, tmp_path_factory.mktemp("shop") / "folder", "s3://shop/index", port)
        try:
            shop.start()
            yield shop
        finally:
            engine.podman("rm", "--all", "--force", "--time", "0")
