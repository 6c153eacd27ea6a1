"""The description of the API: what each operation takes and answers, with examples.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.gateway.http import bodies, examples, problems
from services.gateway.http.bodies import base
from services.gateway.http.bodies.base import Model
from services.gateway.http.body_reading import JSON_TYPE

TAGS = [
    {"name": "search", "description": "Finding products by photo, words, products and vectors."},
    {"name": "products", "description": "What a shop sells."},
    {"name": "catalogues", "description": "The products of a shop, and the models that see them."},
    {"name": "queries", "description": "What was searched for, and what people made of it."},
    {"name": "keys", "description": "Who may do what."},
    {"name": "status", "description": "How the mesh is, and its models."},
    {"name": "media", "description": "Pictures of products."},
    {"name": "health", "description": "For probes."},
]

_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer` and an API key or a token (JWT) of the deployment's issuer.",
    },
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key."},
}
# Of every operation; the others name theirs.
_COMMON_ERRORS = (400, 401, 403, 421, 429, 431, 503, 504)
_BODY_ERRORS = (413, 415)
_PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
ANY_PROBLEM: dict[str, Any] = {
    "description": "A problem.",
    "content": {problems.MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA}},
}
_ETAG = {
    "description": "Names what the shop states of the product, for `If-Match`.",
    "schema": {"type": "string", "examples": ['"5d41402abc4b2a76"']},
}


def operation(
    answer: type[Model],
    *,
    body: type[Model] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    errors: Iterable[int] = (),
    has_etag: bool = False,
) -> dict[str, Any]:
    """What a route of the API is declared with: the models of its answer and its body, its errors."""
    document: dict[str, Any] = {"content": {JSON_TYPE: {"example": examples.OF[answer]}}}
    if has_etag:
        document["headers"] = {"ETag": _ETAG}
    statuses = {*_COMMON_ERRORS, *errors}
    extra: dict[str, Any] = {"security": [{"bearer": []}, {"key": []}, {}]}
    if body is not None:
        statuses.update(_BODY_ERRORS)
        schema = {"$ref": f"#/components/schemas/{body.__name__}"}
        content = {JSON_TYPE: {"schema": schema, "example": examples.OF[body]}}
        extra["requestBody"] = {"required": True, "content": content}
    return {
        "response_model": answer,
        "status_code": status,
        "responses": {status.value: document} | {each: _problem(each) for each in sorted(statuses)},
        "openapi_extra": extra,
    }


def _problem(status: int) -> dict[str, Any]:
    example = examples.PROBLEMS[status]
    problem: dict[str, Any] = {
        "description": f"{example['title']}.",
        "content": {
            problems.MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA, "example": example},
        },
    }
    if "retry_after" in example:
        problem["headers"] = {
            "Retry-After": {"description": "Whole seconds.", "schema": {"type": "integer", "examples": [1]}}
        }
    return problem


class Described(FastAPI):
    """FastAPI whose description also has the models of bodies, which the routes read themselves."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if self.openapi_schema is None:
            schema = super().openapi()
            described: list[type[BaseModel]] = [*models(), problems.Problem]
            _, definitions = models_json_schema(
                [(model, "validation") for model in described],
                ref_template="#/components/schemas/{model}",
            )
            components = schema.setdefault("components", {})
            components["schemas"] = definitions["$defs"]
            components["securitySchemes"] = _SECURITY_SCHEMES
        return super().openapi()


def models() -> list[type[Model]]:
    """Every message that a body consists of."""
    modules = [
        importlib.import_module(f"{bodies.__name__}.{module.name}")
        for module in pkgutil.iter_modules(bodies.__path__)
    ]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Model)
        and value.__module__ == module.__name__
        # The module of the bases has no message.
        and module is not base
    ]
