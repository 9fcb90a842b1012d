"""The context of a call, as handlers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import grpc.aio

if TYPE_CHECKING:
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext


def remaining_s(context: Context, default_s: float) -> float:
    """Seconds left until the caller's deadline; `default_s` if it set none."""
    left_s = context.time_remaining()
    return default_s if left_s is None else float(left_s)
