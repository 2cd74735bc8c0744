"""Names of orders, events and causes: as they are given to the commands, and as the commands print them."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol
from urllib.parse import quote

from relay.cli.terms import fail

REFERENCE_HELP = "What the customer calls it (#1001), its external id, order:12, or event:17."


class Asks(Protocol):
    """Where the relay is asked."""

    def ask(self, path: str, member: str) -> Any:
        """What it answers."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, or a held order, that was named."""

    name: str
    order_id: int | None = None
    event_id: int | None = None


def event_number(reference: str) -> int | None:
    """17, of ``event:17``; ``None`` for what names no event."""
    return _number(reference, "event")


def event_named(desk: Asks, reference: str) -> int | None:
    """The id of an event from which no order could be read, if that is what is meant; the command ends if there is no
    such event."""
    event_id = _number(reference, "event")
    if event_id is not None:
        desk.ask(f"/api/dead-letters/events/{event_id}", "event")
    return event_id


def orders_named(desk: Asks, reference: str) -> list[dict[str, Any]]:
    """Every order that may be meant; the command ends if there is none."""
    order_id = _number(reference, "order")
    if order_id is not None:
        return [desk.ask(f"/api/orders/{order_id}", "order")["order"]]
    found: list[dict[str, Any]] = desk.ask(f"/api/orders?reference={quote(reference, safe='')}", "orders")["orders"]
    if not found:
        fail(f"no order {reference!r}: neither a reference nor an external id that was ever accepted here")
    return found


def one_named(desk: Asks, reference: str) -> dict[str, Any]:
    """The one order that is meant; the command ends if there is none, or there may be several."""
    found = orders_named(desk, reference.strip())
    if len(found) > 1:
        _fail_of_several(reference, found)
    return found[0]


def letters_named(desk: Asks, references: Sequence[str], states: Sequence[str]) -> list[Letter]:
    """The dead letters that are meant; the command ends if one of them is none, or may be several.

    ``states``: in which an order must be.
    """
    return [_letter(desk, reference.strip(), states) for reference in references]


def held_named(desk: Asks, references: Sequence[str]) -> list[Letter]:
    """The held orders that are meant; the command ends if one of them is none, or may be several."""
    return [_one_of(desk, reference.strip(), _is_held, "not held") for reference in references]


def _is_held(order: dict[str, Any]) -> bool:
    """Also while a newer event of it is being asked about."""
    return order["held_since"] is not None


def _letter(desk: Asks, reference: str, states: Sequence[str]) -> Letter:
    event_id = event_named(desk, reference)
    if event_id is not None:
        return Letter(f"event:{event_id}", event_id=event_id)
    return _one_of(desk, reference, lambda order: order["state"] in states, "no dead letter")


def _one_of(desk: Asks, reference: str, wanted_is: Callable[[dict[str, Any]], bool], else_is: str) -> Letter:
    found = orders_named(desk, reference)
    wanted = [order for order in found if wanted_is(order)]
    if not wanted:
        places = "; ".join(f"{name_of(order)} of {order['storefront']} is {order['place']}" for order in found)
        fail(f"{reference} is {else_is}: {places}")
    if len(wanted) > 1:
        _fail_of_several(reference, wanted)
    return Letter(name_of(wanted[0]), order_id=wanted[0]["id"])


def _fail_of_several(reference: str, orders: Sequence[dict[str, Any]]) -> NoReturn:
    rows = "\n".join(
        f"  order:{o['id']}  {name_of(o)} of {o['storefront']}, id {o['external_id']}, {o['state']}" for o in orders
    )
    fail(f"{reference} may be any of {len(orders)} orders. Say which:\n{rows}")


def _number(reference: str, what: str) -> int | None:
    """17, of ``event:17``."""
    kind, _, number = reference.partition(":")
    return int(number) if kind == what and number.isascii() and number.isdigit() and len(number) <= 18 else None


def name_of(order: dict[str, Any]) -> str:
    """What an order is called."""
    return str(order["reference"] or order["external_id"])


def as_word(name: str) -> str:
    """A name as it is written on a command line: ``'#1001'``."""
    return shlex.quote(name)


def code_of(cause: dict[str, Any]) -> str:
    """``429 api.errors.unknown``; the status is left out where the code says it."""
    code, status = str(cause["code"]), cause.get("status")
    return code if status is None or not code or code == f"http_{status}" else f"{status} {code}"


def words_of(cause: dict[str, Any] | None) -> str:
    """Status, code and message."""
    return "" if cause is None else ": ".join(part for part in (code_of(cause), cause["message"]) if part)


def count(number: int, what: str) -> str:
    """``1 order``, ``2 orders``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
