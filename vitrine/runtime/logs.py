"""Structured logs: one JSON object a line, on standard error. Query images and tokens are never logged."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure(service: str, level: str) -> None:
    """Sets up logging for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, handlers=[_Forwarded()], force=True)
    # What of ours runs in other people's programs too says it that way.
    logging.getLogger("vitrine").setLevel(level.upper())


def logger() -> Any:
    """The process's logger; keyword arguments become fields."""
    return structlog.get_logger()


class _Forwarded(logging.Handler):
    """What libraries log by Python's own logging becomes a line like all others."""

    def emit(self, record: logging.LogRecord) -> None:
        logger().log(record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info or None)
