"""What answers showed and what shoppers did with it: into the feedback topic, and counted by surface."""

from __future__ import annotations

import time
from typing import Final

from services.gateway import metrics
from services.gateway.feedback_writer import FeedbackWriter
from vitrine.stream.feedback import Feedback, FeedbackKind, Impression
from vitrine.stream.feedback_codec import feedback_from_message
from vitrine.v1 import gateway_pb2 as pb

# A metric keeps a series for each surface for ever: those that come later are counted together.
MAX_SURFACES: Final = 32
_OTHER: Final = "other"
_NO_NAME: Final = "none"


class ShopperFeedback:
    """`writer.write` has to run beside it."""

    def __init__(self, writer: FeedbackWriter) -> None:
        self._writer = writer
        self._surfaces: set[str] = set()

    async def send(self, request: pb.SendFeedbackRequest) -> pb.SendFeedbackResponse:
        """Durable when it returns. Raises InvalidArgument (`feedback.…`), ResourceExhausted, Unavailable."""
        feedback = feedback_from_message(request.feedback, time.time_ns() // 1_000)
        await self._writer.append(feedback)
        self._count(feedback)
        return pb.SendFeedbackResponse()

    def shown(self, impression: Impression) -> None:
        """Takes microseconds, and never fails: the answer does not wait for it."""
        metrics.ANSWERS_SHOWN.labels(self._label(impression.surface)).inc()
        self._writer.offer(impression)

    def _count(self, feedback: Feedback) -> None:
        surface = self._label(feedback.surface)
        metrics.FEEDBACK.labels(surface, feedback.kind.value).inc()
        if feedback.kind is FeedbackKind.CLICK and feedback.rank is not None:
            metrics.CLICK_RANK.labels(surface).observe(feedback.rank)

    def _label(self, surface: str) -> str:
        if surface not in self._surfaces:
            if len(self._surfaces) >= MAX_SURFACES:
                return _OTHER
            self._surfaces.add(surface)
        return surface or _NO_NAME
