"""The OpenAPI 3.1 document of the private listener, made of the table of endpoints and the types they speak in.

It depends on nothing but the code, so the one in ``docs/reference/openapi.json`` is the one that is served;
``make openapi`` writes it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from itertools import groupby
from typing import Any

import msgspec

from relay.api import models, refusals
from relay.api.refusals import Refusal
from relay.api.routes import ROUTES, TAGS, Route, Success
from relay.api.sessions import COOKIE, CSRF_HEADER
from relay.core.problem import CONTENT_TYPE, TYPE

Json = dict[str, Any]

_ABOUT = """\
How an operator, and the programs of one, look at an order relay and act on it. It is the private listener's, which
listens on loopback unless it has a token.

With `private.token` or `private.tokens` set, everything but health and metrics wants one of them as
`Authorization: Bearer`, or a session. Without any, no credential is needed, and every request must be addressed to
loopback.

A parameter or member that is not here is refused. Answers may come to have more members."""
_HEADERS = {
    "Allow": "The methods that there are.",
    "Retry-After": "Seconds.",
    "WWW-Authenticate": "How to show who one is.",
}
_PATH_PARAMETERS: Mapping[str, Json] = {
    "id": {"description": "The relay's own id.", "schema": {"type": "integer", "minimum": 1}, "example": 17},
    "name": {
        "description": "As in the configuration.",
        "schema": {"type": "string", "minLength": 1},
        "example": "main",
    },
}


_SIMPLE: Mapping[type, Json] = {dict: {"type": "object"}}


def document(routes: Sequence[Route] = ROUTES) -> Json:
    """The whole document."""
    asked = [route.body for route in routes if route.body not in (None, Any)]
    answered = [
        answer.model for route in routes for answer in route.answers if answer.model and answer.model not in _SIMPLE
    ]
    queries = [route.query for route in routes if route.query is not None]
    _, schemas = msgspec.json.schema_components(
        {*asked, *answered, models.Problem}, ref_template="#/components/schemas/{name}"
    )
    parameters = {query: _parameters(query) for query in queries}
    for model in asked:
        schemas[model.__name__] |= getattr(model, "RULE", {})
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, parameters)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "order-relay: private API",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The private listener, http://127.0.0.1:9090 by default."}],
        "security": [{"bearer": []}, {"session": []}],
        "tags": [{"name": tag.name, "description": tag.words} for tag in TAGS],
        "paths": paths,
        "components": {
            "schemas": {name: _tidy(schema) for name, schema in sorted(schemas.items())},
            "responses": _problem_responses(routes),
            "headers": {name: {"description": words, "schema": {"type": "string"}} for name, words in _HEADERS.items()},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`private.token`, or one of `private.tokens`.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "What `POST /api/session` gives a browser.",
                },
                "csrf": {
                    "type": "apiKey",
                    "in": "header",
                    "name": CSRF_HEADER,
                    "description": "`csrf` of the session: every changing request of one shows it.",
                },
            },
        },
    }


@cache
def encoded() -> bytes:
    """The document as it is served, and checked in."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


# -- operations --------------------------------------------------------------------------------------------------------


def _operation(route: Route, parameters: Mapping[Any, list[Json]]) -> Json:
    found: Json = {"operationId": route.operation, "tags": [route.tag.name], "summary": route.summary}
    given = [_in_path(name) for name in re.findall(r"{(\w+)}", route.path)]
    given += [] if route.query is None else parameters[route.query]
    if given:
        found["parameters"] = given
    if route.body is not None:
        found["requestBody"] = _body(route)
    found["responses"] = _responses(route)
    if route.open:
        found["security"] = []
    elif route.method != "GET":
        found["security"] = [{"bearer": []}, {"session": [], "csrf": []}]
    return found


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, **_PATH_PARAMETERS[name]}


