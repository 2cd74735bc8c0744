"""What making a sale costs: for every kind of storefront, for few lines and for many, with everything off and on.

The orders are made up; the recipe, the override and the shape are such as operators write. All of it is in this process
and on one core, because nothing waits here.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec

from relay.bench import orders
from relay.clock import SystemClock
from relay.core.delivery import HeadStarts, Lane, State
from relay.core.mapping import Made, Maker
from relay.core.order import Order
from relay.core.recipe import compile_criterion, compile_override, compile_recipe
from relay.core.recipe.reading import Reading
from relay.core.shaping import compiled
from relay.core.sources import FETCHED_TOPIC, Source
from relay.core.sources.bigcommerce import BigCommerce
from relay.core.sources.elasticpath import ElasticPath
from relay.core.sources.hmac_signed import HmacSigned
from relay.core.sources.native import Native
from relay.core.sources.shopify import Shopify
from relay.core.sources.squarespace import Squarespace
from relay.core.sources.standard import Standard
from relay.core.sources.woocommerce import WooCommerce

LINES = (5, 500)
_NOW = 1_795_000_000_000_000
_BATCHES = 7
_SECRET = "bench"
ORDER = Order(
    id=1, storefront="shop", external_id="1", channel="main", reference=None, version=None, revision=1, event_id=1,
    cancelled_at=None, delivered_revision=0, delivered_digest=None, state=State.WAITING, lane=Lane.NEW, due_at=_NOW,
    urgency=HeadStarts().urgency(Lane.NEW, _NOW), accepted_at=_NOW, since=_NOW,
)  # fmt: skip
"""Whose order it is does not matter to what it costs."""
_RECIPE = {
    "external_id": "id",
    "version": "changed",
    "sale": {"reference": {"template": "#{number}"}, "shippingCountry": "ship.country", "notes": "note"},
    "customer": {"email": "mail", "firstName": "split(' ', name)[0]"},
    "line_items": {
        "each": "items[?kind == 'product']", "externalId": "id", "quantity": "qty", "price": "divide(total, qty)",
        "name": "title", "sku": "sku", "properties": {"each": "options", "key": "name", "value": "value"},
    },
}  # fmt: skip
_OVERRIDE = {
    "sale": {"internalNotes": "join(' ', [sale.externalId, sale.saleDefaults.reference])"},
    "line_items": {"name": "join(' ', [name, 'x'])"},
}
_SHAPE = {
    "split_lines": True,
    "routing": [
        {"route": "dropship", "dropship_provider_id": "7", "sku": ["DS-*", "*-DROP"]},
        {"route": "fulfill", "warehouse_id": "1", "when": "line.price > `100`"},
        {"route": "automated"},
    ],
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of storefront, with an order of so many lines."""

    source: Source
    topic: str
    body: Callable[[int], bytes]
    webhook: bytes | None = None
    """What it sends, where that only names the order."""


def measured(seconds: float) -> dict[str, Any]:
    """Microseconds, the median of some batches: ``{kind: {lines: {"identify", "plain", "shaped"}}}``.

    ``seconds``: how long all of it takes, about.
    """
    of_all = kinds()
    each_s = seconds / (len(of_all) * len(LINES) * 3)
    return {
        name: {str(count): _of_kind(kind, kind.body(count), each_s) for count in LINES} for name, kind in of_all.items()
    }


def makers(source: Source) -> tuple[Maker, Maker]:
    """With everything off, and on."""
    plain = Maker(source)
    accept_when = compile_criterion("type(@) == 'object'", "accept_when").holds_for
    return plain, Maker(source, shape=compiled(_SHAPE), override=compile_override(_OVERRIDE), accept_when=accept_when)


def _of_kind(kind: Kind, body: bytes, each_s: float) -> dict[str, float]:
    plain, shaped = makers(kind.source)
    webhook = body if kind.webhook is None else kind.webhook
    for maker in (plain, shaped):
        made = maker.make(ORDER, kind.topic, body)
        if not isinstance(made, Made):
            raise RuntimeError(f"the made-up order makes no sale: {made}")  # noqa: TRY004 - not who calls is wrong
    return {
        "identify": _median_us(lambda: kind.source.identify({}, webhook, now=_NOW), each_s),
        "plain": _median_us(lambda: plain.make(ORDER, kind.topic, body), each_s),
        "shaped": _median_us(lambda: shaped.make(ORDER, kind.topic, body), each_s),
    }


def _median_us(do: Callable[[], object], each_s: float) -> float:
    clock = SystemClock()
    gc.collect()
    started = clock.monotonic()
    do()
    once_s = max(1e-7, clock.monotonic() - started)
    times = max(1, int(each_s / _BATCHES / once_s))
    found = []
    for _ in range(_BATCHES):
        started = clock.monotonic()
        for _ in range(times):
            do()
        found.append((clock.monotonic() - started) / times * 1e6)
    return round(median(found), 1)


