"""What a sale does not carry, said in the same words for every source that finds it."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from relay.core import exact
from relay.core.sources.amounts import decimals
from relay.core.sources.findings import Findings


def tax(found: Findings, pointer: str, amount: object, taxes: Literal["leave", "send"]) -> None:
    """The order's own tax, where Jetti is left to calculate one."""
    if taxes == "leave" and is_some(amount):
        found.note(pointer, 'the order\'s tax is not sent, Jetti calculates its own; taxes = "send" sends it')


def address(found: Findings, pointer: str) -> None:
    """Goods, and nowhere to send them."""
    found.note(pointer, "the order has goods and no shipping address; none is made up")


def total(
    found: Findings, pointer: str, said: object, parts: Iterable[Decimal], currency: object, perhaps: str
) -> None:
    """What the buyer pays by the storefront's own sum, if it is another than that of the parts a sale can be made of.

    Raises :class:`ValueError` for a sum that is no amount.
    """
    whole, known = exact.decimal(said), list(parts)
    come_to = exact.canonical(sum(known, Decimal(0)))
    cent = Decimal(1).scaleb(-decimals(currency if isinstance(currency, str) else ""))
    if abs(come_to - whole) > cent * len(known):  # less is rounding
        sums = f"the order's total is {whole}, and its lines, shipping, fees, taxes and discounts come to {come_to}"
        found.note(pointer, f"{sums}: the difference ({perhaps}) is not sent")


def is_some(amount: object) -> bool:
    """Whether an amount is there and is not 0; what cannot be read may well be one."""
    if amount is None or (isinstance(amount, str) and not amount.strip()):
        return False
    try:
        return bool(exact.decimal(amount))
    except ValueError:
        return True
