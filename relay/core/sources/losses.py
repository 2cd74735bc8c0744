"""What a sale does not carry, said in the same words for every source that finds it."""

from typing import Literal

from relay.core import exact
from relay.core.sources.findings import Findings


def tax(found: Findings, pointer: str, amount: object, taxes: Literal["leave", "send"]) -> None:
    """The order's own tax, where Jetti is left to calculate one."""
    if taxes == "leave" and is_some(amount):
        found.note(pointer, 'the order\'s tax is not sent, Jetti calculates its own; taxes = "send" sends it')


def address(found: Findings, pointer: str) -> None:
    """Goods, and nowhere to send them."""
    found.note(pointer, "the order has goods and no shipping address; none is made up")


def is_some(amount: object) -> bool:
    """Whether an amount is there and is not 0; what cannot be read may well be one."""
    if amount is None or (isinstance(amount, str) and not amount.strip()):
        return False
    try:
        return bool(exact.decimal(amount))
    except ValueError:
        return True
