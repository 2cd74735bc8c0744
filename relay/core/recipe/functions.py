"""The functions of an expression: those of the JMESPath specification, and what orders need besides.

All are exact and bounded. They differ from the specification where it would refuse an order for nothing: arithmetic
takes a number in text (``"19.90"``), ``join`` takes numbers and leaves nulls out, and of nothing a function makes
nothing: ``split(' ', customer.name)`` is null where there is no name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from enum import Enum
from typing import Any, Protocol

import msgspec

from relay.core import exact

TEXT_MAX = 100_000
"""Characters of a text that a function makes."""

_ARITHMETIC = Context(prec=200, rounding=ROUND_HALF_UP, traps=[InvalidOperation, DivisionByZero, Overflow])
_QUOTIENT_DECIMALS = Decimal("0.000001")
_DECIMALS_MAX = 30
_json = msgspec.json.Encoder(decimal_format="number")


class Unevaluable(Exception):
    """An expression has no value for this order; the text says why, without any value of the order."""


class Kind(Enum):
    """What an argument has to be."""

    ANY = "anything"
    NUMBER = "a number, or text that is one"
    TEXT = "text"
    LIST = "a list"
    OBJECT = "an object"
    EXPRESSION = "an expression"


class Around(Protocol):
    """What a function sees of the evaluation that calls it."""

    root: object
    item: object
    index: int | None

    def charge(self, steps: int) -> None:
        """Count steps."""

    def weigh(self, value: object) -> None:
        """Count a value as large as it is."""

    def equal(self, left: object, right: object) -> bool:
        """Whether two values are equal."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function: what it takes and does."""

    name: str
    takes: tuple[Kind, ...]
    variadic: bool
    """Whether the last argument may be repeated."""
    body: Callable[..., Any]

    @property
    def arity(self) -> str:
        """In words."""
        count = len(self.takes)
        return f"{'at least ' if self.variadic else ''}{count} argument{'' if count == 1 else 's'}"

    def takes_count(self, count: int) -> bool:
        """Whether so many arguments are right."""
        return count >= len(self.takes) if self.variadic else count == len(self.takes)

    def kind_of(self, position: int) -> Kind:
        """What the argument at a position has to be."""
        return self.takes[min(position, len(self.takes) - 1)]

    def call(self, around: Around, given: Sequence[object]) -> Any:
        """The function's value; :class:`Unevaluable` if an argument is wrong."""
        if any(value is None and self.kind_of(position) is not Kind.ANY for position, value in enumerate(given)):
            return None
        arguments = [self._argument(position, value) for position, value in enumerate(given)]
        try:
            return self.body(around, *arguments)
        except Unevaluable as error:
            raise Unevaluable(f"{self.name}(): {error}") from None
        except ArithmeticError:
            raise Unevaluable(f"{self.name}(): no result that could be a number of an order") from None

    def _argument(self, position: int, value: object) -> object:
        kind = self.kind_of(position)
        try:
            return _CHECKS[kind](value)
        except ValueError:
            found = exact.kind(value)
            raise Unevaluable(f"{self.name}() expects {kind.value} as argument {position + 1}, found {found}") from None


def _only(*types: type) -> Callable[[object], object]:
    def check(value: object) -> object:
        if not isinstance(value, types):
            raise ValueError  # noqa: TRY004 - told by the caller, who knows the argument
        return value

    return check


_CHECKS: dict[Kind, Callable[[object], object]] = {
    Kind.ANY: lambda value: value,
    Kind.NUMBER: exact.decimal,
    Kind.TEXT: _only(str),
    Kind.LIST: _only(list),
    Kind.OBJECT: _only(dict),
    Kind.EXPRESSION: lambda value: value,
}

FUNCTIONS: dict[str, Function] = {}


