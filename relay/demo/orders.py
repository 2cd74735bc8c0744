"""Orders that never were, as Shopify's REST Admin API would write them, and what Jetti must come to know of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from relay.core import instant
from relay.core.instant import SECOND, Instant

_CURRENCY = "EUR"
_GOODS = (
    ("Mug", "Blue", "12.50"), ("Poster", "A2", "20.00"), ("Tea", "250 g", "7.95"), ("Notebook", "Dotted", "9.40"),
    ("Lamp", "Brass", "89.00"), ("Scarf", "Wool", "34.90"), ("Candle", "Cedar", "15.25"), ("Apron", "Linen", "27.80"),
)  # fmt: skip
_FIRST_NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Radia", "Niklaus", "Frances", "Ken")
_LAST_NAMES = ("Buyer", "Customer", "Patron", "Client", "Shopper", "Regular", "Guest")
_CITIES = (("Amsterdam", "1012 AB", "NL"), ("Lyon", "69002", "FR"), ("Turin", "10121", "IT"), ("Ghent", "9000", "BE"))


@dataclass(frozen=True, slots=True)
class Content:
    """What one state of an order comes to: read out of a sale, or known by who made the order up."""

    marker: str
    """The order's note, which names the state."""
    lines: tuple[tuple[str, int, Decimal], ...]
    """Id, quantity and price of each."""
    discounts: Decimal
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order."""

    id: int
    goods: tuple[str, str, str]
    quantity: int
    discount: Decimal
    engraving: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """What stays the same of an order."""

    number: int
    created_at: Instant
    changed_at: Instant
    """When its versions begin to be made, one a second."""
    first_name: str
    last_name: str
    city: tuple[str, str, str]
    lines: tuple[Line, ...] = field(repr=False)

    @property
    def external_id(self) -> str:
        """Shopify's id of it."""
        return str(5_500_000_000_000 + self.number)

    @property
    def reference(self) -> str:
        """What the customer calls it."""
        return f"#{self.number}"


@dataclass(frozen=True, slots=True)
class State:
    """One version of an order. The higher, the newer."""

    order: Order
    version: int
    look: int
    """Versions of the same look differ in nothing that Jetti would see."""
    cancelled: bool = False

    @property
    def updated_at(self) -> Instant:
        """Shopify's version of the order: when it was changed."""
        return self.order.changed_at + self.version * SECOND

    @property
    def content(self) -> Content:
        """What Jetti must come to know of it."""
        lines = tuple((str(line.id), self._quantity(line), Decimal(line.goods[2])) for line in self.order.lines)
        discounts = sum((line.discount for line in self.order.lines), Decimal(0))
        return Content(self._marker, lines, discounts, self.cancelled)

    def body(self) -> bytes:
        """The webhook's body."""
        return json.dumps(self._order()).encode()

    def trimmed(self) -> bytes:
        """The body as a subscription with ``include_fields`` sends it: without the lines, so no sale can be made."""
        kept = ("id", "name", "email", "created_at", "updated_at", "financial_status")
        return json.dumps({name: value for name, value in self._order().items() if name in kept}).encode()

    @property
    def _marker(self) -> str:
        return f"state {self.look} of {self.order.reference}"

    def _quantity(self, line: Line) -> int:
        return line.quantity + (self.look if line is self.order.lines[0] else 0)

    def _order(self) -> dict[str, Any]:
        order = self.order
        email = f"{order.first_name}.{order.last_name}@buyer.example".lower()
        goods = sum((Decimal(line.goods[2]) * self._quantity(line) for line in order.lines), Decimal(0))
        discounts = self.content.discounts
        return {
            "id": int(order.external_id),
            "admin_graphql_api_id": f"gid://shopify/Order/{order.external_id}",
            "name": order.reference,
            "order_number": order.number,
            "email": email,
            "contact_email": email,
            "phone": None,
            "created_at": instant.iso(order.created_at),
            "updated_at": instant.iso(self.updated_at),
            "processed_at": instant.iso(order.created_at),
            "cancelled_at": instant.iso(self.updated_at) if self.cancelled else None,
            "cancel_reason": "customer" if self.cancelled else None,
            "confirmed": True,
            "test": False,
            "currency": _CURRENCY,
            "presentment_currency": _CURRENCY,
            "financial_status": "paid" if self.version > 1 else "pending",
            "fulfillment_status": None,
            "note": self._marker,
            "note_attributes": [],
            "tags": f"demo, seen-{self.version}",
            "taxes_included": True,
            "subtotal_price": str(goods - discounts),
            "total_discounts": str(discounts),
            "total_line_items_price": str(goods),
            "total_price": str(goods - discounts + 5),
            "total_price_set": _both(str(goods - discounts + 5)),
            "customer": {"id": order.number, "email": email, **_name(order), "phone": None, "tags": ""},
            "billing_address": _address(order),
            "shipping_address": _address(order),
            "line_items": [_line(line, self._quantity(line)) for line in order.lines],
            "shipping_lines": [{"code": "STD", "title": "Standard", "source": "shopify", "price": "5.00"}],
        }


