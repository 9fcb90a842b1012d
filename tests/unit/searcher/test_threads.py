"""Who searches when."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from services.searcher import threads as threads_module
from services.searcher.threads import SearchThreads, Turn
from vitrine.runtime.errors import ResourceExhausted


async def test_quick_work_is_done_at_once_and_other_work_in_a_thread() -> None:
    threads = SearchThreads(1)

    ran_in = [await threads.run(threading.current_thread, turn) for turn in (Turn.QUICK, Turn.LONGER)]

    assert ran_in[0] is threading.current_thread()
    assert ran_in[1] is not threading.current_thread()


async def test_what_waits_has_its_turn_before_what_came_earlier() -> None:
    threads, done, busy = SearchThreads(1), list[Turn](), threading.Event()
    first = asyncio.create_task(threads.run(partial(busy.wait, 10), Turn.SCAN))
    await asyncio.sleep(0)
    others = [
        asyncio.create_task(threads.run(partial(done.append, turn), turn))
        for turn in (Turn.PROBE, Turn.SCAN, Turn.EXACT, Turn.LONGER)
    ]
    await asyncio.sleep(0)
    busy.set()
    await asyncio.gather(first, *others)

    assert done == [Turn.LONGER, Turn.EXACT, Turn.SCAN, Turn.PROBE]


async def test_what_has_waited_for_long_goes_before_what_came_later() -> None:
    threads, done, busy = SearchThreads(1), list[Turn](), threading.Event()
    first = asyncio.create_task(threads.run(partial(busy.wait, 10), Turn.SCAN))
    await asyncio.sleep(0)
    early = asyncio.create_task(threads.run(partial(done.append, Turn.EXACT), Turn.EXACT))
    await asyncio.sleep(0.3)
    late = asyncio.create_task(threads.run(partial(done.append, Turn.LONGER), Turn.LONGER))
    await asyncio.sleep(0)
    busy.set()
    await asyncio.gather(first, early, late)

    assert done == [Turn.EXACT, Turn.LONGER]


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    threads, begun, busy = SearchThreads(1), list[str](), threading.Event()
    first = asyncio.create_task(threads.run(partial(busy.wait, 10), Turn.LONGER))
    await asyncio.sleep(0)
    given_up = asyncio.create_task(threads.run(partial(begun.append, "given up"), Turn.LONGER))
    wanted = asyncio.create_task(threads.run(partial(begun.append, "wanted"), Turn.EXACT))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    busy.set()
    await asyncio.gather(first, wanted)

    assert begun == ["wanted"]


@pytest.mark.parametrize("turn", [Turn.QUICK, Turn.EXACT])
async def test_a_failure_reaches_who_asked(turn: Turn) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await SearchThreads(1).run(fail, turn)


async def test_no_more_searches_wait_for_a_thread_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "MOST_WAITING", 2)
    threads, busy = SearchThreads(1), threading.Event()
    running = asyncio.create_task(threads.run(partial(busy.wait, 10), Turn.LONGER))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(threads.run(int, Turn.EXACT)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(ResourceExhausted, match="2 searches wait"):
        await threads.run(int, Turn.EXACT)

    step_of_a_scan = asyncio.create_task(threads.run(int, Turn.SCAN))
    await asyncio.sleep(0)
    busy.set()
    await asyncio.gather(running, *waiting, step_of_a_scan)
