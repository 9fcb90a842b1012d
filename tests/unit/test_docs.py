"""What the documents name exists, and what the contract has is in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import MethodDescriptor

from tests.documents import API, README, grpcurl_examples, python_examples, sections
from vitrine.v1 import catalogue_pb2, gateway_pb2

ROOT = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "durability.md").read_text())))
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deploy").rglob("README.md"))]
METHODS = [
    *gateway_pb2.DESCRIPTOR.services_by_name["VisualSearch"].methods,
    *catalogue_pb2.DESCRIPTOR.services_by_name["Catalogue"].methods,
]
SEARCHES = list(gateway_pb2.DESCRIPTOR.services_by_name["VisualSearch"].methods)


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_holds_a_promise_is_there(file: str, test: str) -> None:
    text = (ROOT / file).read_text()

    assert not test or re.search(rf"def {test}\(", text)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.name))
def test_each_call_of_the_contract_is_documented_with_examples(method: MethodDescriptor) -> None:
    section = sections(API)[method.name]

    assert python_examples(section)
    service = method.containing_service.full_name
    assert (service, method.name) in [(request.service, request.method) for request in grpcurl_examples(section)]


@pytest.mark.parametrize("method", SEARCHES, ids=lambda method: str(method.name))
def test_each_field_of_a_request_is_documented(method: MethodDescriptor) -> None:
    rows = [line.split("|")[1] for line in sections(API)[method.name].splitlines() if line.startswith("| `")]
    documented = set(re.findall(r"`(\w+)`", " ".join(rows)))

    assert documented == {field.name for field in method.input_type.fields}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", document.read_text()):
        path, _, heading = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        assert not heading or heading in _headings(file), target


def _headings(document: Path) -> set[str]:
    lines = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines}
