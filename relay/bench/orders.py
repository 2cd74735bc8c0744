"""Made-up Shopify orders for measuring: about 4 KB each, five lines unless told otherwise, signed."""

import hmac
from base64 import b64encode
from hashlib import sha256

import msgspec

SECRET = "bench-secret"
_LINES = 5


def _money(amount: str) -> dict[str, object]:
    money = {"amount": amount, "currency_code": "EUR"}
    return {"shop_money": money, "presentment_money": money}


def _line(number: int) -> dict[str, object]:
    return {
        "id": 4_400_000_000 + number, "variant_id": 4_500_000_000 + number, "product_id": 4_600_000_000 + number,
        "title": f"Linen shirt {number}", "variant_title": "M / sand", "name": f"Linen shirt {number} - M / sand",
        "sku": f"LS-{number}-M", "vendor": "Hemp & Linen", "quantity": 2, "current_quantity": 2, "price": "39.90",
        "price_set": _money("39.90"), "taxable": True, "requires_shipping": True, "gift_card": False, "grams": 240,
        "total_discount": "0.00", "fulfillment_service": "manual", "discount_allocations": [],
        "properties": [{"name": "Engraving", "value": "with love"}, {"name": "_bundle", "value": "b1"}],
        "tax_lines": [{"title": "VAT", "price": "12.74", "rate": 0.19}],
    }  # fmt: skip


_ADDRESS = {
    "first_name": "Ada", "last_name": "Example", "address1": "Sample Street 1", "address2": "", "city": "Berlin",
    "zip": "10115", "province": "Berlin", "province_code": "BE", "country": "Germany", "country_code": "DE",
    "phone": "+49 30 000000", "company": None,
}  # fmt: skip

_ORDER = {
    "id": 0, "name": "#0", "order_number": 0, "email": "ada@example.com", "contact_email": "ada@example.com",
    "created_at": "2026-01-01T00:00:00+00:00", "updated_at": "2026-01-01T00:00:00+00:00", "cancelled_at": None,
    "currency": "EUR", "presentment_currency": "EUR", "financial_status": "paid", "test": False, "note": "ring twice",
    "note_attributes": [], "tags": "vip", "total_price": "404.90", "subtotal_price": "399.00", "taxes_included": True,
    "customer": {"id": 1, "first_name": "Ada", "last_name": "Example", "email": "ada@example.com"},
    "billing_address": _ADDRESS, "shipping_address": _ADDRESS,
    "line_items": [_line(number) for number in range(_LINES)],
    "shipping_lines": [{"id": 1, "code": "DHL", "title": "DHL parcel", "price": "5.90", "discounted_price": "5.90",
                        "source": "shopify", "carrier_identifier": None}],
}  # fmt: skip


def _split(lines: int) -> list[bytes]:
    order = _ORDER | {"line_items": [_line(number) for number in range(lines)]}
    return msgspec.json.encode(order).split(b'"id":0,"name":"#0"', 1)


_HEAD, _TAIL = _split(_LINES)


def body(number: int, lines: int = _LINES) -> bytes:
    """One order; every number is another order."""
    head, tail = (_HEAD, _TAIL) if lines == _LINES else _split(lines)
    return b'%b"id":%d,"name":"#%d"%b' % (head, 10_000_000 + number, number, tail)


def request(path: str, number: int) -> bytes:
    """The whole HTTP request of a signed webhook, as bytes to write to a socket."""
    payload = body(number)
    signature = b64encode(hmac.digest(SECRET.encode(), payload, sha256)).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nX-Shopify-Topic: orders/create\r\n"
        f"X-Shopify-Hmac-Sha256: {signature}\r\nX-Shopify-Webhook-Id: bench-{number}\r\n"
        f"X-Shopify-Shop-Domain: bench.myshopify.com\r\nX-Shopify-API-Version: 2026-04\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload
