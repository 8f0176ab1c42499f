"""The OpenAPI document: what FastAPI knows, and what handlers that read bodies themselves add to it."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from weir.api import problems
from weir.api.gate import WITHOUT_TOKEN
from weir.api.specifications import json_schema
from weir.model.agent import Pull, Report

_REF = "#/components/schemas/{model}"
_BODIES = {"Pull": Pull, "Report": Report}


def json_body_of(schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """What a route says of the JSON body that it reads, for `openapi_extra`."""
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def named(name: str) -> dict[str, Any]:
    """A reference to a schema of the document."""
    return {"$ref": _REF.format(model=name)}


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The whole document, as OpenAPI 3.1."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = problems.SCHEMA
    _add(schemas, "JobSpecification", json_schema(_REF))
    for name, declared in _BODIES.items():
        _add(schemas, name, TypeAdapter[Any](declared).json_schema(ref_template=_REF))
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if (method.upper(), path) in WITHOUT_TOKEN:
                operation["security"] = []
    return document


def _add(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    for inner, definition in schema.pop("$defs", {}).items():
        schemas.setdefault(inner, definition)
    schemas.setdefault(name, schema)


__all__ = ["json_body_of", "named", "openapi_of"]
