"""The fields of a Squarespace order (Orders API 1.0) that a sale is made from.

Permissive leaves (``Any``), because a wrong type is an outcome with a pointer and not an exception.
"""

from typing import Annotated, Any

import msgspec

from relay.core import exact
from relay.core.sale import Reason
from relay.core.sources.values import ENTRIES, LINES, undecoded


class Money(msgspec.Struct, gc=False):
    """An amount: text in older answers, a number in newer ones."""

    value: Any = None
    currency: Any = None


class Address(msgspec.Struct, gc=False, rename="camel"):
    """The billing or shipping address."""

    first_name: Any = None
    last_name: Any = None
    address1: Any = None
    address2: Any = None
    city: Any = None
    state: Any = None
    postal_code: Any = None
    country_code: Any = None
    phone: Any = None


class Line(msgspec.Struct, gc=False, rename="camel"):
    """A line item."""

    id: Any = None
    line_item_type: Any = None
    product_name: Any = None
    quantity: Any = None
    sku: Any = None
    variant_id: Any = None
    unit_price_paid: Money | None = None
    customizations: Any = None
    variant_options: Any = None


class ShippingLine(msgspec.Struct, gc=False):
    """A shipping line."""

    method: Any = None
    amount: Money | None = None


class DiscountLine(msgspec.Struct, gc=False, rename="camel"):
    """A discount on the whole order."""

    promo_code: Any = None
    amount: Money | None = None


class Order(msgspec.Struct, gc=False, rename="camel"):
    """An order."""

    id: Any = None
    order_number: Any = None
    created_on: Any = None
    modified_on: Any = None
    testmode: Any = None
    customer_email: Any = None
    fulfillment_status: Any = None
    price_tax_interpretation: Any = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    line_items: Annotated[list[Line], LINES] | None = None
    shipping_lines: Annotated[list[ShippingLine], ENTRIES] | None = None
    shipping_option_service_type: Any = None
    discount_lines: Annotated[list[DiscountLine], ENTRIES] | None = None
    discount_total: Money | None = None
    shipping_total: Money | None = None
    refunded_total: Money | None = None
    tax_total: Money | None = None
    grand_total: Money | None = None
    form_submission: Any = None
    internal_notes: Any = None


class Head(msgspec.Struct, gc=False, rename="camel"):
    """The few fields that tell which state of which order it is."""

    id: Any = None
    order_number: Any = None
    created_on: Any = None
    modified_on: Any = None
    testmode: Any = None
    fulfillment_status: Any = None


_orders = msgspec.json.Decoder(Order, float_hook=exact.number)
_heads = msgspec.json.Decoder(Head, float_hook=exact.number)


def opened(body: bytes) -> Order | Reason:
    """A fetched order. Raises :class:`RecursionError` for a body nested too deeply."""
    try:
        return _orders.decode(body)
    except ValueError as error:
        return undecoded(error)


def head(body: bytes) -> Head | Reason:
    """A fetched order's head. Raises :class:`RecursionError` for a body nested too deeply."""
    try:
        return _heads.decode(body)
    except ValueError as error:
        return undecoded(error)


def is_cancelled(order: Order | Head) -> bool:
    """Whether the merchant cancelled it. A refund alone does not: it may be of a part."""
    return bool(order.fulfillment_status == "CANCELED")
