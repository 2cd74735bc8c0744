"""The document kept of a BigCommerce order: what its API (v2) has of it, in one object.

``{"order": {…}, "products": […], "shipping_addresses": […], "coupons": […]}``, each part as BigCommerce sent it; a list
that was not asked for is ``null``. Permissive leaves (``Any``), because a wrong type is an outcome and no exception.
"""

from collections.abc import Iterable, Sequence
from email.utils import parsedate_to_datetime
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from relay.core import exact
from relay.core.instant import Instant
from relay.core.sale import Reason
from relay.core.sources import Page, Request, moment
from relay.core.sources.values import ENTRIES, LINES, undecoded

LISTS = ("products", "shipping_addresses", "coupons")
_LIMIT = 250
"""BigCommerce: what a page holds at the most."""
_DEFAULT_LIMIT = 50
"""BigCommerce: what a page holds unless asked. A page that is full by either may have one behind it."""
_DATE_MAX_CHARACTERS = 100


class Address(msgspec.Struct, gc=False):
    """The billing address, or one of the shipping addresses with what is shipped there."""

    id: Any = None
    first_name: Any = None
    last_name: Any = None
    company: Any = None
    street_1: Any = None
    street_2: Any = None
    city: Any = None
    state: Any = None
    zip: Any = None
    country: Any = None
    country_iso2: Any = None
    phone: Any = None
    email: Any = None
    form_fields: Any = None
    shipping_method: Any = None
    base_cost: Any = None
    cost_ex_tax: Any = None
    cost_inc_tax: Any = None


class Product(msgspec.Struct, gc=False):
    """A line. ``quantity`` is as ordered; ``{}`` in BigCommerce's samples is a ``null``."""

    id: Any = None
    name: Any = None
    sku: Any = None
    type: Any = None
    variant_id: Any = None
    order_address_id: Any = None
    quantity: Any = None
    quantity_refunded: Any = None
    base_price: Any = None
    price_ex_tax: Any = None
    price_inc_tax: Any = None
    wrapping_name: Any = None
    wrapping_message: Any = None
    event_name: Any = None
    event_date: Any = None
    parent_order_product_id: Any = None
    applied_discounts: Any = None
    product_options: Any = None
    configurable_fields: Any = None


class Order(msgspec.Struct, gc=False):
    """An order. Amounts are in the currency the shopper paid in, ``default_currency_code``."""

    id: Any = None
    status_id: Any = None
    is_deleted: Any = None
    date_created: Any = None
    date_modified: Any = None
    payment_method: Any = None
    order_is_digital: Any = None
    shipping_address_count: Any = None
    items_total: Any = None
    customer_message: Any = None
    staff_notes: Any = None
    discount_amount: Any = None
    coupon_discount: Any = None
    gift_certificate_amount: Any = None
    store_credit_amount: Any = None
    total_tax: Any = None
    total_ex_tax: Any = None
    total_inc_tax: Any = None
    refunded_amount: Any = None
    base_shipping_cost: Any = None
    shipping_cost_ex_tax: Any = None
    shipping_cost_inc_tax: Any = None
    base_handling_cost: Any = None
    handling_cost_ex_tax: Any = None
    handling_cost_inc_tax: Any = None
    base_wrapping_cost: Any = None
    wrapping_cost_ex_tax: Any = None
    wrapping_cost_inc_tax: Any = None
    default_currency_code: Any = None
    store_default_currency_code: Any = None
    fees: Any = None
    billing_address: Address | None = None


class Document(msgspec.Struct, gc=False):
    """All of it."""

    order: Order | None = None
    products: Annotated[list[Product], LINES] | None = None
    shipping_addresses: Annotated[list[Address], ENTRIES] | None = None
    coupons: Any = None


class Head(msgspec.Struct, gc=False):
    """The few fields of an order that tell which state of which order it is."""

    id: Any = None
    status_id: Any = None
    is_deleted: Any = None
    date_created: Any = None
    date_modified: Any = None
    payment_method: Any = None