def kinds() -> dict[str, Kind]:
    """Every kind of storefront there is."""
    recipe = Reading(compile_recipe(_RECIPE))
    key = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    return {
        "shopify": Kind(Shopify((_SECRET,)), "orders/create", lambda count: orders.body(1, count)),
        "woocommerce": Kind(WooCommerce((_SECRET,)), "order.created", _woocommerce),
        "elasticpath": Kind(ElasticPath((_SECRET,)), "order.paid", _elasticpath),
        "bigcommerce": Kind(BigCommerce((_SECRET,)), FETCHED_TOPIC, _bigcommerce, _BIGCOMMERCE_WEBHOOK),
        "squarespace": Kind(Squarespace(("00ff",)), FETCHED_TOPIC, _squarespace, _SQUARESPACE_WEBHOOK),
        "standard": Kind(Standard((key,)), "order.created", _enveloped),
        "hmac": Kind(HmacSigned((_SECRET,), reading=recipe), "", _own),
        "native": Kind(Native(), "", _native),
    }


# -- made-up orders ----------------------------------------------------------------------------------------------------

_PERSON = {
    "first_name": "Ada",
    "last_name": "Example",
    "company": "",
    "city": "Berlin",
    "state": "BE",
    "phone": "030 1",
}
_WOO_ADDRESS = _PERSON | {"address_1": "Sample Street 1", "address_2": "", "postcode": "10115", "country": "DE"}
_BIG_ADDRESS = _PERSON | {
    "id": 1, "street_1": "Sample Street 1", "street_2": "", "zip": "10115", "country": "Germany", "country_iso2": "DE",
    "email": "ada@example.com",
}  # fmt: skip
_ELASTIC_ADDRESS = {
    "first_name": "Ada", "last_name": "Example", "line_1": "Sample Street 1", "city": "Berlin", "postcode": "10115",
    "country": "DE",
}  # fmt: skip
_SPACE_ADDRESS = {
    "firstName": "Ada", "lastName": "Example", "address1": "Sample Street 1", "city": "Berlin", "postalCode": "10115",
    "countryCode": "DE",
}  # fmt: skip
_BIGCOMMERCE_WEBHOOK = msgspec.json.encode({
    "scope": "store/order/updated", "store_id": "1", "data": {"type": "order", "id": 1}, "hash": "a1",
    "created_at": 1_795_000_000, "producer": "stores/x",
})  # fmt: skip
_SQUARESPACE_WEBHOOK = msgspec.json.encode({
    "id": "n1", "websiteId": "w1", "subscriptionId": "s1", "topic": "order.update",
    "createdOn": "2026-01-01T00:00:00.000Z", "data": {"orderId": "5f1", "update": "FULFILLED"},
})  # fmt: skip