def made_up(number: int, created_at: Instant, changed_at: Instant, chance: Random) -> Order:
    """An order with one to five lines; some are discounted, some engraved."""
    lines = tuple(_made_up_line(number * 10 + n, chance) for n in range(chance.randint(1, 5)))
    names = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    return Order(number, created_at, changed_at, *names, chance.choice(_CITIES), lines)


def content_of(sale: bytes) -> Content | None:
    """What a sale says, read without the relay's help; ``None`` when it is not of this shape."""
    try:
        said = json.loads(sale, parse_float=Decimal)
        defaults: Mapping[str, Any] = said["saleDefaults"]
        lines: Sequence[Mapping[str, Any]] = said["lineItems"]
        return Content(
            str(defaults["notes"]),
            tuple((str(line["externalId"]), int(line["quantity"]), Decimal(line["price"])) for line in lines),
            Decimal(defaults.get("discounts", 0)),
            bool(defaults.get("cancelled", False)),
        )
    except (ValueError, KeyError, TypeError, ArithmeticError):
        return None


def _made_up_line(line_id: int, chance: Random) -> Line:
    discount = Decimal(chance.choice(("0.00", "0.00", "0.00", "1.50", "2.25")))
    engraving = chance.choice((None, None, None, "For Ada & Grace", "Happy birthday"))
    return Line(line_id, chance.choice(_GOODS), chance.randint(1, 3), discount, engraving)


def _line(line: Line, quantity: int) -> dict[str, Any]:
    title, variant, price = line.goods
    off = [{"amount": str(line.discount), "amount_set": _both(str(line.discount)), "discount_application_index": 0}]
    return {
        "id": line.id,
        "admin_graphql_api_id": f"gid://shopify/LineItem/{line.id}",
        "name": f"{title} - {variant}",
        "title": title,
        "variant_title": variant,
        "variant_id": 40_000_000_000 + line.id,
        "sku": f"{title}-{variant}".upper().replace(" ", ""),
        "quantity": quantity,
        "current_quantity": quantity,
        "price": price,
        "price_set": _both(price),
        "taxable": True,
        "gift_card": False,
        "requires_shipping": True,
        "properties": [{"name": "Engraving", "value": line.engraving}] if line.engraving else [],
        "discount_allocations": off if line.discount else [],
        "duties": [],
    }


def _both(amount: str) -> dict[str, Any]:
    money = {"amount": amount, "currency_code": _CURRENCY}
    return {"shop_money": money, "presentment_money": money}


def _name(order: Order) -> dict[str, str]:
    return {"first_name": order.first_name, "last_name": order.last_name}


def _address(order: Order) -> dict[str, Any]:
    city, code, country = order.city
    name = f"{order.first_name} {order.last_name}"
    return {
        **_name(order), "name": name, "company": None, "address1": f"Demo Street {order.number % 97 + 1}",
        "address2": None, "city": city, "zip": code, "province": None, "province_code": None, "country_code": country,
        "phone": "+31 20 555 0100",
    }  # fmt: skip
