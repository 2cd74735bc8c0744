"""The OpenAPI document of the private API: valid, the one that is checked in, and of everything there is."""

import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from relay.api import models, openapi
from relay.api.routes import ROUTES
from relay.core.problem import TYPE
from tests.fakes import fetched
from tests.running import relay_running

KEPT = Path(__file__).parent.parent / "docs" / "reference" / "openapi.json"
DOCUMENT = openapi.document()


def test_the_document_is_a_valid_one_of_openapi_3_1() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_the_checked_in_document_is_the_one_that_is_made() -> None:
    assert KEPT.read_bytes() == openapi.encoded(), "run: make openapi"


async def test_the_document_is_served_and_has_every_path_that_the_router_has(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, _):
        answer = await fetched(relay.private_url + "/api/openapi.json")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.body == KEPT.read_bytes()
    served = {(method.upper(), path) for path, some in answer.json["paths"].items() for method in some}
    assert served == {(route.method, route.path) for route in ROUTES}


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [route.operation for route in ROUTES]

    assert len(set(names)) == len(names)


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        inner = set().union(*map(_references, value.values()))
        return inner | ({value["$ref"]} if isinstance(value.get("$ref"), str) else set())
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere() -> None:
    kinds = DOCUMENT["components"]
    there = {f"#/components/{kind}/{name}" for kind, some in kinds.items() for name in some}

    assert _references(DOCUMENT) <= there
    assert set(kinds["schemas"]) <= {reference.rpartition("/")[2] for reference in _references(DOCUMENT)}


def test_every_answer_is_a_model() -> None:
    answers = {answer.model for answer in chain.from_iterable(route.answers for route in ROUTES)} - {None, dict}

    assert [model for model in answers if model is not None and not issubclass(model, models.Answer)] == []


@pytest.mark.parametrize("route", [route for route in ROUTES if route.is_api], ids=lambda route: route.operation)
def test_every_request_below_api_may_find_nobody_signed_in(route: Any) -> None:
    refused = DOCUMENT["paths"][route.path][route.method.lower()]["responses"]["401"]["$ref"].rpartition("/")[2]

    kinds = DOCUMENT["components"]["responses"][refused]["content"]["application/problem+json"]["schema"]["properties"]
    assert kinds["type"]["enum"] == [TYPE + "bad-credential"]


def test_every_model_says_what_it_is() -> None:
    silent = [
        name
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if not re.fullmatch(r"[A-Z`].*\S", schema.get("description", ""))
    ]

    assert silent == []
