"""Keys that hold tables of the operator's own: what they take, and their faults as problems of the configuration."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from relay.config.problems import Problem, wrong
from relay.config.values import as_list
from relay.core.recipe import Fault, RecipeError

_REMEDY = "see docs/reference/mapping.md"


def as_table(value: object) -> object:
    """An environment variable holds a table as JSON."""
    if not isinstance(value, str):
        return value
    table = None
    with suppress(ValueError, RecursionError):
        table = json.loads(value)
    if not isinstance(table, dict):
        raise wrong("is no table", 'write a table of TOML; in an environment variable, JSON such as {"key": "value"}')
    return table


def _as_switch(value: object) -> object:
    return as_table(value) if isinstance(value, str) and value.startswith("{") else value


OpenTable = Annotated[
    Mapping[str, Any], BeforeValidator(as_table), WithJsonSchema({"type": "object", "takes": "a table"})
]
"""Whatever keys there are; what is in it is looked at when it is compiled."""
OpenTables = Annotated[
    tuple[Mapping[str, Any], ...],
    BeforeValidator(as_list),
    WithJsonSchema({"type": "array", "takes": "a list of tables"}),
]
Switch = Annotated[
    bool | Mapping[str, Any],
    BeforeValidator(_as_switch),
    WithJsonSchema({"type": "boolean", "takes": "true, false or a table"}),
]
"""On, off, or on with settings."""


def faults_of(compile_: Callable[[], object]) -> Iterator[Problem]:
    """What is wrong with what is compiled, if anything is."""
    faults: tuple[Fault, ...] = ()
    try:
        compile_()
    except RecipeError as error:
        faults = error.faults
    for fault in faults:
        yield Problem(fault.key, "", fault.message, _REMEDY)
