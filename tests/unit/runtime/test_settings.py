"""What a service is told by its environment is followed, or refused by its name."""

from __future__ import annotations

import pytest

from services.gateway.settings import GatewaySettings
from services.searcher.settings import SearcherSettings
from vitrine.runtime.errors import ConfigError
from vitrine.runtime.settings import parse

NEEDED = ["--store", "/tmp/store", "--port", "7001", "--http-port", "7002"]  # noqa: S108  (not opened)


def test_a_variable_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_SEARCHER_PARTITIONS", "[0, 2]")
    assert parse(SearcherSettings, "searcher", NEEDED).partitions == (0, 2)


def test_a_variable_of_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_SEARCHER_PARTITION", "[0, 2]")
    with pytest.raises(ConfigError, match="there is no such setting") as refused:
        parse(SearcherSettings, "searcher", NEEDED)
    assert refused.value.field == "VITRINE_SEARCHER_PARTITION"


def test_variables_of_other_services_are_none_of_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_GATEWAY_PARTITION", "2")
    monkeypatch.setenv("VITRINE_FAILPOINTS", "")
    assert parse(SearcherSettings, "searcher", NEEDED).partitions == ()


def test_a_list_that_cannot_be_read_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_GATEWAY_CALLER_LIMITS", "{web: 3}")
    with pytest.raises(ConfigError, match="is not JSON") as refused:
        parse(GatewaySettings, "gateway", NEEDED)
    assert refused.value.field == "caller_limits"
