"""The fields of a WooCommerce order that a sale is made from, in the shape of the REST API v3.

Permissive leaves (``Any``), because a wrong type is an outcome with a pointer and not an exception. Where PHP had an
array, an empty object is ``[]``, and a list of which a plugin removed an element is an object with numbers for keys.
"""

from typing import Annotated, Any, TypeVar

import msgspec

from relay.core import exact
from relay.core.sale import Reason
from relay.core.sources.values import ENTRIES, LINES, undecoded


class Contact(msgspec.Struct, gc=False):
    """A billing or shipping address; blanks are empty text. Only billing has an e-mail address."""

    first_name: Any = None
    last_name: Any = None
    company: Any = None
    address_1: Any = None
    address_2: Any = None
    city: Any = None
    state: Any = None
    postcode: Any = None
    country: Any = None
    email: Any = None
    phone: Any = None


class Line(msgspec.Struct, gc=False):
    """A line item. ``subtotal`` is before discounts, ``total`` after; both for all units and without tax."""

    id: Any = None
    name: Any = None
    product_id: Any = None
    variation_id: Any = None
    sku: Any = None
    quantity: Any = None
    subtotal: Any = None
    subtotal_tax: Any = None
    total: Any = None
    total_tax: Any = None
    price: Any = None
    taxes: Any = None
    meta_data: Any = None
    bundled_by: Any = None
    composite_parent: Any = None


class ShippingLine(msgspec.Struct, gc=False):
    """A shipping line."""

    method_id: Any = None
    method_title: Any = None
    total: Any = None
    total_tax: Any = None


class Fee(msgspec.Struct, gc=False):
    """A fee, or with a negative total a discount."""

    id: Any = None
    name: Any = None
    total: Any = None
    total_tax: Any = None
    tax_status: Any = None


class Order(msgspec.Struct, gc=False):
    """An order."""

    id: Any = None
    number: Any = None
    status: Any = None
    currency: Any = None
    date_created_gmt: Any = None
    date_modified_gmt: Any = None
    total: Any = None
    total_tax: Any = None
    customer_note: Any = None
    billing: Contact | list[Any] | None = None
    shipping: Contact | list[Any] | None = None
    line_items: Annotated[list[Line], LINES] | Annotated[dict[str, Line], LINES] | None = None
    shipping_lines: Annotated[list[ShippingLine], ENTRIES] | Annotated[dict[str, ShippingLine], ENTRIES] | None = None
    fee_lines: Annotated[list[Fee], ENTRIES] | Annotated[dict[str, Fee], ENTRIES] | None = None
    coupon_lines: Any = None
    refunds: Any = None


_Entry = TypeVar("_Entry")
_orders = msgspec.json.Decoder(Order, float_hook=exact.number)


def opened(body: bytes) -> Order | Reason:
    """A body's order. Raises :class:`RecursionError` for a body nested too deeply."""
    try:
        return _orders.decode(body)
    except ValueError as error:
        return undecoded(error)


def entries(given: "list[_Entry] | dict[str, _Entry] | None") -> "list[tuple[str, _Entry]]":
    """What a list holds, each with the step that leads to it, also where PHP wrote the list as an object."""
    if isinstance(given, dict):
        return list(given.items())
    return [(str(i), entry) for i, entry in enumerate(given or ())]


def status(value: object) -> str:
    """A status as the REST API names it: ``processing``, without the prefix of the database."""
    return value.strip().lower().removeprefix("wc-") if isinstance(value, str) else ""
