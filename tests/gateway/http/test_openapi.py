from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import openapi as schemathesis_openapi

from services.gateway.http import arguments, create_app, examples, openapi, page, problems
from services.gateway.http.bodies.base import Model
from services.mesh import names
from tests.gateway.http.fakes import Flows, HttpSettings, Media
from vitrine.v1 import access_pb2, catalog_pb2, queries_pb2, search_pb2, status_pb2

SERVICES = (
    search_pb2.DESCRIPTOR.services_by_name["SearchService"],
    catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"],
    queries_pb2.DESCRIPTOR.services_by_name["QueryService"],
    access_pb2.DESCRIPTOR.services_by_name["AccessService"],
    status_pb2.DESCRIPTOR.services_by_name["StatusService"],
)


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    app = create_app(HttpSettings(), Flows(Media(tmp_path_factory.mktemp("media"))))
    # As it is sent.
    read: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return read


def operations(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation of the API with its path."""
    for path, methods in description["paths"].items():
        if path.startswith("/v1/"):
            for operation in methods.values():
                yield path, operation


def test_it_is_valid(description: dict[str, Any]) -> None:
    """It is OpenAPI, and every reference leads somewhere."""
    schemathesis_openapi.from_dict(description).validate()
    text = json.dumps(description)
    schemas = description["components"]["schemas"]
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in schemas
    assert "HTTPValidationError" not in schemas


def test_every_rpc_has_an_operation(description: dict[str, Any]) -> None:
    """What gRPC can do, HTTP can; a search is written in an address too."""
    found = {operation["operationId"].replace("_", "") for _, operation in operations(description)}
    rpcs = {method.name.lower() for service in SERVICES for method in service.methods}
    assert found == rpcs | {"searchbyaddress"}


def test_every_operation_is_described(description: dict[str, Any]) -> None:
    """Each has words, a known tag, examples of its body and its answer, and its problems."""
    tags = {tag["name"] for tag in description["tags"]}
    for path, operation in operations(description):
        assert operation["description"], path
        assert set(operation["tags"]) <= tags
        assert {"bearer": []} in operation["security"]
        answers = operation["responses"]
        (success,) = [answers[status] for status in answers if status.startswith("2")]
        assert success["content"]["application/json"]["example"] is not None
        assert {"400", "401", "403", "429", "503"} <= set(answers)
        for status, answer in answers.items():
            if status[0] in "45":
                assert answer["content"][problems.MEDIA_TYPE]["example"]["status"] == int(status)
        body = operation.get("requestBody")
        if body:
            assert "example" in body["content"]["application/json"]
            assert {"413", "415"} <= set(answers)
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), (path, parameter["name"])


@pytest.mark.parametrize("model", examples.OF, ids=lambda model: model.__name__)
def test_an_example_is_what_it_is_an_example_of(model: type[Model]) -> None:
    """Examples are valid, and those of answers have every field that is always there."""
    model.model_validate(examples.OF[model])


def test_examples_of_problems_are_described() -> None:
    """The page of the API knows each kind."""
    described = (Path(page.STATIC) / "docs/index.html").read_text()
    for problem in examples.PROBLEMS.values():
        problems.Problem.model_validate(problem)
        assert f'id="{problem["type"].removeprefix("/docs/#")}"' in described


def test_a_form_is_described_with_an_example(description: dict[str, Any]) -> None:
    """A search takes JSON, a form, and a photo alone."""
    content = description["paths"]["/v1/catalogs/{catalog}:search"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data", "image/*"}
    assert content["multipart/form-data"]["example"]["text"]


@given(st.data())
def test_the_ids_that_are_described_are_those_that_are_taken(data: st.DataObject) -> None:
    """The patterns of ids in the description say what `names` checks."""

    def id_of(annotation: Any) -> str:
        pattern: str = annotation.__metadata__[0].json_schema_extra["pattern"]
        return data.draw(st.from_regex(pattern, fullmatch=True))

    names.check_catalog_id(id_of(arguments.CatalogId), "")
    names.check_product_id(id_of(arguments.ProductId), "")
    arguments.generation_name("demo", id_of(arguments.GenerationId))
    arguments.key_name(id_of(arguments.KeyId))


def test_the_models_are_all_there(description: dict[str, Any]) -> None:
    """Every message of a body is a schema of its name."""
    schemas = description["components"]["schemas"]
    assert {model.__name__ for model in openapi.models()} <= set(schemas)
