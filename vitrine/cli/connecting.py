"""--tls, --tls-name and --token-file: how the commands that call a gateway or an indexer are let in."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from vitrine.runtime.channels import NOTHING, Credentials

T = TypeVar("T")

Tls = Annotated[
    Path | None,
    typer.Option(help="folder with ca.crt, and tls.crt and tls.key if they are asked for: call by TLS"),
]
TlsName = Annotated[
    str, typer.Option(help="whom the server's certificate names where that is not the host called, as with a tunnel")
]
TokenFile = Annotated[Path | None, typer.Option(help="file with the bearer token to call with")]


_given: ContextVar[Credentials] = ContextVar("given", default=NOTHING)


def given() -> Credentials:
    """What the command that runs shows, and whom it trusts."""
    return _given.get()


def connecting(command: Callable[..., T]) -> Callable[..., T]:
    """`command` with these options, in force while it runs."""

    @functools.wraps(command)
    def with_options(
        *args: Any, tls: Path | None = None, tls_name: str = "", token_file: Path | None = None, **fields: Any
    ) -> T:
        before = _given.set(Credentials.of(tls, token_file, tls_name))
        try:
            return command(*args, **fields)
        finally:
            _given.reset(before)

    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, default, annotation in (
            ("tls", None, Tls),
            ("tls_name", "", TlsName),
            ("token_file", None, TokenFile),
        )
    ]
    whole = signature.replace(parameters=[*signature.parameters.values(), *added])
    # Where typer looks for what a command takes.
    with_options.__signature__ = whole  # type: ignore[attr-defined]
    with_options.__annotations__ = {name: parameter.annotation for name, parameter in whole.parameters.items()}
    return with_options