def _listed(count: int, line: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    return [line(number) for number in range(1, count + 1)]


def _woocommerce(count: int) -> bytes:
    def line(number: int) -> dict[str, Any]:
        return {
            "id": number, "name": f"Linen shirt {number}", "product_id": 93, "variation_id": number, "quantity": 2,
            "subtotal": "79.80", "subtotal_tax": "15.16", "total": "75.80", "total_tax": "14.40",
            "taxes": [{"id": 75, "total": "14.40", "subtotal": "15.16"}], "sku": f"LS-{number}", "price": 37.9,
            "meta_data": [{"id": 1, "key": "size", "value": "M", "display_key": "Size", "display_value": "M"}],
        }  # fmt: skip

    return msgspec.json.encode({
        "id": 1, "number": "1", "status": "processing", "currency": "EUR", "date_created_gmt": "2026-01-01T00:00:00",
        "date_modified_gmt": "2026-01-01T00:00:00", "total": "404.90", "customer_note": "ring twice",
        "billing": _WOO_ADDRESS | {"email": "ada@example.com"}, "shipping": _WOO_ADDRESS,
        "line_items": _listed(count, line),
        "shipping_lines": [{"id": 1, "method_id": "flat_rate", "method_title": "Flat", "total": "5.90"}],
    })  # fmt: skip


def _elasticpath(count: int) -> bytes:
    def line(number: int) -> dict[str, Any]:
        money = {"amount": 3990, "currency": "EUR", "formatted": "€39.90"}
        display = {"unit": money, "value": money, "discount": {"amount": 0, "currency": "EUR", "formatted": "€0.00"}}
        return {
            "type": "order_item", "id": f"i-{number}", "product_id": f"p-{number}", "name": f"Linen shirt {number}",
            "sku": f"LS-{number}", "unit_price": {"amount": 3990, "currency": "EUR", "includes_tax": False},
            "quantity": 2, "meta": {"display_price": {"with_tax": display, "discount": display}},
        }  # fmt: skip

    data = {
        "type": "order", "id": "o-1", "status": "complete", "payment": "paid",
        "customer": {"name": "Ada Example", "email": "ada@example.com"},
        "shipping_address": _ELASTIC_ADDRESS, "billing_address": _ELASTIC_ADDRESS,
        "meta": {"timestamps": {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}},
    }  # fmt: skip
    payload = {"data": data, "included": {"items": _listed(count, line)}}
    return msgspec.json.encode({"id": "e-1", "triggered_by": "order.paid", "attempt": 1, "payload": payload})


def _bigcommerce(count: int) -> bytes:
    def line(number: int) -> dict[str, Any]:
        return {
            "id": number, "order_id": 1, "product_id": 9, "variant_id": number, "order_address_id": 1,
            "name": f"Linen shirt {number}", "sku": f"LS-{number}", "quantity": 2, "quantity_refunded": 0,
            "base_price": "39.9000", "price_ex_tax": "33.5294", "price_inc_tax": "39.9000", "price_tax": "6.3706",
            "total_ex_tax": "67.0588", "total_inc_tax": "79.8000", "applied_discounts": [],
            "product_options": [{"display_name": "Size", "display_value": "M"}], "parent_order_product_id": None,
        }  # fmt: skip

    order = {
        "id": 1, "status_id": 11, "date_created": "Thu, 01 Jan 2026 00:00:00 +0000", "is_deleted": False,
        "date_modified": "Thu, 01 Jan 2026 00:00:00 +0000", "currency_code": "EUR", "discount_amount": "0.0000",
        "coupon_discount": "0.0000", "shipping_cost_ex_tax": "4.9600", "shipping_cost_inc_tax": "5.9000",
        "customer_message": "ring twice", "billing_address": _BIG_ADDRESS, "payment_method": "Card",
    }  # fmt: skip
    return msgspec.json.encode(
        {"order": order, "products": _listed(count, line), "shipping_addresses": [_BIG_ADDRESS], "coupons": None}
    )


def _squarespace(count: int) -> bytes:
    def money(value: str) -> dict[str, str]:
        return {"value": value, "currency": "EUR"}

    def line(number: int) -> dict[str, Any]:
        return {
            "id": f"l{number}", "variantId": f"v{number}", "sku": f"LS-{number}", "productName": f"Shirt {number}",
            "quantity": 2, "unitPricePaid": money("39.90"), "lineItemType": "PHYSICAL_PRODUCT", "customizations": None,
            "variantOptions": [{"optionName": "Size", "value": "M"}],
        }  # fmt: skip

    return msgspec.json.encode({
        "id": "5f1", "orderNumber": "1", "createdOn": "2026-01-01T00:00:00Z", "modifiedOn": "2026-01-01T00:00:00Z",
        "testmode": False, "customerEmail": "ada@example.com", "fulfillmentStatus": "PENDING",
        "billingAddress": _SPACE_ADDRESS, "shippingAddress": _SPACE_ADDRESS, "lineItems": _listed(count, line),
        "shippingLines": [{"method": "Flat", "amount": money("5.90")}], "discountLines": [],
    })  # fmt: skip


def _sale(count: int) -> dict[str, Any]:
    def line(number: int) -> dict[str, Any]:
        return {
            "externalId": f"l{number}", "name": f"Linen shirt {number}", "quantity": 2, "price": 39.9, "taxable": True,
            "variant": {"externalId": f"v{number}"}, "properties": [{"key": "Size", "value": "M"}],
        }  # fmt: skip

    return {
        "externalId": "1", "customer": {"email": "ada@example.com", "firstName": "Ada", "lastName": "Example"},
        "lineItems": _listed(count, line), "shipping": [{"code": "DHL", "name": "DHL parcel", "price": 5.9}],
        "saleDefaults": {"reference": "#1", "dateOrdered": "2026-01-01T00:00:00Z", "shippingCity": "Berlin"},
    }  # fmt: skip


def _native(count: int) -> bytes:
    return msgspec.json.encode(_sale(count))


def _enveloped(count: int) -> bytes:
    return msgspec.json.encode({"type": "order.created", "timestamp": "2026-01-01T00:00:00Z", "data": _sale(count)})


def _own(count: int) -> bytes:
    def line(number: int) -> dict[str, Any]:
        return {
            "id": number, "kind": "product", "title": f"Linen shirt {number}", "sku": f"LS-{number}", "qty": 2,
            "total": "79.80", "options": [{"name": "Size", "value": "M"}],
        }  # fmt: skip

    return msgspec.json.encode({
        "id": 1, "number": 1, "changed": "2026-01-01T00:00:00Z", "mail": "ada@example.com", "name": "Ada Example",
        "note": "ring twice", "ship": {"country": "DE"}, "items": _listed(count, line),
    })  # fmt: skip
