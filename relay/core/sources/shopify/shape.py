"""The fields of a Shopify order that a sale is made from, in the shape of the REST Admin API.

Permissive leaves (``Any``), because a wrong type is an outcome with a pointer and not an exception. Sets of amounts
stay raw: they are decoded only where the buyer's currency is wanted.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from relay.core import exact
from relay.core.sale import Reason
from relay.core.sources.values import ENTRIES, LINES, undecoded


class Address(msgspec.Struct, gc=False):
    """A billing or shipping address."""

    first_name: Any = None
    last_name: Any = None
    name: Any = None
    company: Any = None
    address1: Any = None
    address2: Any = None
    city: Any = None
    province: Any = None
    province_code: Any = None
    zip: Any = None
    country: Any = None
    country_code: Any = None
    phone: Any = None


class Customer(msgspec.Struct, gc=False):
    """The customer as the shop knows them; absent without access to protected data."""

    first_name: Any = None
    last_name: Any = None
    email: Any = None
    phone: Any = None


class Money(msgspec.Struct, gc=False):
    """An amount, in text, and its currency."""

    amount: Any = None
    currency_code: Any = None


class MoneySet(msgspec.Struct, gc=False):
    """One amount in the shop's currency and in the one the buyer saw."""

    presentment_money: Money | None = None


class Allocation(msgspec.Struct, gc=False):
    """What one discount takes off one line, all units together."""

    amount: Any = None
    amount_set: msgspec.Raw | UnsetType = UNSET


class Line(msgspec.Struct, gc=False):
    """A line item. ``quantity`` is as ordered, ``current_quantity`` after refunds and edits."""

    id: Any = None
    name: Any = None
    title: Any = None
    quantity: Any = None
    current_quantity: Any = None
    price: Any = None
    price_set: msgspec.Raw | UnsetType = UNSET
    taxable: Any = None
    variant_id: Any = None
    sku: Any = None
    requires_shipping: Any = None
    properties: Any = None
    gift_card: Any = None
    tip: Any = None
    duties: Any = None
    discount_allocations: Annotated[list[Allocation], ENTRIES] | None = None


class ShippingLine(msgspec.Struct, gc=False):
    """A shipping line."""

    code: Any = None
    title: Any = None
    source: Any = None
    carrier_identifier: Any = None
    price: Any = None
    price_set: msgspec.Raw | UnsetType = UNSET
    discounted_price: Any = None
    discounted_price_set: msgspec.Raw | UnsetType = UNSET
    is_removed: Any = None
    discount_allocations: list[Allocation] | None = None


class Refund(msgspec.Struct, gc=False):
    """A refund: of lines, whose quantities say so, and of amounts that belong to no line."""

    order_adjustments: Any = None
    refund_line_items: Any = None
    transactions: Any = None


class Order(msgspec.Struct, gc=False):
    """An order; ``order`` where the body wraps it."""

    id: Any = None
    name: Any = None
    order_number: Any = None
    created_at: Any = None
    updated_at: Any = None
    cancelled_at: Any = UNSET
    cancel_reason: Any = None
    email: Any = None
    contact_email: Any = None
    phone: Any = None
    currency: Any = None
    presentment_currency: Any = None
    note: Any = None
    note_attributes: Any = None
    taxes_included: Any = None
    total_tax: Any = None
    total_tax_set: msgspec.Raw | UnsetType = UNSET
    current_total_price: Any = None
    current_total_tax: Any = None
    current_total_tax_set: msgspec.Raw | UnsetType = UNSET
    total_tip_received: Any = None
    total_discounts: Any = None
    total_discounts_set: msgspec.Raw | UnsetType = UNSET
    current_total_duties_set: Any = None
    original_total_duties_set: Any = None
    current_total_additional_fees_set: Any = None
    original_total_additional_fees_set: Any = None
    payment_gateway_names: Any = None
    tags: Any = None
    refunds: list[Refund] | None = None
    customer: Customer | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    line_items: Annotated[list[Line], LINES] | None = None
    shipping_lines: Annotated[list[ShippingLine], ENTRIES] | None = None
    order: msgspec.Raw | UnsetType = UNSET


_orders = msgspec.json.Decoder(Order, float_hook=exact.number)
_money_sets = msgspec.json.Decoder(MoneySet, float_hook=exact.number)


def opened(body: bytes) -> tuple[Order, str] | Reason:
    """A body's order, and the pointer to where in the body it is (the REST API wraps it in ``order``).

    Raises :class:`RecursionError` for a body nested too deeply.
    """
    try:
        order = _orders.decode(body)
        if order.id is None and order.order is not UNSET:
            return _orders.decode(order.order), "/order"
    except ValueError as error:
        return undecoded(error)
    return order, ""


def presentment(both: msgspec.Raw | UnsetType) -> Money | None:
    """The buyer's side of a set of amounts; ``None`` where there is none."""
    if both is UNSET or both == b"null":
        return None
    try:
        return _money_sets.decode(both).presentment_money
    except ValueError:
        return None
