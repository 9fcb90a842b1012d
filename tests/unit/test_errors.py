"""Every error has a status, and no branch of the tree was forgotten in the table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vitrine.runtime import errors
from vitrine.runtime.errors import STATUS_BY_ERROR, VitrineError, status_name

GRPC_NAMES = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "UNAVAILABLE",
    "DATA_LOSS",
    "ABORTED",
}
INSTANCES = [
    (errors.InvalidArgument("k", "is negative"), "INVALID_ARGUMENT"),
    (errors.BadImage("is empty"), "INVALID_ARGUMENT"),
    (errors.NotFound("no such thing"), "NOT_FOUND"),
    (errors.UnknownProduct("p1"), "NOT_FOUND"),
    (errors.UnknownIndex("shop"), "NOT_FOUND"),
    (errors.Unauthenticated("no token"), "UNAUTHENTICATED"),
    (errors.PermissionDenied("another role"), "PERMISSION_DENIED"),
    (errors.FailedPrecondition("not now"), "FAILED_PRECONDITION"),
    (errors.ModelMismatch("a" * 64, "b" * 64), "FAILED_PRECONDITION"),
    (errors.ResourceExhausted("queue full", 0.5), "RESOURCE_EXHAUSTED"),
    (errors.DeadlineExceeded("too late"), "DEADLINE_EXCEEDED"),
    (errors.Unavailable("away"), "UNAVAILABLE"),
    (errors.StoreUnavailable("away"), "UNAVAILABLE"),
    (errors.HandshakeFailed("not trusted"), "UNAVAILABLE"),
    (errors.DataLoss("gone"), "DATA_LOSS"),
    (errors.CorruptShard("bad"), "DATA_LOSS"),
    (errors.CorruptManifest("bad"), "DATA_LOSS"),
    (errors.Fenced("another owner"), "ABORTED"),
    (errors.StreamGap("gone"), "FAILED_PRECONDITION"),
    (errors.ConfigError("store", "is not a folder"), "FAILED_PRECONDITION"),
]


def tree(root: type[VitrineError]) -> Iterator[type[VitrineError]]:
    """Every class below `root` that this module defines. Clients and trainers have some that cross no RPC."""
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
        yield from tree(child)


@pytest.mark.parametrize(("error", "status"), INSTANCES, ids=lambda value: type(value).__name__)
def test_an_error_has_the_status_of_its_branch(error: VitrineError, status: str) -> None:
    assert status_name(error) == status


def test_every_class_of_the_module_is_tried_here() -> None:
    assert set(tree(VitrineError)) == {type(error) for error, _ in INSTANCES}


def test_every_class_finds_itself_or_an_ancestor_in_the_table() -> None:
    assert all(any(base in STATUS_BY_ERROR for base in kind.__mro__) for kind in tree(VitrineError))


def test_the_table_names_statuses_that_exist() -> None:
    assert set(STATUS_BY_ERROR.values()) <= GRPC_NAMES


def test_an_error_outside_the_table_is_internal() -> None:
    assert status_name(VitrineError("?")) == "INTERNAL"


def test_a_new_subclass_takes_its_parents_status() -> None:
    class TornPage(errors.CorruptShard):
        pass

    assert status_name(TornPage("half a page")) == "DATA_LOSS"


def test_an_error_about_a_field_starts_with_its_name() -> None:
    assert str(errors.InvalidArgument("page_size", "is negative")) == "page_size: is negative"


def test_a_full_queue_says_when_to_come_back() -> None:
    assert "retry after 0.25 s" in str(errors.ResourceExhausted("the queue is full", 0.25))


def test_a_model_mismatch_names_both_models() -> None:
    message = str(errors.ModelMismatch("a" * 64, "b" * 64))

    assert "a" * 12 in message
    assert "b" * 12 in message