class _DocumentHead(msgspec.Struct, gc=False):
    order: Head | None = None


_documents = msgspec.json.Decoder(Document, float_hook=exact.number)
_document_heads = msgspec.json.Decoder(_DocumentHead, float_hook=exact.number)
_heads = msgspec.json.Decoder(Head, float_hook=exact.number)
_lists = msgspec.json.Decoder(list[msgspec.Raw])


def opened(body: bytes) -> Document | Reason:
    """A kept document. Raises :class:`RecursionError` for one nested too deeply."""
    try:
        return _documents.decode(body)
    except ValueError as error:
        return undecoded(error)


def head_of_document(body: bytes) -> Head | Reason:
    """The order's head in a kept document. Raises :class:`RecursionError` for one nested too deeply."""
    try:
        return _document_heads.decode(body).order or Head()
    except ValueError as error:
        return undecoded(error)


def head_of_order(body: bytes) -> Head:
    """The head of an order as the API has it; of what is no order, an empty one."""
    try:
        return _heads.decode(body)
    except (ValueError, RecursionError):
        return Head()


def date(value: object) -> Instant | None:
    """BigCommerce's dates are RFC 2822: ``Tue, 05 Mar 2019 21:40:11 +0000``. ``None`` for what is none."""
    if not isinstance(value, str) or len(value) > _DATE_MAX_CHARACTERS:
        return None
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):  # whatever the parser makes of what is no date
        return moment(value)
    return moment(parsed.isoformat())


def whole(value: object) -> int | None:
    """A whole number, or its text; ``None`` for anything else."""
    try:
        return exact.whole(value)
    except ValueError:
        return None


def rows(value: object) -> list[dict[str, Any]]:
    """The objects of a list that may be missing, ``{}`` or something else."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


# Reading it from the API


def first_request(external_id: str) -> Request:
    """The order itself."""
    return Request(f"v2/orders/{quote(external_id, safe='')}")


def next_request(pages: Sequence[Page], wanted: Iterable[str]) -> Request | None:
    """A following page of the list read last, else the first page of the next list wanted."""
    last = pages[-1].request
    root = pages[0].request.path
    name = last.path.removeprefix(root).strip("/")
    if name and _goes_on(pages):
        return _page(root, name, int(dict(last.query).get("page", "1")) + 1)
    order = list(wanted)
    following = order if not name else order[order.index(name) + 1 :] if name in order else []
    return _page(root, following[0], 1) if following else None


def _page(root: str, name: str, number: int) -> Request:
    query = (("limit", str(_LIMIT)), ("page", str(number)))
    return Request(f"{root}/{name}", query, may_be_missing=name != "products")


def _goes_on(pages: Sequence[Page]) -> bool:
    """Whether the last page was full; one that repeats the page before it is from an API that does not count them."""
    last = pages[-1]
    count = len(items(last.body))
    repeated = pages[-2].request.path == last.request.path and pages[-2].body == last.body
    return count > 0 and count % _DEFAULT_LIMIT == 0 and not repeated


def assembled(pages: Sequence[Page]) -> bytes:
    """The document of what was read."""
    root = pages[0].request.path if pages else ""
    parts: dict[str, list[bytes]] = {}
    for page in pages[1:]:
        parts.setdefault(page.request.path.removeprefix(root).strip("/"), []).extend(items(page.body))
    order = _object(pages[0].body) if pages else b"null"
    members = [b'"order":' + order]
    for name in LISTS:
        joined = b"[" + b",".join(parts[name]) + b"]" if name in parts else b"null"
        members.append(f'"{name}":'.encode() + joined)
    return b"{" + b",".join(members) + b"}"


def _object(body: bytes) -> bytes:
    try:
        return bytes(msgspec.json.decode(body, type=msgspec.Raw))
    except (ValueError, RecursionError):
        return b"null"


def items(body: bytes) -> list[bytes]:
    """The elements of a list, each as it was sent; none of what is no list."""
    try:
        return [bytes(item) for item in _lists.decode(body)] if body else []
    except (ValueError, RecursionError):
        return []
