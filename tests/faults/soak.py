"""Random kills of random services under constant queries and events, until the time is over: `make soak MINUTES=30`.

    python -m tests.faults.soak --minutes 30 [--seed N] [--kafka]

A round writes a history of its own while services die, then lets all of them live and compares what is found with what
must be. Ends at the first difference, with exit code 1 and the folder of the stack kept. The seed draws what is written
and what dies; when exactly is the machine's business.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.failpoints.bench import Bench, died_there, pictures, running_bench
from tests.faults.failpoints.history import History
from tests.integration.shop import ANY_VECTOR
from tests.kafka.broker import Broker, running_broker
from vitrine.client import Answer, VisualSearchClient
from vitrine.runtime import failpoints
from vitrine.runtime.errors import DeadlineExceeded, NotFound, ResourceExhausted, Unavailable

ROUND_S: Final = 20.0
SERVICES: Final = ("indexer", "indexer", "indexer", "embedder", "searcher", "gateway")

# Of so many rounds the products stay; then they are withdrawn, and must stay so.
_KEPT_ROUNDS: Final = 4
_TIDY_EVERY_ROUNDS: Final = 3
_PATIENCE_S: Final = 60.0
_FAILPOINT_PATIENCE_S: Final = 5.0
_QUERY_TIMEOUT_S: Final = 3.0


class Writer(threading.Thread):
    """Writes a history until it is stopped. `error`: what it could not go on after."""

    def __init__(self, bench: Bench, history: History) -> None:
        super().__init__(daemon=True)
        self.written = 0
        self.error: Exception | None = None
        self._bench = bench
        self._history = history
        self._over = threading.Event()

    def run(self) -> None:
        try:
            while not self._over.wait(0.1):
                self._bench.write(self._history, 4)
                self.written += 4
        except Exception as error:  # noqa: BLE001  (raised by `finish`, in the thread that waits for it)
            self.error = error

    def finish(self) -> None:
        self._over.set()
        self.join()
        if self.error is not None:
            raise self.error


class Asker(threading.Thread):
    """Asks all the time. An answer may be refused while services are dead; one that is given must be sound."""

    def __init__(self, bench: Bench, seed: int) -> None:
        super().__init__(daemon=True)
        self.counted: Counter[str] = Counter()
        self.faults: list[str] = []
        self._bench = bench
        self._random = random.Random(seed)
        self._over = threading.Event()

    def run(self) -> None:
        with VisualSearchClient(self._bench.stack.gateway, timeout_s=_QUERY_TIMEOUT_S) as client:
            while not self._over.wait(0.01):
                try:
                    self._judge(self._asked(client))
                    self.counted["answers"] += 1
                except (Unavailable, DeadlineExceeded, NotFound, ResourceExhausted) as error:
                    self.counted[f"{type(error).__name__} refusals"] += 1
                except Exception as error:  # noqa: BLE001  (any other is a fault, and told in the end)
                    self.faults.append(repr(error))

    def finish(self) -> None:
        self._over.set()
        self.join()

    def _asked(self, client: VisualSearchClient) -> Answer:
        k, exact = self._random.choice((1, 10, 1000)), self._random.random() < 0.5
        kind = self._random.choice(("vector", "product", "image"))
        if kind == "image":
            return client.search(image=self._random.choice(pictures()), k=k, exact=exact)
        products = self._bench.histories[-1].product_ids if self._bench.histories else []
        if kind == "product" and products:
            return client.search(product_id=self._random.choice(products), k=k, exact=exact)
        return client.search(vector=ANY_VECTOR, k=k, exact=exact)

    def _judge(self, answer: Answer) -> None:
        ids, scores = [hit.product_id for hit in answer.hits], [hit.score for hit in answer.hits]
        if len(ids) != len(set(ids)):
            self.faults.append(f"answer {answer.query_id} holds a product twice")
        if scores != sorted(scores, reverse=True):
            self.faults.append(f"answer {answer.query_id} is not in order")


@dataclass(frozen=True)
class Soak:
    """Rounds on one stack. `broker`: the one its log is on, if it is on any: dies like the others."""

    bench: Bench
    broker: Broker | None
    drawn: random.Random

    def run(self, seconds: float) -> None:
        """Rounds until the time is over. Raises AssertionError at the first difference."""
        until_s, number = time.monotonic() + seconds, 0
        bench = self.bench
        while time.monotonic() < until_s:
            number += 1
            history = History(f"round{number}", self.drawn.getrandbits(32), pictures())
            killed = self._round(history)
            if number % _TIDY_EVERY_ROUNDS == 0:
                bench.tidy_up()
                bench.restart("searcher")
            bench.check(*bench.histories[-_KEPT_ROUNDS - 2 :])
            print(f"round {number}: {len(history.product_ids)} products, killed {', '.join(killed)}: sound", flush=True)
            if number > _KEPT_ROUNDS:
                old = bench.histories[-_KEPT_ROUNDS - 1]
                bench.send(old, old.draw_end())

    def _round(self, history: History) -> list[str]:
        """Writes and kills for a while, and lets all live in the end. Returns what died."""
        writer, asker = Writer(self.bench, history), Asker(self.bench, self.drawn.getrandbits(32))
        killed, until_s = [], time.monotonic() + ROUND_S
        with _running(writer), _running(asker):
            while time.monotonic() < until_s:
                time.sleep(self.drawn.uniform(0.2, 3.0))
                killed.append(self._kill_something())
        for service in sorted(set(SERVICES)):
            self.bench.stack.wait_ready(service)
        assert asker.faults == [], asker.faults[:3]
        print(f"  {writer.written} events; {dict(asker.counted)}", flush=True)
        return killed

    def _kill_something(self) -> str:
        """Kills a service and starts it again, the indexer often with a point at which it dies by itself."""
        service = self.drawn.choice((*SERVICES, *(["broker"] if self.broker else [])))
        away_s = self.drawn.choice((0.0, 0.0, self.drawn.uniform(0.0, 2.0)))
        if service == "broker" and self.broker:
            self.broker.kill()
            time.sleep(away_s)
            self.broker.start()
            return service
        self.bench.stack.kill(service)
        time.sleep(away_s)
        died_at = self._die_again() if service == "indexer" and self.drawn.random() < 0.7 else ""
        self.bench.start(service)
        return f"{service} at {died_at}" if died_at else service

    def _die_again(self) -> str:
        """Starts the indexer armed and waits for its death. Returns where it died, or "" if it had to be killed."""
        point = self.drawn.choice(sorted(failpoints.NAMES))
        self.bench.start("indexer", f"{point}=kill@{self.drawn.randint(1, 6)}")
        until_s = time.monotonic() + _FAILPOINT_PATIENCE_S
        while self.bench.ended("indexer") is None and time.monotonic() < until_s:
            time.sleep(0.05)
        if died_there(self.bench.ended("indexer")):
            return point
        self.bench.stack.kill("indexer")
        return ""


@contextmanager
def _running(thread: Writer | Asker) -> Iterator[None]:
    thread.start()
    try:
        yield
    finally:
        thread.finish()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--kafka", action="store_true", help="through a real broker instead of a file")
    chosen = parser.parse_args(arguments)
    print(f"seed {chosen.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="vitrine-soak-"))
    try:
        with running_broker(folder / "kafka") if chosen.kafka else nullcontext() as broker:
            kafka = broker.address if broker else ""
            with running_bench(folder / "stack", kafka, _PATIENCE_S) as bench:
                Soak(bench, broker, random.Random(chosen.seed)).run(chosen.minutes * 60)
    except Exception:  # noqa: BLE001  (told, with what is needed to look into it)
        traceback.print_exc()
        print(f"failed: seed {chosen.seed}; the stack's folder is kept: {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
