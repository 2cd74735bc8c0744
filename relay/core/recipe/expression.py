"""JMESPath expressions: compiled with a fault that says where, evaluated exactly and within bounds.

The language is https://jmespath.org/specification.html and the parser is the ``jmespath`` library's; how an expression
is evaluated is in :mod:`relay.core.recipe.evaluation`. All that can be known to be wrong is known here, and not when an
order comes: unknown functions, the number of their arguments, a step of 0.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import jmespath
from jmespath.exceptions import EmptyExpressionError, IncompleteExpressionError, ParseError

from relay.core import exact
from relay.core.recipe.evaluation import Evaluation, Step, step_of
from relay.core.recipe.functions import FUNCTIONS, Kind

__all__ = ["DEPTH_MAX", "LENGTH_MAX", "Evaluation", "Expression", "WrongExpression", "compiled", "escaped"]

LENGTH_MAX = 2000
"""Characters of one expression."""
DEPTH_MAX = 64
"""Levels of one expression's syntax tree: its evaluation recurses so deep."""

_NO_REFERENCE = "&… is only for functions that take an expression, such as sort_by(items, &name)"
_ONLY_IN_ITEMS = frozenset({"item", "index"})


class WrongExpression(ValueError):
    """An expression that cannot be compiled; the text says what is wrong and what to do."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position
        """Of the first character that is wrong, from 0, where that is known."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    text: str
    step: Step
    """What evaluates it."""
    cost: int
    """Steps that one evaluation takes, apart from those for each element of a list."""
    keys: tuple[str, ...] | None
    """The members to follow, if it is a plain path; no members for ``@``."""

    filters: tuple[str, ...] | None = None
    """The members to follow to the list that it filters, if it is a plain path and a filter."""

    @property
    def pointer(self) -> str | None:
        """The JSON pointer of a plain path, relative to what it is evaluated on."""
        return None if self.keys is None else "".join("/" + escaped(key) for key in self.keys)


def escaped(key: str) -> str:
    """A member's name as a JSON pointer has it (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def compiled(text: str, *, in_items: bool = False) -> Expression:
    """The expression; :class:`WrongExpression` if it is none. ``in_items``: ``item()`` and ``index()`` are known."""
    if len(text) > LENGTH_MAX:
        raise WrongExpression(f"{len(text)} characters; an expression may have {LENGTH_MAX}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the library's deprecated literals are faults here
            parsed: Any = jmespath.compile(text).parsed
    except RecursionError:
        raise WrongExpression("nested too deeply") from None
    except PendingDeprecationWarning:
        raise WrongExpression("`…` holds no JSON: write text in single quotes, and numbers as `1.5`") from None
    except Exception as error:  # noqa: BLE001 - the library's parser also raises IndexError and the like
        raise _explained(error, text) from None
    if parsed["type"] == "expref":
        raise WrongExpression(_NO_REFERENCE)
    tree = _checked(parsed, 1, in_items=in_items)
    step, cost = step_of(tree)
    filtered = tree["type"] == "filter_projection" and tree["children"][1]["type"] == "identity"
    return Expression(text, step, cost, _plain(tree), _plain(tree["children"][0]) if filtered else None)


def _explained(error: Exception, text: str) -> WrongExpression:
    if isinstance(error, EmptyExpressionError) or not text.strip():
        return WrongExpression("the expression is empty: write the path of a value, such as order.id", 0)
    if isinstance(error, IncompleteExpressionError):
        return WrongExpression("the expression ends too early", len(text))
    if isinstance(error, ParseError):
        position = min(max(0, error.lex_position), len(text))
        if position == len(text):
            return WrongExpression("the expression ends too early", position)
        found, hint = text[position : position + 20], _hint(text, position)
        return WrongExpression(f"not understood from character {position + 1} on, at {found!r}{hint}", position)
    return WrongExpression("not understood: see https://jmespath.org/specification.html")


def _hint(text: str, position: int) -> str:
    if text[position : position + 1] == "-" or text[position - 1 : position] == "-":
        return ': quote a name with a hyphen, as in order."ship-to"'
    if text[position : position + 1] == "$":
        return ": the whole document is root()"
    if text[position : position + 1].isdigit():
        return ": write numbers in backticks, as in `1.5`, and members that are digits in double quotes"
    if text[position : position + 1] == "=":
        return ": equality is =="
    return ""


def _checked(node: Any, depth: int, *, in_items: bool) -> Any:
    """A copy of a syntax tree (the library caches the original), checked, its literals exact."""
    if depth > DEPTH_MAX:
        raise WrongExpression(f"nested deeper than {DEPTH_MAX} levels: simplify it")
    children = node["children"]
    match node["type"]:
        case "literal":
            return {**node, "value": _exact(node["value"])}
        case "slice":
            if children[2] == 0:
                raise WrongExpression("a slice with a step of 0")
            return node
        case "function_expression":
            _check_call(node, in_items=in_items)
        case _ if any(child["type"] == "expref" for child in children):
            raise WrongExpression(_NO_REFERENCE)
    return {**node, "children": [_checked(child, depth + 1, in_items=in_items) for child in children]}


def _check_call(node: Any, *, in_items: bool) -> None:
    name, given = node["value"], node["children"]
    function = FUNCTIONS.get(name)
    if function is None:
        known = ", ".join(sorted(FUNCTIONS))
        raise WrongExpression(f"there is no function {name}(); there are {known}")
    if name in _ONLY_IN_ITEMS and not in_items:
        raise WrongExpression(f'{name}() is only known in the tables that have "each"')
    if not function.takes_count(len(given)):
        raise WrongExpression(f"{name}() takes {function.arity}, here it has {len(given)}")
    for position, child in enumerate(given):
        if (child["type"] == "expref") != (function.kind_of(position) is Kind.EXPRESSION):
            wanted = "an expression, such as &name" if child["type"] != "expref" else "a value and no &…"
            raise WrongExpression(f"argument {position + 1} of {name}() is {wanted}")


def _exact(value: Any) -> Any:
    if isinstance(value, float):
        try:
            return exact.number(repr(value))
        except ValueError:
            raise WrongExpression("a literal that is no sensible number") from None
    if isinstance(value, list):
        return [_exact(element) for element in value]
    if isinstance(value, dict):
        return {key: _exact(element) for key, element in value.items()}
    return value


def _plain(tree: Any) -> tuple[str, ...] | None:
    match tree["type"]:
        case "current":
            return ()
        case "field":
            return (tree["value"],)
        case "subexpression" if all(child["type"] == "field" for child in tree["children"]):
            return tuple(child["value"] for child in tree["children"])
    return None
