"""The JSON endpoints behind the page."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.web import answers, bodies
from services.web.codec import questions, responses
from services.web.endpoints import Endpoint, Parameter
from services.web.gateway import Gateway
from services.web.uploads import Uploads
from vitrine.runtime.errors import InvalidArgument

SAMPLES: Final = 12
RECENT: Final = 50
LETTERS: Final = 100

_SHA256: Final = re.compile("[0-9a-f]{64}")
# Named by what is in it, so it never changes.
_FOR_EVER: Final = "public, max-age=31536000, immutable"

_SENT: Final = (400, 404, 408, 413, 415, 429, 503, 504)
_ASKED: Final = (*_SENT, 409)
_READ: Final = (404, 503, 504)


class Api:
    """Each method is one endpoint: what comes in is checked, the gateway asked, its answer put into JSON."""

    def __init__(self, gateway: Gateway, uploads: Uploads, ops: bool) -> None:
        self._gateway = gateway
        self._uploads = uploads
        self._ops = ops

    def endpoints(self) -> list[Endpoint]:
        """With `ops`, those for people who look after the shop, too."""
        return [*self._for_shoppers(), *(self._for_ops() if self._ops else ())]

    def _for_shoppers(self) -> list[Endpoint]:
        return [
            Endpoint(
                *("search", "POST", "/api/search", self._search),
                "Products that look like a picture, a product, or several of both",
                *(answers.SearchAnswer, bodies.SearchQuery),
                form=True,
                errors=_ASKED,
                example={"product_id": "shoe-17", "page_size": 24, "facets": ["category"]},
            ),
            Endpoint(
                *("recommend", "POST", "/api/recommend", self._recommend),
                "What a shopper with this history may like, by interests",
                *(answers.RecommendAnswer, bodies.RecommendQuery),
                errors=_ASKED,
                example={"history": [{"product_id": "shoe-17"}, {"product_id": "bag-3", "weight": 2.0}]},
            ),
            Endpoint(
                *("look", "POST", "/api/look", self._look),
                "What goes with a product or a picture: the best of each other category",
                *(answers.LookAnswer, bodies.LookQuery),
                form=True,
                errors=_ASKED,
                example={"product_id": "shoe-17", "per_category": 4},
            ),
            Endpoint(
                *("feedback", "POST", "/api/feedback", self._feedback),
                "What a shopper did with one product of an answer",
                *(None, bodies.FeedbackEvent),
                errors=_SENT,
                example={"query_id": "0f" * 16, "product_id": "shoe-17", "kind": "CLICK", "rank": 3},
                says="Nothing: it is durable.",
            ),
            Endpoint(
                *("product", "GET", "/api/products/{product_id:path}", self._product),
                "One product as it is indexed now",
                answers.Product,
                parameters=(Parameter("product_id", "path", "string", "percent-encoded"),),
                errors=(400, 429, *_READ),
            ),
            Endpoint(
                *("catalogue", "GET", "/api/catalogue", self._catalogue),
                "Categories and fields that can be filtered by",
                answers.Catalogue,
                errors=_READ,
            ),
            Endpoint(
                *("samples", "GET", "/api/samples", self._samples),
                "Some products to begin with, of all large categories",
                answers.Samples,
                parameters=(
                    Parameter("seed", "query", "integer", "other products for another number, 0 to 999,999"),
                    Parameter("count", "query", "integer", f"1 to 48; absent: {SAMPLES}"),
                ),
                errors=(400, 429, *_READ),
            ),
            Endpoint(
                *("thumbnail", "GET", "/thumbs/{sha256}", self._thumbnail),
                "The small picture of a product's image, never changing",
                None,
                parameters=(Parameter("sha256", "path", "string", "64 hexadecimal digits"),),
                errors=(400, *_READ),
                says="image/webp, at most 256 px",
            ),
        ]

    def _for_ops(self) -> list[Endpoint]:
        return [
            Endpoint(
                *("status", "GET", "/api/ops/status", self._status),
                "Partitions, shards, freshness and recall",
                answers.Status,
                errors=_READ,
            ),
            Endpoint(
                *("recent", "GET", "/api/ops/recent", self._recent),
                f"The last {RECENT} queries and what they found; never a shopper's picture",
                answers.RecentQueries,
                errors=_READ,
            ),
            Endpoint(
                *("dlq", "GET", "/api/ops/dlq", self._dlq),
                f"The last {LETTERS} events that could not be indexed, and why",
                answers.DeadLetters,
                errors=_READ,
            ),
        ]

    async def _search(self, request: Request) -> answers.SearchAnswer:
        async with self._uploads.form(request) as form:
            query = bodies.parsed(bodies.SearchQuery, form.query)
            message = questions.search_message(query, form.pictures)
            return responses.search_answer(await self._gateway.search(message))

    async def _recommend(self, request: Request) -> answers.RecommendAnswer:
        query = bodies.parsed(bodies.RecommendQuery, await self._uploads.json(request))
        return responses.recommend_answer(await self._gateway.recommend(questions.recommend_message(query)))

    async def _look(self, request: Request) -> answers.LookAnswer:
        async with self._uploads.form(request) as form:
            query = bodies.parsed(bodies.LookQuery, form.query)
            message = questions.look_message(query, form.pictures)
            return responses.look_answer(await self._gateway.complete_the_look(message))

    async def _feedback(self, request: Request) -> Response:
        event = bodies.parsed(bodies.FeedbackEvent, await self._uploads.json(request))
        await self._gateway.send_feedback(questions.feedback_message(event))
        return Response(status_code=204)

    async def _product(self, request: Request) -> answers.Product:
        return responses.product_answer(await self._gateway.product(request.path_params["product_id"]))

    async def _catalogue(self, request: Request) -> answers.Catalogue:
        return responses.catalogue_answer(await self._gateway.status(), self._ops)

    async def _samples(self, request: Request) -> answers.Samples:
        seed, count = _number(request, "seed", 0, 0, 999_999), _number(request, "count", SAMPLES, 1, 48)
        messages = questions.sample_messages(await self._gateway.status(), seed, count)
        return responses.samples_answer(await self._gateway.searches(messages), count)

    async def _thumbnail(self, request: Request) -> Response:
        name = request.path_params["sha256"]
        if not _SHA256.fullmatch(name):
            raise InvalidArgument("sha256", "is not 64 hexadecimal digits")
        webp = await self._gateway.thumbnail(bytes.fromhex(name))
        return Response(webp, media_type="image/webp", headers={"Cache-Control": _FOR_EVER})

    async def _status(self, request: Request) -> answers.Status:
        return responses.status_answer(await self._gateway.status())

    async def _recent(self, request: Request) -> answers.RecentQueries:
        return responses.recent_answer(await self._gateway.recent_queries(RECENT))

    async def _dlq(self, request: Request) -> answers.DeadLetters:
        return responses.letters_answer(*await self._gateway.dead_letters(LETTERS))


def _number(request: Request, name: str, absent: int, lowest: int, highest: int) -> int:
    """A whole number of the query string. Raises InvalidArgument."""
    said = request.query_params.get(name, str(absent))
    if not (said.isascii() and said.isdigit() and len(said) < 10 and lowest <= int(said) <= highest):
        raise InvalidArgument(name, f"is {said[:32]!r}, not a whole number from {lowest} to {highest}")
    return int(said)