def _function(name: str, *takes: Kind, variadic: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        FUNCTIONS[name] = Function(name, takes, variadic, body)
        return body

    return register


# The document


@_function("root")
def _root(around: Around) -> object:
    """The whole document."""
    return around.root


@_function("item")
def _item(around: Around) -> object:
    """The element of ``each`` that is being mapped."""
    return around.item


@_function("index")
def _index(around: Around) -> object:
    """Its position, from 0."""
    return around.index


# Numbers


def _numbers(values: list[object]) -> list[Decimal]:
    try:
        return [exact.decimal(value) for value in values]
    except ValueError as error:
        raise Unevaluable(str(error).partition(", found")[0]) from None


@_function("sum", Kind.LIST)
def _sum(_: Around, values: list[object]) -> Decimal:
    return _total(_numbers(values))


def _total(numbers: Sequence[Decimal]) -> Decimal:
    total = Decimal(0)
    for number in numbers:
        total = _ARITHMETIC.add(total, number)
    return exact.canonical(total)


@_function("avg", Kind.LIST)
def _avg(_: Around, values: list[object]) -> Decimal | None:
    return _quotient(_total(_numbers(values)), Decimal(len(values))) if values else None


@_function("add", Kind.NUMBER, Kind.NUMBER, variadic=True)
def _add(_: Around, *numbers: Decimal) -> Decimal:
    return _total(numbers)


@_function("subtract", Kind.NUMBER, Kind.NUMBER)
def _subtract(_: Around, one: Decimal, other: Decimal) -> Decimal:
    return exact.canonical(_ARITHMETIC.subtract(one, other))


@_function("multiply", Kind.NUMBER, Kind.NUMBER)
def _multiply(_: Around, one: Decimal, other: Decimal) -> Decimal:
    return exact.canonical(_ARITHMETIC.multiply(one, other))


@_function("divide", Kind.NUMBER, Kind.NUMBER)
def _divide(_: Around, one: Decimal, other: Decimal) -> Decimal | None:
    """Rounded to 6 decimals if it does not come out even; null by zero."""
    return _quotient(one, other) if other else None


def _quotient(one: Decimal, other: Decimal) -> Decimal:
    quotient = _ARITHMETIC.divide(one, other)
    if exact.decimals(quotient) > 6:
        quotient = quotient.quantize(_QUOTIENT_DECIMALS, context=_ARITHMETIC)
    return exact.canonical(quotient)


@_function("round", Kind.NUMBER, Kind.NUMBER)
def _round(_: Around, number: Decimal, decimals: Decimal) -> Decimal:
    """To so many decimals, halves away from zero."""
    if not 0 <= decimals <= _DECIMALS_MAX or exact.decimals(decimals):
        raise Unevaluable(f"expected 0 to {_DECIMALS_MAX} decimals")
    return exact.canonical(number.quantize(Decimal(1).scaleb(-int(decimals)), context=_ARITHMETIC))


@_function("abs", Kind.NUMBER)
def _abs(_: Around, number: Decimal) -> Decimal:
    return exact.canonical(abs(number))


@_function("ceil", Kind.NUMBER)
def _ceil(_: Around, number: Decimal) -> Decimal:
    return exact.canonical(number.quantize(Decimal(1), ROUND_CEILING, _ARITHMETIC))


@_function("floor", Kind.NUMBER)
def _floor(_: Around, number: Decimal) -> Decimal:
    return exact.canonical(number.quantize(Decimal(1), ROUND_FLOOR, _ARITHMETIC))


@_function("to_number", Kind.ANY)
def _to_number(_: Around, value: object) -> Decimal | None:
    try:
        return exact.decimal(value)
    except ValueError:
        return None


# Text


def _bounded(length: int) -> None:
    if length > TEXT_MAX:
        raise Unevaluable(f"the text would be longer than {TEXT_MAX} characters")


@_function("join", Kind.TEXT, Kind.LIST)
def _join(_: Around, glue: str, values: list[object]) -> str:
    parts = [_part(value) for value in values if value is not None]
    _bounded(sum(map(len, parts)) + len(glue) * len(parts))
    return glue.join(parts)


def _part(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return _in_digits(value)
    raise Unevaluable(f"expected texts and numbers, found {exact.kind(value)}")


def _in_digits(number: int | Decimal) -> str:
    try:
        return str(exact.decimal(number))
    except ValueError:
        raise Unevaluable("a number of more than 100 characters") from None


@_function("to_string", Kind.ANY)
def _to_string(around: Around, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return _in_digits(value)
    around.weigh(value)
    try:
        text = _json.encode(value).decode()
    except (ValueError, OverflowError, RecursionError):
        raise Unevaluable("cannot be written as text") from None
    _bounded(len(text))
    return text


@_function("split", Kind.TEXT, Kind.TEXT)
def _split(around: Around, glue: str, text: str) -> list[str]:
    """The parts of a text between a separator, in the order of ``join``'s arguments."""
    if not glue:
        raise Unevaluable("the separator is empty")
    around.charge(len(text) // len(glue))
    return text.split(glue)


@_function("replace", Kind.TEXT, Kind.TEXT, Kind.TEXT)
def _replace(_: Around, text: str, old: str, new: str) -> str:
    if not old:
        raise Unevaluable("the text to replace is empty")
    _bounded(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


@_function("trim", Kind.TEXT)
def _trim(_: Around, text: str) -> str:
    return text.strip()


@_function("lower", Kind.TEXT)
def _lower(_: Around, text: str) -> str:
    return text.lower()


@_function("upper", Kind.TEXT)
def _upper(_: Around, text: str) -> str:
    return text.upper()


@_function("starts_with", Kind.TEXT, Kind.TEXT)
def _starts_with(_: Around, text: str, start: str) -> bool:
    return text.startswith(start)


@_function("ends_with", Kind.TEXT, Kind.TEXT)
def _ends_with(_: Around, text: str, end: str) -> bool:
    return text.endswith(end)


# Lists and objects


@_function("length", Kind.ANY)
def _length(_: Around, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, str | list | dict):
        return len(value)
    raise Unevaluable(f"expected text, a list or an object, found {exact.kind(value)}")


@_function("contains", Kind.ANY, Kind.ANY)
def _contains(around: Around, within: object, sought: object) -> bool | None:
    if within is None:
        return None
    if isinstance(within, str):
        return isinstance(sought, str) and sought in within
    if isinstance(within, list):
        return any(around.equal(element, sought) for element in within)
    raise Unevaluable(f"expected text or a list, found {exact.kind(within)}")


@_function("reverse", Kind.ANY)
def _reverse(_: Around, value: object) -> object:
    if value is None:
        return None
    if isinstance(value, str | list):
        return value[::-1]
    raise Unevaluable(f"expected text or a list, found {exact.kind(value)}")


@_function("to_array", Kind.ANY)
def _to_array(_: Around, value: object) -> object:
    return value if isinstance(value, list) else [value]


@_function("not_null", Kind.ANY, variadic=True)
def _not_null(_: Around, *values: object) -> object:
    return next((value for value in values if value is not None), None)


@_function("type", Kind.ANY)
def _type(_: Around, value: object) -> str:
    names = {bool: "boolean", str: "string", list: "array", dict: "object", type(None): "null"}
    return names.get(type(value), "number")


@_function("keys", Kind.OBJECT)
def _keys(_: Around, value: dict[str, object]) -> list[str]:
    return list(value)


@_function("values", Kind.OBJECT)
def _values(_: Around, value: dict[str, object]) -> list[object]:
    return list(value.values())


@_function("items", Kind.OBJECT)
def _items(around: Around, value: dict[str, object]) -> list[list[object]]:
    """An object's members as pairs."""
    around.charge(2 * len(value))
    return [[name, member] for name, member in value.items()]


@_function("merge", Kind.OBJECT, variadic=True)
def _merge(_: Around, *objects: dict[str, object]) -> dict[str, object]:
    return {name: member for one in objects for name, member in one.items()}


@_function("map", Kind.EXPRESSION, Kind.LIST)
def _map(_: Around, made: Callable[[object], object], values: list[object]) -> list[object]:
    return [made(value) for value in values]


def _comparable(keys: list[object]) -> list[Any]:
    """What can be put in order: only texts, or only numbers."""
    if all(isinstance(key, str) for key in keys):
        return keys
    return list(_numbers(keys)) if not any(isinstance(key, str) for key in keys) else _not_comparable()


def _not_comparable() -> list[Any]:
    raise Unevaluable("expected only numbers or only texts")


def _ranked(values: list[object], made: Callable[[object], object]) -> list[tuple[Any, int]]:
    """The places of a list's elements, each with what it is ranked by."""
    return [(key, place) for place, key in enumerate(_comparable([made(value) for value in values]))]


def _itself(value: object) -> object:
    return value


@_function("sort", Kind.LIST)
def _sort(_: Around, values: list[object]) -> list[object]:
    return [values[place] for _key, place in sorted(_ranked(values, _itself))]


@_function("sort_by", Kind.LIST, Kind.EXPRESSION)
def _sort_by(_: Around, values: list[object], made: Callable[[object], object]) -> list[object]:
    return [values[place] for _key, place in sorted(_ranked(values, made))]


@_function("max", Kind.LIST)
def _max(_: Around, values: list[object]) -> object:
    return _extreme(values, _itself, -1)


@_function("min", Kind.LIST)
def _min(_: Around, values: list[object]) -> object:
    return _extreme(values, _itself, 0)


@_function("max_by", Kind.LIST, Kind.EXPRESSION)
def _max_by(_: Around, values: list[object], made: Callable[[object], object]) -> object:
    return _extreme(values, made, -1)


@_function("min_by", Kind.LIST, Kind.EXPRESSION)
def _min_by(_: Around, values: list[object], made: Callable[[object], object]) -> object:
    return _extreme(values, made, 0)


def _extreme(values: list[object], made: Callable[[object], object], end: int) -> object:
    return values[sorted(_ranked(values, made))[end][1]] if values else None
