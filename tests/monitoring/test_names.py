"""What rules and dashboards ask for is what the services report."""

from __future__ import annotations

import pytest

from tests.monitoring.names import dashboard_exprs, names_in, names_in_code, recorded, rules

RULES = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
QUERIES = list(dashboard_exprs())


def test_the_lists_are_not_empty() -> None:
    assert len(RULES) > 20
    assert len(QUERIES) > 40
    assert len(names_in_code()) > 100


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ('sum by (a) (rate(vitrine_a_b_total{c="vitrine_d"}[5m]))', {"vitrine_a_b_total"}),
        ("vitrine:a:rate5m / process_b", {"vitrine:a:rate5m", "process_b"}),
        (
            '{__name__=~"vitrine_(gateway|web)_calls_in_flight"}',
            {f"vitrine_{s}_calls_in_flight" for s in ("gateway", "web")},
        ),
    ],
)
def test_names_are_found_in_expressions(expr: str, names: set[str]) -> None:
    assert names_in(expr) == names


def test_a_pattern_that_matches_nothing_is_seen() -> None:
    with pytest.raises(AssertionError, match="matches nothing"):
        names_in('{__name__=~"vitrine_(gateway|web)_no_such_thing"}')


@pytest.mark.parametrize(("rule", "expr"), RULES)
def test_every_metric_in_a_rule_exists(rule: str, expr: str) -> None:
    known = names_in_code() | recorded()
    assert names_in(expr) - known == set()
    assert names_in(expr) or expr.startswith("up")


@pytest.mark.parametrize(("file", "panel", "expr"), QUERIES)
def test_every_metric_in_a_dashboard_exists(file: str, panel: str, expr: str) -> None:
    known = names_in_code() | recorded()
    assert names_in(expr) - known == set()
    assert names_in(expr) or "up{" in expr
