"""The page needs packages that not everybody installs."""

from __future__ import annotations

import sys

import pytest

from vitrine.cli.commands import page_port
from vitrine.runtime.errors import ConfigError


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "python_multipart"])
def test_without_one_of_its_packages_there_is_no_page(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page_port(None, 8080) == page_port(True, 8080) == 8080
    monkeypatch.setitem(sys.modules, package, None)
    assert page_port(None, 8080) is None
    with pytest.raises(ConfigError, match=r"pip install 'vitrine\[web\]'"):
        page_port(True, 8080)


def test_who_wants_no_page_gets_none() -> None:
    assert page_port(False, 8080) is None
