"""Every example of the documents, against a running shop that sells what they name."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.documents import API, README, Request, grpcurl_examples, python_examples
from tests.integration.shop import TIMEOUT_S, Drawn, channel_to, drawn, indexed, published, upsert
from vitrine import sample
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Stack, StackSettings, running_stack
from vitrine.client import VisualSearchClient
from vitrine.stream.events import LiveUpdate, Upsert

DOCUMENTED_ADDRESS = "127.0.0.1:7000"
SHOE = 10  # "sample-0011", which most examples ask with


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The catalogue that `make demo` draws, in small, and the product of the README."""
    options = ("--commit-interval-s", "0.2")
    settings = StackSettings(tmp_path_factory.mktemp("documented"), DEFAULT_MODEL, indexer_options=options)
    with running_stack(settings) as running, VisualSearchClient(running.gateway, timeout_s=TIMEOUT_S) as client:
        events = [_event(*one) for one in zip(sample.catalogue(len(drawn())), drawn(), strict=True)]
        events.append(replace(events[SHOE], product_id="sku-1"))
        live = [LiveUpdate(product.product_id, {"price": product.price, "stock": 3.0}) for product in drawn()]
        places = published(client, events)
        places += [ack.position for ack in client.publish_live(live) if ack.position]
        indexed(client, places)
        yield running


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pictures that examples name."""
    (tmp_path / "photo.jpg").write_bytes(sample.draw(sample.catalogue(SHOE + 1)[SHOE], 1))
    (tmp_path / "sample-0011.jpg").write_bytes(drawn()[SHOE].pictures[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("document", [README, API], ids=lambda document: str(document.name))
def test_the_python_examples_of_a_document_run_one_after_the_other(
    document: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = python_examples(document.read_text())
    assert examples
    names: dict[str, Any] = {"__name__": "example"}
    for number, example in enumerate(examples):
        code = example.replace(DOCUMENTED_ADDRESS, stack.gateway)
        exec(compile(code, f"{document.name}, Python example {number + 1}", "exec"), names)  # noqa: S102
        assert "print(" not in code or capsys.readouterr().out.strip(), f"{document.name} shows nothing by\n{example}"


@pytest.mark.parametrize("shown", grpcurl_examples(API.read_text()), ids=lambda shown: str(shown.method))
def test_a_request_that_is_shown_is_answered(shown: Request, stack: Stack, folder: Path) -> None:
    method = Default().FindServiceByName(shown.service).methods_by_name[shown.method]
    message = json_format.Parse(_by_the_shell(shown.json, folder), GetMessageClass(method.input_type)())
    with channel_to(stack.gateway) as channel:
        responses = list(_responses(channel, method, message))
    assert responses or shown.method == "ListDeadLetters"  # nothing may have been refused yet
    refused = [response.error for response in responses if method.client_streaming and response.HasField("error")]
    assert not refused


def _responses(channel: grpc.Channel, method: MethodDescriptor, message: Message) -> Iterator[Any]:
    path, write = f"/{method.containing_service.full_name}/{method.name}", type(message).SerializeToString
    read = GetMessageClass(method.output_type).FromString
    if method.client_streaming:
        yield from channel.stream_stream(path, write, read)(iter([message]), timeout=TIMEOUT_S)
    elif method.server_streaming:
        yield from channel.unary_stream(path, write, read)(message, timeout=TIMEOUT_S)
    else:
        yield channel.unary_unary(path, write, read)(message, timeout=TIMEOUT_S)


def _by_the_shell(json: str, folder: Path) -> str:
    """`json` with what the shell would put in."""

    def encoded(found: re.Match[str]) -> str:
        return base64.b64encode((folder / found[1]).read_bytes()).decode()

    def hashed(found: re.Match[str]) -> str:
        return base64.b64encode(hashlib.sha256((folder / found[1]).read_bytes()).digest()).decode()

    json = re.sub(r"\$\(base64 -w0 ([\w.-]+)\)", encoded, json)
    return re.sub(r"\$\(openssl dgst -sha256 -binary ([\w.-]+) \| base64\)", hashed, json)


def _event(product: sample.SampleProduct, pictures: Drawn) -> Upsert:
    """As an ingest of the drawn catalogue publishes it."""
    attributes = {name: getattr(product, name) for name in ("title", "article_type", "colour", "pattern", "price")}
    return upsert(product.product_id, *pictures.pictures, category=product.category, attributes=attributes)
