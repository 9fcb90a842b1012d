"""vitrine bench rollout: all processes restarted and certificates replaced under load, and what shoppers see of it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import numpy as np
import typer

from vitrine import sample
from vitrine.cli import commands, console
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.results import Out, say
from vitrine.cli.bench.scraped import samples
from vitrine.cli.bench.shoppers import Asked, Shoppers, Stock
from vitrine.cli.stack import Address, Stack, StackSettings, running_stack, service_of
from vitrine.client import VisualSearchClient
from vitrine.runtime.channels import Credentials
from vitrine.runtime.errors import ConfigError, Unavailable, VitrineError
from vitrine.stream.events import ImageRef, Upsert
from vitrine.stream.log import Position

if TYPE_CHECKING:
    from vitrine.cli.bench.certificates import Authority, Secret

# As a rollout goes in a cluster: those who are asked last come first.
SERVICES: Final = ("embedder", "searcher", "indexer", "gateway")
REPLICAS: Final = 2
GROUPS: Final = 2

# As minReadySeconds in deploy/k8s: who calls it has found it again before the next one goes.
_READY_FOR_S: Final = 2.0
# A certificate is looked at twice a second: it is renewed long before it expires.
_ROTATIONS: Final = 2
_VALID_S: Final = 5.0
_RENEWED_BEFORE_S: Final = 2.0
_EVENT_EVERY_S: Final = 0.25
_FRESH_WITHIN_S: Final = 60.0
_WAITERS: Final = 64
_PUBLISH_AGAIN_S: Final = 0.1


def bench_rollout(
    products: Annotated[int, typer.Option(min=100, help="drawn products in the index")] = 1_000,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    seconds: Annotated[float, typer.Option(min=2, help="length of the load before, between and after")] = 10.0,
    shoppers: Annotated[int, typer.Option(min=2, help="who ask at the same time")] = 8,
    out: Out = None,
) -> None:
    """Restart each process in turn, then replace certificates, under load: failed and partial answers, freshness."""
    with tempfile.TemporaryDirectory(prefix="vitrine-rollout-") as name:
        found = rolled_out(Path(name), model, products, Pace(seconds, shoppers))
    say({"bench": "rollout", "products": products, **found.figures(), "machine": machine()}, out)


class Pace(NamedTuple):
    """`quiet_s`: of load before the first restart, and after the last one of each service."""

    quiet_s: float
    shoppers: int
    pause_s: float = 0.03


class Fresh(NamedTuple):
    """One event. `at_s`: when it was acknowledged, monotonic; `after_s`: until an answer had it; or `error`."""

    at_s: float
    after_s: float
    error: str = ""


class Restart(NamedTuple):
    """Of one process: from SIGTERM until it has ended, and from there until it is ready again."""

    stop_s: float
    start_s: float


@dataclass(frozen=True)
class Part:
    """A stretch of time, monotonic: quiet, or the restarts of one service. `repeats`: tries beyond the first in it."""

    name: str
    began_s: float
    ended_s: float
    repeats: int
    restarts: Sequence[Restart]


@dataclass(frozen=True)
class Rollout:
    """What was seen.

    published_again  tries beyond the first of events whose acknowledgement did not come
    rereads          by process, how often it has read new certificates since it was started
    """

    parts: Sequence[Part]
    asked: Sequence[Asked]
    fresh: Sequence[Fresh]
    published_again: int
    rereads: Mapping[str, int]

    @property
    def failed(self) -> list[str]:
        """Why, of each call that failed with all its tries."""
        waits = [f"fresh: {one.error}" for one in self.fresh if one.error]
        return [f"{one.kind}: {one.error}" for one in self.asked if one.error] + waits

    @property
    def partial(self) -> list[str]:
        """What each answer lacked that was not complete."""
        return [f"{one.kind}: {one.missing}" for one in self.asked if one.missing]

    def figures(self) -> dict[str, Any]:
        return {
            "calls": len(self.asked),
            "failed": len(self.failed),
            "partial": len(self.partial),
            "tries_again": sum(part.repeats for part in self.parts),
            "events": len(self.fresh),
            "published_again": self.published_again,
            "certificates_replaced": _ROTATIONS + 1,
            "least_rereads": min(self.rereads.values()),
            "parts": {part.name: self._figures_of(part) for part in self.parts},
        }

    def _figures_of(self, part: Part) -> dict[str, Any]:
        asked = [one for one in self.asked if part.began_s <= one.ended_s < part.ended_s]
        fresh = [one.after_s for one in self.fresh if part.began_s <= one.at_s < part.ended_s]
        took_ms = [one.ms for one in asked if not one.error]
        return {
            "seconds": round(part.ended_s - part.began_s, 1),
            "stop_s": [round(restart.stop_s, 2) for restart in part.restarts],
            "start_s": [round(restart.start_s, 2) for restart in part.restarts],
            "calls": len(asked),
            "failed": sum(bool(one.error) for one in asked),
            "partial": sum(bool(one.missing) for one in asked),
            "tries_again": part.repeats,
            "p50_ms": _percentile(took_ms, 50),
            "p99_ms": _percentile(took_ms, 99),
            "fresh_p50_s": _percentile(fresh, 50),
            "fresh_p99_s": _percentile(fresh, 99),
        }


def rolled_out(folder: Path, model: Path, products: int, pace: Pace) -> Rollout:
    """A stack with two of everything but the indexer, below `folder`, filled and then restarted under load."""
    secret, authority = _certified(folder / "tls")
    settings = StackSettings(
        folder / "stack",
        model,
        partitions=2 * GROUPS,
        searchers=REPLICAS,
        groups=GROUPS,
        embedders=REPLICAS,
        gateways=REPLICAS,
        # No picture is known yet: each is asked of an embedder.
        gateway_options=("--embedding-cache-bytes", "0"),
        tls=secret.folder,
    )
    with running_stack(settings) as stack:
        credentials = Credentials.of(secret.folder)
        stock = _filled(stack, products, credentials)
        shoppers = Shoppers(stack.all_gateways, credentials, stock, pace.shoppers, pace.pause_s)
        publishing = Publishing(stack.all_gateways, credentials, stock)
        with publishing.running(), shoppers.shopping():
            parts = list(_parts(stack, shoppers, partial(_rotated, secret, authority), pace.quiet_s))
        rereads = {name: _rereads(name, address) for name, address in stack.addresses.items()}
    return Rollout(parts, shoppers.asked, publishing.fresh(), publishing.again, rereads)


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 3) if values else None


def _parts(stack: Stack, shoppers: Shoppers, rotate: Callable[[], Sequence[Restart]], quiet_s: float) -> Iterator[Part]:
    def part(title: str, step: Callable[[], Sequence[Restart]]) -> Part:
        console.err.print(f"{title} …")
        began_s, repeats = time.monotonic(), shoppers.repeats
        restarts = step()
        time.sleep(quiet_s)
        return Part(title, began_s, time.monotonic(), shoppers.repeats - repeats, restarts)

    yield part("before", list)
    for service in SERVICES:
        yield part(service, partial(_restarted, stack, service))
    yield part("certificates", rotate)
    yield part("after", list)


def _restarted(stack: Stack, service: str) -> list[Restart]:
    """One process after the other; of searchers one in each group, as each group is a StatefulSet of its own."""
    names = [name for name in stack.addresses if service_of(name) == service]
    at_once = GROUPS if service == "searcher" else 1
    each = len(names) // at_once
    with ThreadPoolExecutor(at_once) as threads:
        waves = [names[number::each] for number in range(each)]
        return [restart for wave in waves for restart in threads.map(partial(_replaced, stack), wave)]


def _replaced(stack: Stack, name: str) -> Restart:
    """As a pod is. Returns when the next one may be."""
    told_s = time.monotonic()
    stack.end(name)
    gone_s = time.monotonic()
    stack.start_again(name)
    ready_s = time.monotonic()
    time.sleep(_READY_FOR_S)
    return Restart(gone_s - told_s, ready_s - gone_s)


def _certified(folder: Path) -> tuple[Secret, Authority]:
    """Certificates at `folder`. Raises ConfigError (`tls`)."""
    try:
        from vitrine.cli.bench.certificates import Authority, Secret
    except ImportError as error:
        raise ConfigError("tls", "needs cryptography to make certificates: pip install 'vitrine[bench]'") from error
    secret, authority = Secret(folder), Authority()
    secret.show(authority.issue(secret.version()))
    return secret, authority


def _rotated(secret: Secret, authority: Authority) -> Sequence[Restart]:
    """As kubelet does, a few times. All but the last certificate expire meanwhile, soon after they are replaced."""
    for _ in range(_ROTATIONS):
        secret.show(authority.issue(secret.version(), valid_s=_VALID_S))
        time.sleep(_VALID_S - _RENEWED_BEFORE_S)
    secret.show(authority.issue(secret.version()))
    time.sleep(2 * _RENEWED_BEFORE_S)
    return ()


def _rereads(name: str, address: Address) -> int:
    counted = f"vitrine_{service_of(name)}_certificates_reloads_total", frozenset({("outcome", "ok")})
    return int(samples(address.http)[counted])


def _filled(stack: Stack, products: int, credentials: Credentials) -> Stock:
    """Publishes drawn products; returns when all of them can be found."""
    drawn = sample.catalogue(products)
    pictures = [sample.draw(product, 0) for product in drawn]
    events = [
        Upsert(product.product_id, (ImageRef("", data=picture),), product.category, {})
        for product, picture in zip(drawn, pictures, strict=True)
    ]
    with VisualSearchClient(stack.all_gateways, timeout_s=_FRESH_WITHIN_S, credentials=credentials) as client:
        positions = [ack.position for ack in client.publish(events) if ack.position]
        client.search(product_id=drawn[0].product_id, at_least=positions, require_complete=True)
        dim = client.status().dim
    return Stock([one.product_id for one in drawn], sorted({one.category for one in drawn}), pictures, dim)


class Publishing:
    """New products, a few a second, each waited for until an answer has it. Who publishes tries again: it is safe."""

    def __init__(self, gateways: str, credentials: Credentials, stock: Stock) -> None:
        self.again = 0
        self._gateways, self._credentials = gateways, credentials
        self._stock = stock
        self._over = threading.Event()
        self._waits: list[Future[Fresh]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._publish)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def fresh(self) -> list[Fresh]:
        """Of each event, once nobody publishes any more."""
        return [wait.result() for wait in self._waits]

    def _publish(self) -> None:
        with (
            VisualSearchClient(self._gateways, timeout_s=_FRESH_WITHIN_S, credentials=self._credentials) as client,
            ThreadPoolExecutor(_WAITERS) as waiters,
        ):
            number = 0
            while not self._over.wait(_EVENT_EVERY_S):
                picture = self._stock.pictures[number % len(self._stock.pictures)]
                event = Upsert(f"new-{number}", (ImageRef("", data=picture),), "new", {})
                position = self._published(client, event)
                self._waits.append(waiters.submit(_fresh, client, event.product_id, position))
                number += 1

    def _published(self, client: VisualSearchClient, event: Upsert) -> Position:
        while True:
            try:
                for ack in client.publish([event], timeout_s=_FRESH_WITHIN_S):
                    if ack.position is None:
                        raise RuntimeError(f"{ack.product_id} was refused: {ack.error}")
                    return ack.position
            except Unavailable:
                self.again += 1
                time.sleep(_PUBLISH_AGAIN_S)


def _fresh(client: VisualSearchClient, product_id: str, position: Position) -> Fresh:
    at_s = time.monotonic()
    try:
        client.product(product_id, at_least=[position])
    except VitrineError as error:
        return Fresh(at_s, time.monotonic() - at_s, f"{type(error).__name__}: {error}")
    return Fresh(at_s, time.monotonic() - at_s)
