"""Amounts of money between a storefront's ways of writing them and a sale's: exact, per unit, in major units."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal

from relay.core import exact

ARITHMETIC = Context(prec=80, rounding=ROUND_HALF_UP)
"""Wider than any product of what :func:`relay.core.exact.money` lets in."""

_ROUNDED_DECIMALS = Decimal("0.000001")
_WITHOUT = frozenset((
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
    "XPF",
))  # fmt: skip
_WITH_THREE = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
_WITH_FOUR = frozenset(("CLF", "UYW"))


def divided(amount: Decimal, by: int) -> Decimal:
    """A share of an amount, rounded to 6 decimals where it has more."""
    quotient = exact.canonical(ARITHMETIC.divide(amount, Decimal(by)))
    if exact.decimals(quotient) <= 6:
        return quotient
    return exact.canonical(quotient.quantize(_ROUNDED_DECIMALS, context=ARITHMETIC))


def decimals(currency: str, known: Mapping[str, int] | None = None) -> int:
    """How many decimals a currency has: as ``known`` says, else ISO 4217's exponent."""
    if known and currency in known:
        return known[currency]
    if currency in _WITHOUT:
        return 0
    if currency in _WITH_THREE:
        return 3
    return 4 if currency in _WITH_FOUR else 2


def major(minor: object, exponent: int) -> Decimal:
    """An amount in a currency's smallest units (cents), a JSON number or its text, in major units.

    Raises :class:`ValueError`, fit to be shown to a person, for what is no whole number or too large.
    """
    amount = exact.money(minor)
    if exact.decimals(amount):
        raise ValueError("expected an amount in the currency's smallest unit, a whole number")
    return exact.money(ARITHMETIC.scaleb(amount, -exponent))
