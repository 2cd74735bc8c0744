"""Where in an Elastic Path event its order is, and the fields of an order that a sale is made from.

``payload`` has the order as ``data`` and its items as ``included.items``. The deprecated ``resources`` has had three
shapes: text of JSON with those two, an object and a list; the latter two often only name the order.
Permissive leaves (``Any``), because a wrong type is an outcome with a pointer and not an exception.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from relay.core import exact
from relay.core.sources.values import LINES

_Part = msgspec.Raw | UnsetType


class Envelope(msgspec.Struct, gc=False):
    """An event."""

    id: Any = None
    triggered_by: Any = None
    payload: _Part = UNSET
    resources: _Part = UNSET


class _Document(msgspec.Struct, gc=False):
    data: _Part = UNSET
    included: _Part = UNSET


class _Included(msgspec.Struct, gc=False):
    items: _Part = UNSET


class Head(msgspec.Struct, gc=False):
    """The few fields that tell which order it is, and in which state."""

    type: Any = None
    id: Any = None
    status: Any = None
    payment: Any = None
    meta: Any = None
    web_order_id: Any = None
    external_ref: Any = None
    order_number: Any = None


class Money(msgspec.Struct, gc=False):
    """An amount in the currency's smallest units. (``formatted`` is left out: it is known to contradict.)"""

    amount: Any = None
    currency: Any = None
    includes_tax: Any = None


class Display(msgspec.Struct, gc=False):
    """One kind of price of an item: of all its units. (``unit`` is a rounded share of it.)"""

    value: Money | None = None


class ItemPrices(msgspec.Struct, gc=False):
    """What an item costs; ``discount`` is negative, and has the item's share of the order's discounts in it."""

    tax: Display | None = None
    discount: Display | None = None


class ItemMeta(msgspec.Struct, gc=False):
    """What the store calculated for an item."""

    display_price: ItemPrices | None = None


class Item(msgspec.Struct, gc=False):
    """An order's item: a product, a custom item, which may be a charge, or a promotion. Prices are before discounts."""

    id: Any = None
    type: Any = None
    product_id: Any = None
    name: Any = None
    sku: Any = None
    quantity: Any = None
    unit_price: Money | None = None
    custom_inputs: Any = None
    components: Any = None
    meta: ItemMeta | None = None


class Address(msgspec.Struct, gc=False):
    """A billing or shipping address."""

    first_name: Any = None
    last_name: Any = None
    company_name: Any = None
    line_1: Any = None
    line_2: Any = None
    city: Any = None
    county: Any = None
    region: Any = None
    postcode: Any = None
    country: Any = None
    phone_number: Any = None
    instructions: Any = None


class Person(msgspec.Struct, gc=False):
    """A customer, or the contact of a business's account."""

    name: Any = None
    email: Any = None


class Prices(msgspec.Struct, gc=False):
    """An order's sums. ``discount`` is negative and has all discounts in it; ``shipping`` is of shipping groups."""

    with_tax: Money | None = None
    tax: Money | None = None
    discount: Money | None = None
    shipping: Money | None = None


class Timestamps(msgspec.Struct, gc=False):
    """When the order was made, and changed last."""

    created_at: Any = None
    updated_at: Any = None


class Meta(msgspec.Struct, gc=False):
    """What the store calculated for an order."""

    display_price: Prices | None = None
    timestamps: Timestamps | None = None


class Order(msgspec.Struct, gc=False):
    """An order, without its items."""

    id: Any = None
    status: Any = None
    payment: Any = None
    web_order_id: Any = None
    external_ref: Any = None
    order_number: Any = None
    customer: Person | None = None
    contact: Person | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    meta: Meta | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An order in an event, still as JSON."""

    data: bytes
    items: bytes | None
    """``None`` where the event only names the order."""
    root: str
    """JSON pointer of what holds ``data`` and ``included``."""


envelopes = msgspec.json.Decoder(Envelope, float_hook=exact.number)
heads = msgspec.json.Decoder(Head, float_hook=exact.number)
orders = msgspec.json.Decoder(Order, float_hook=exact.number)
items = msgspec.json.Decoder(Annotated[list[Item], LINES], float_hook=exact.number)
_texts = msgspec.json.Decoder(str)
_lists = msgspec.json.Decoder(list[msgspec.Raw])
_documents = msgspec.json.Decoder(_Document, float_hook=exact.number)
_included = msgspec.json.Decoder(_Included)


def found(envelope: Envelope) -> Found | None:
    """The order an event carries, the whole one where there is one, or names.

    Raises :class:`RecursionError` for an event nested too deeply.
    """
    named: Found | None = None
    for part, root in ((envelope.payload, "/payload"), (envelope.resources, "/resources")):
        candidate = _in(_bytes(part), root)
        if candidate is not None and candidate.items is not None:
            return candidate
        named = named or candidate
    return named


def _in(part: bytes, root: str) -> Found | None:
    try:
        if part[:1] == b'"':
            part = _texts.decode(part).strip().encode()
        if part[:1] == b"[":
            listed = _lists.decode(part)
            return _read(bytes(listed[0]), f"{root}/0") if listed else None
        return _read(part, root) if part[:1] == b"{" else None
    except ValueError:
        return None  # no JSON in the deprecated text is nothing in it


def _read(part: bytes, root: str) -> Found:
    document = _documents.decode(part)
    data, included = _bytes(document.data), _bytes(document.included)
    if data[:1] != b"{":
        return Found(part, None, root)  # the order itself, or its name
    listed = _bytes(_included.decode(included).items) if included[:1] == b"{" else b""
    return Found(data, None if listed in (b"", b"null") else listed, root)


def _bytes(part: _Part) -> bytes:
    return b"" if part is UNSET else bytes(part)
