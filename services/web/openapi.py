"""The document at /openapi.json (OpenAPI 3.1), from the table of endpoints and the types they take and answer."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.web.answers import ProblemAnswer, adapter_of
from services.web.endpoints import Endpoint, Parameter

_SCHEMAS: Final = "#/components/schemas/"
_JSON: Final = "application/json"


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """JSON-ready."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(_template(endpoint.path), {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vitrine",
            "version": version,
            "description": "Look-alike product search: the JSON behind the page. Services call the gateway by gRPC.",
        },
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _template(path: str) -> str:
    """Starlette's path as OpenAPI writes it: without converters."""
    return path.replace(":path}", "}")


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": endpoint.name, "summary": endpoint.summary}
    if endpoint.parameters:
        operation["parameters"] = list(map(_parameter, endpoint.parameters))
    if endpoint.asks is not None:
        operation["requestBody"] = {"required": True, "content": _contents(endpoint, schemas)}
    operation["responses"] = _responses(endpoint, schemas)
    return operation


def _contents(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    assert endpoint.asks is not None
    asked = _reference(endpoint.asks, schemas)
    contents: dict[str, Any] = {_JSON: {"schema": asked, "example": endpoint.example}}
    if endpoint.form:
        image = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP; never stored"}
        contents["multipart/form-data"] = {
            "schema": {"type": "object", "properties": {"image": image, "query": asked}, "required": ["image"]},
            "encoding": {"query": {"contentType": _JSON}},
        }
    return contents


def _responses(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    if endpoint.answers is not None:
        content = {_JSON: {"schema": _reference(endpoint.answers, schemas)}}
        good: dict[str, Any] = {"200": {"description": "OK", "content": content}}
    else:
        good = {"204" if endpoint.asks else "200": {"description": endpoint.says}}
    problem = {_JSON: {"schema": _reference(ProblemAnswer, schemas)}}
    bad = {
        str(status): {"description": HTTPStatus(status).phrase, "content": problem}
        for status in sorted({*endpoint.errors, 500})
    }
    return {**good, **bad}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "schema": {"type": parameter.kind},
        "description": parameter.description,
    }


def _reference(kind: type[Any], schemas: dict[str, Any]) -> dict[str, str]:
    """A reference to the schema of `kind`, which is added to `schemas` with all that it is made of."""
    if issubclass(kind, BaseModel):
        _, made = models_json_schema([(kind, "validation")], ref_template=_SCHEMAS + "{model}")
        schemas.update(made["$defs"])
    else:
        schema = adapter_of(kind).json_schema(ref_template=_SCHEMAS + "{model}", mode="serialization")
        schemas.update(schema.pop("$defs", {}))
        schemas[kind.__name__] = schema
    return {"$ref": _SCHEMAS + kind.__name__}
