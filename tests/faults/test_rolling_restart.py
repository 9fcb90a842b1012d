"""A new version is rolled out, and certificates are renewed, while shoppers ask: none of them notices."""

from __future__ import annotations

from typing import Final

import pytest

from vitrine.cli.bench.rollout import SERVICES, Pace, Rollout, rolled_out
from vitrine.cli.bench.shoppers import Stock, ways_to_ask
from vitrine.cli.commands import DEFAULT_MODEL

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(400)]

PRODUCTS: Final = 60
PACE: Final = Pace(quiet_s=0.5, shoppers=6, pause_s=0.05)
PROCESSES: Final = {"embedder": 2, "searcher": 4, "indexer": 1, "gateway": 2}


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    """Each process of each service restarted, one after the other, then all certificates replaced."""
    return rolled_out(tmp_path_factory.mktemp("rollout"), DEFAULT_MODEL, PRODUCTS, PACE)


def test_no_call_of_a_client_fails(rollout: Rollout) -> None:
    assert rollout.failed == []


def test_no_answer_lacks_a_partition_of_which_a_searcher_is_there(rollout: Rollout) -> None:
    assert rollout.partial == []


def test_every_event_can_be_found_in_the_end(rollout: Rollout) -> None:
    assert len(rollout.fresh) > 50
    assert [one.error for one in rollout.fresh if one.error] == []


def test_every_process_was_restarted_while_calls_of_every_kind_were_made(rollout: Rollout) -> None:
    kinds = set(ways_to_ask(Stock([], [], [], 4)))
    for part in rollout.parts:
        assert len(part.restarts) == PROCESSES.get(part.name, 0), part.name
        asked = {one.kind for one in rollout.asked if part.began_s <= one.ended_s < part.ended_s}
        assert part.name not in SERVICES or asked == kinds, part.name


def test_every_process_reads_new_certificates(rollout: Rollout) -> None:
    rereads = rollout.rereads
    assert len(rereads) == sum(PROCESSES.values())
    assert [name for name, times in rereads.items() if times == 0] == []
    # Once, that it is asked for its metrics is enough; a handshake may come right after another look.
    assert sum(rereads.values()) >= 2 * len(rereads)