def _parameters(query: type[msgspec.Struct]) -> list[Json]:
    """The members of a query's type. None of them takes null."""
    _, schemas = msgspec.json.schema_components([query], ref_template="#/components/schemas/{name}")
    found = []
    for name, member in schemas[query.__name__].get("properties", {}).items():
        schema = _tidy(member)
        schema = {**{key: value for key, value in schema.items() if key != "anyOf"}, **_not_null(schema)}
        if schema.get("default", ...) in (None, ""):
            del schema["default"]
        parameter: Json = {"name": name, "in": "query"}
        if name in schemas[query.__name__].get("required", ()):
            parameter["required"] = True
        for key, where in (("description", "description"), ("examples", "examples")):
            if key in schema:
                parameter[where] = schema.pop(key)
        if "examples" in parameter:
            parameter["example"] = parameter.pop("examples")[0]
        found.append({**parameter, "schema": schema})
    return found


def _not_null(schema: Json) -> Json:
    """The one of the alternatives that is not null."""
    others = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    return dict(others[0]) if others else {}


def _body(route: Route) -> Json:
    if route.body is Any:
        words = "The webhook as it would come, with its headers. Most kinds are JSON; a form is not taken."
        return {"required": False, "description": words, "content": {"application/json": {"schema": {}}}}
    content: Json = {"schema": _reference(route.body)}
    if route.example is not None:
        content["example"] = route.example
    return {"required": True, "content": {"application/json": content}}


def _reference(model: type) -> Json:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _responses(route: Route) -> Json:
    found: Json = {str(answer.status): _success(answer) for answer in route.answers}
    for status, some in _by_status(route.problems):
        if status in found:  # /readyz: both are 503
            problem = _problem(some)["content"]
            found[status]["content"] |= problem
        else:
            found[status] = {"$ref": f"#/components/responses/{_name(some)}"}
    return dict(sorted(found.items()))


def _success(answer: Success) -> Json:
    schema = {"type": "string"} if answer.model is None else _SIMPLE.get(answer.model) or _reference(answer.model)
    found: Json = {"description": answer.words, "content": {answer.content_type: {"schema": schema}}}
    if answer.headers:
        found["headers"] = {
            name: {"description": words, "required": True, "schema": {"type": "string"}}
            for name, words in answer.headers.items()
        }
    return found


# -- problems ----------------------------------------------------------------------------------------------------------


def _problem_responses(routes: Iterable[Route]) -> Json:
    """One for each set of problems that share a status somewhere."""
    found = {_name(some): some for route in routes for _, some in _by_status(route.problems)}
    found |= {_name([refusal]): [refusal] for refusal in (refusals.UNKNOWN_PATH, refusals.NO_SUCH_METHOD)}
    return {name: _problem(some) for name, some in sorted(found.items())}


def _by_status(problems: Iterable[Refusal]) -> list[tuple[str, list[Refusal]]]:
    ordered = sorted(set(problems), key=lambda refusal: (refusal.status, refusal.name))
    return [(str(status), list(some)) for status, some in groupby(ordered, key=lambda refusal: refusal.status)]


def _name(some: Iterable[Refusal]) -> str:
    return ".".join(refusal.name for refusal in some)


def _problem(some: Sequence[Refusal]) -> Json:
    """A response that is one of some problems with the same status."""
    listed = [f"`{refusal.name}`: {refusal.words}" for refusal in some]
    schema = {
        "$ref": "#/components/schemas/Problem",
        "properties": {"type": {"enum": [TYPE + refusal.name for refusal in some]}},
    }
    example = {
        "type": TYPE + some[0].name, "title": HTTPStatus(some[0].status).phrase, "status": some[0].status,
        "detail": some[0].words,
    }  # fmt: skip
    found: Json = {
        "description": "\n".join(f"- {line}" for line in listed) if len(listed) > 1 else listed[0],
        "content": {CONTENT_TYPE: {"schema": schema, "example": example}},
    }
    headers = {name for refusal in some for name in refusal.headers}
    if headers:
        found["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(headers)}
    return found


def _tidy(schema: Any) -> Any:
    """Descriptions without the indentation of the source."""
    if isinstance(schema, dict):
        return {
            key: re.sub(r"\s*\n\s*", " ", value).strip()
            if key == "description" and isinstance(value, str)
            else _tidy(value)
            for key, value in schema.items()
        }
    return [_tidy(one) for one in schema] if isinstance(schema, list) else schema
