"""Numbers exactly as they were written: decimals in one canonical form, never a binary float.

``20``, ``20.00`` and ``2e1`` are the same number and get the same form, so that equal sales are equal bytes. Every
function bounds what it takes, because a few characters (``1e999999``) can stand for megabytes.
"""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_MAX_CHARACTERS = 100  # any program's rendering of a double is shorter
_PLAIN_MAX_DIGITS = 30  # up to here a whole number is written without an exponent
_CONTEXT = Context(prec=500, Emax=10_000, Emin=-10_000, traps=[Inexact, InvalidOperation])
_ONE, _ZERO = Decimal(1), Decimal(0)
_MONEY_LIMIT = Decimal(10) ** 15
_MONEY_MAX_DECIMALS = 30
_INT32_MAX = 2**31 - 1
_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    str: "text",
    dict: "an object",
    list: "a list",
    float: "a binary float",
}


def number(text: str) -> Decimal:
    """A JSON number's text as a canonical decimal. Meant as msgspec's ``float_hook``.

    Raises :class:`ValueError` for what no sensible number is: more than 100 characters, or an exponent of more than
    three digits.
    """
    if len(text) <= _PLAIN_MAX_DIGITS and _PLAIN.fullmatch(text):  # almost all there are, in a third of the time
        return Decimal(text.rstrip("0").rstrip(".") if "." in text else text) or _ZERO
    if len(text) > _MAX_CHARACTERS or not _NUMBER.fullmatch(text):
        raise ValueError("expected a number of at most 100 characters with an exponent of at most three digits")
    return canonical(Decimal(text))


def canonical(value: Decimal) -> Decimal:
    """The same number without trailing zeros, without minus zero, and without an exponent where that is sensible.

    Raises :class:`ArithmeticError` beyond 500 digits.
    """
    if not value:
        return _ZERO
    plain = value.normalize(_CONTEXT)
    if 0 <= plain.adjusted() < _PLAIN_MAX_DIGITS and plain == plain.to_integral_value():
        return plain.quantize(_ONE, context=_CONTEXT)
    return plain


def decimal(value: object) -> Decimal:
    """A number from a JSON number or its text, exactly. Raises :class:`ValueError` fit to be shown to a person."""
    if isinstance(value, str):
        try:
            return number(value)
        except ValueError:
            raise ValueError(f"expected a number such as 19.90, found {shown(value)}") from None
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < 1_000:
        return canonical(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value) if -_INT32_MAX <= value <= _INT32_MAX else number(str(value))
    raise ValueError(f"expected a number such as 19.90, found {kind(value)}")


def money(value: object) -> Decimal:
    """An amount in major units (``19.9``) from a JSON number or its text.

    Raises :class:`ValueError`, fit to be shown to a person, for anything else: a float, ``NaN``, thousands
    separators, 10^15 and above, more than 30 decimals.
    """
    amount = decimal(value)
    if abs(amount) >= _MONEY_LIMIT or decimals(amount) > _MONEY_MAX_DECIMALS:
        raise ValueError("expected an amount below 10^15 with at most 30 decimals")
    return amount


def whole(value: object) -> int:
    """A whole number that fits 32 bits, from a JSON number or its text. Raises :class:`ValueError` otherwise."""
    if type(value) is int and -_INT32_MAX <= value <= _INT32_MAX:
        return value
    amount = decimal(value)
    if decimals(amount) != 0 or abs(amount) > _INT32_MAX:
        raise ValueError(f"expected a whole number that fits 32 bits, found {shown(str(amount))}")
    return int(amount)


def decimals(amount: Decimal) -> int:
    """How many digits a canonical number has behind the point."""
    return max(0, -int(amount.as_tuple().exponent))


def shown(text: str) -> str:
    """A value for a message: quoted, and cut at 40 characters."""
    return repr(text if len(text) <= 40 else text[:40] + "…")


def kind(value: object) -> str:
    """What a decoded JSON value is, for a message that must not repeat the value itself."""
    return _KINDS.get(type(value), "a number")
