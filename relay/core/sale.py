"""The manual-sale payload: what Jetti is sent for one order, typed, exact and in canonical bytes.

Rules and field types are Jetti's manual-sale documentation and its published sale, customer and line-item schemas.
What Jetti knows and this module does not is passed through untouched, so that a client which already speaks to Jetti
loses nothing. Money is :class:`~decimal.Decimal` from the first byte to the last; no value is ever a binary float.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from relay.core import exact, instant
from relay.core.instant import Instant

PropertyStyle = Literal["key", "name"]
"""How item properties are written: Jetti's request example says ``key``, its section on item properties ``name``."""

CancelReason = Literal["customer", "fraud", "inventory", "declined", "other"]

MAX_NESTING = 64
"""Levels of objects and lists in a body; what lies deeper is refused before anything walks it."""

LINES_MAX = 2000
"""Lines of one sale at the most: validating is done while others wait. (Shopify's own limit is 500.)"""

PARTS_MAX = 100_000
"""Objects and lists in one body. An order has about one in 60 bytes; ``[{},{},{},…`` would keep everybody waiting."""

REASONS_MAX = 100
"""Reasons that are told for one order: what is wrong with one line is often wrong with all."""

PHONE_MAX_CHARACTERS = 30
"""Jetti's customer schema."""

_NOTHING = Decimal(0)
_ID_LIMIT = 10**30


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was not understood or cannot be mapped: where, what, and what to do about it."""

    pointer: str
    """JSON pointer into the body (RFC 6901): ``/line_items/0/price``; empty for the body as a whole."""
    message: str
    """One sentence with the value found and the remedy. Never personal data, never a secret."""


def too_long_for_a_phone(number: str) -> str:
    """The note on a phone number that is left out; not the number, which is nobody else's business."""
    return f"a phone number of {len(number)} characters is left out; Jetti takes {PHONE_MAX_CHARACTERS}"


# field types


def _fault(message: str, at: str = "") -> PydanticCustomError:
    return PydanticCustomError("sale", "{message}", {"message": message, "at": at})


def _money(value: object) -> Decimal:
    try:
        return exact.money(value)
    except ValueError as error:
        raise _fault(str(error)) from None


def _number(value: object) -> Decimal:
    try:
        return exact.decimal(value)
    except ValueError as error:
        raise _fault(str(error)) from None


def _whole(value: object) -> int:
    try:
        return exact.whole(value)
    except ValueError as error:
        raise _fault(str(error)) from None


def _quantity(value: object) -> int:
    count = _whole(value)
    if count < 0:
        raise _fault(f"expected a quantity of 0 or more, found {count}")
    return count


def _text(value: object) -> str:
    # Jetti's columns take a number where text is meant (a zip code, a reference), so a client may send one.
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    raise _fault(f"expected text, found {exact.kind(value)}")


def identifier(value: object) -> str | None:
    """An id as the text Jetti is to be sent, from text or a whole number; ``None`` for what can be no id.

    1 to 255 printable characters: ids are stored, logged and looked up.
    """
    if isinstance(value, Decimal) and value.is_finite() and exact.decimals(value) == 0 and abs(value) < _ID_LIMIT:
        value = int(value)  # some clients write 5001.0
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _ID_LIMIT:
        value = str(value)
    usable = isinstance(value, str) and value.strip() and len(value) <= 255 and value.isprintable()
    return value if usable and isinstance(value, str) else None


def _identifier(value: object) -> str:
    found = identifier(value)
    if found is None:
        raise _fault("expected an identifier of 1 to 255 printable characters")
    return found


_FLAGS: Final[dict[object, bool]] = {True: True, False: False, "true": True, "false": False}


def _flag(value: object) -> bool:
    # 1 and 0 equal True and False: the vendor's own sample sends ``"locked": 0``.
    flag = _FLAGS.get(value) if isinstance(value, bool | int | str) else None
    if flag is None:
        raise _fault(f"expected true or false, found {exact.kind(value)}")
    return flag


def _moment(value: object) -> str:
    if not isinstance(value, str) or instant.parse(value) is None:
        raise _fault("expected an ISO 8601 date and time such as 2026-11-21T18:41:49Z")
    return value


_EMAIL_NEEDED = "Jetti requires an e-mail address"


def _email(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _fault(
            f"Jetti requires an e-mail address, found {'nothing' if value in ('', None) else exact.kind(value)}"
        )
    return value


def _short(value: object) -> str:
    text = _text(value)
    if len(text) > PHONE_MAX_CHARACTERS:
        raise _fault(f"Jetti takes at most {PHONE_MAX_CHARACTERS} characters, found {len(text)}")
    return text


def _one_or_many(value: object) -> object:
    if value is None:
        return ()
    return (value,) if isinstance(value, Mapping) else value


def _nothing_as_empty(value: object) -> object:
    return {} if value is None else value


class _Reads:
    """Reads a value with a function of ours. (pydantic's own PlainValidator also wraps the way back, which costs.)"""

    def __init__(self, read: Callable[[object], object]) -> None:
        self._read = read

    def __get_pydantic_core_schema__(self, *_: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)


Money = Annotated[Decimal, _Reads(_money)]
"""An exact amount in major units."""
Number = Annotated[Decimal, _Reads(_number)]
Whole = Annotated[int, _Reads(_whole)]
Quantity = Annotated[int, _Reads(_quantity)]
Text = Annotated[str, _Reads(_text)]
Identifier = Annotated[str, _Reads(_identifier)]
Flag = Annotated[bool, _Reads(_flag)]
Moment = Annotated[str, _Reads(_moment)]
"""ISO 8601 text, as it was sent."""
Email = Annotated[str, _Reads(_email)]
Short = Annotated[str, _Reads(_short)]


# the payload


class _Part(BaseModel):
    """Camel case outside, snake case inside; what is unknown is kept and sent."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)


class SaleDefaults(_Part):
    """Columns of Jetti's sale: typed as its published schema has them; columns it may yet grow pass through."""

    admin_notes: Text | None = None
    billing_address_line_one: Text | None = None
    billing_address_line_two: Text | None = None
    billing_city: Text | None = None
    billing_country: Text | None = None
    billing_first_name: Text | None = None
    billing_last_name: Text | None = None
    billing_name: Text | None = None
    billing_state: Text | None = None
    billing_zip: Text | None = None
    cancel_reason: CancelReason | None = None
    cancellation_status: Literal["none", "partial", "full"] = "none"
    cancelled: Flag = False
    cancelled_at: Moment | None = None
    channel_cancelled_at: Moment | None = None
    city_tax_location: Text | None = None
    city_tax_rate: Number | None = None
    combined_tax_rate: Number | None = None
    county_tax_location: Text | None = None
    county_tax_rate: Number | None = None
    currency_id: Whole | None = None
    customer_id: Whole | None = None
    customer_reference: Text | None = None
    date_ordered: Moment = ""
    discounts: Money = _NOTHING
    district_tax_rate: Number | None = None
    exchange_rate: Number | None = None
    finalized: Flag = True
    internal_notes: Text | None = None
    locked: Flag = False
    notes: Text | None = None
    paid: Money | None = None
    payment_status: Literal["notPaid", "partiallyPaid", "paid"] = "notPaid"
    quantity: Whole = 0
    receiver_address_line_one: Text | None = None
    receiver_address_line_two: Text | None = None
    receiver_city: Text | None = None
    receiver_country: Text | None = None
    receiver_name: Text | None = None
    receiver_state: Text | None = None
    receiver_zip: Text | None = None
    reference: Text = ""
    reseller_id: Whole | None = None
    reseller_payee: Literal["reseller", "customer"] | None = None
    shipping_address_line_one: Text | None = None
    shipping_address_line_two: Text | None = None
    shipping_city: Text | None = None
    shipping_country: Text | None = None
    shipping_first_name: Text | None = None
    shipping_last_name: Text | None = None
    shipping_name: Text | None = None
    shipping_state: Text | None = None
    shipping_zip: Text | None = None
    state_tax_location: Text | None = None
    state_tax_rate: Number | None = None
    status: Literal["draft", "pending", "finalized"] = "pending"
    subtotal: Money = _NOTHING
    tags: tuple[Text, ...] | None = None
    tax: Money = _NOTHING
    tax_calculation: Literal["default", "custom"] | None = None
    tax_included: Flag = False
    tax_shipping: Flag | None = None
    total: Money = _NOTHING
    weight: Number | None = None


class Customer(_Part):
    """Who bought. ``email`` is required by Jetti's schema."""

    email: Email
    first_name: Text | None = None
    last_name: Text | None = None
    name: Text | None = None
    phone: Short | None = None
    fax: Short | None = None
    company_code: Short | None = None
    tax_number: Short | None = None
    accounts_email: Text | None = None
    order_email: Text | None = None
    returns_email: Text | None = None
    notes: Text | None = None
    sale_notes: Text | None = None
    price_list_id: Whole | None = None
    reseller_id: Whole | None = None
    quickbooks_id: Text | None = None
    stripe_id: Text | None = None
    xero_id: Text | None = None
    user_id: Whole | None = None
    status: Literal["active", "disabled"] | None = None
    tags: tuple[Text, ...] | None = None


class Variant(_Part):
    """What connects a line to the catalogue: the channel's variant id, the SKU, or both."""

    external_id: Identifier | None = None
    sku: Text | None = None

    @model_validator(mode="after")
    def _names_something(self) -> "Variant":
        if self.external_id is None and not self.sku and not self.model_extra:
            raise _fault("expected externalId or sku")
        return self


class Property(_Part):
    """One item property, for instance an engraving. Accepted as key/value or as name/value."""

    key: Text
    value: Any = None

    @model_validator(mode="before")
    @classmethod
    def _from_either_style(cls, given: object) -> object:
        if isinstance(given, dict) and "key" not in given and "name" in given:
            return {"key" if field == "name" else field: value for field, value in given.items()}
        return given


class LineItem(_Part):
    """One line. ``price`` is per unit, in major units; ``external_id`` is unique: fulfilments come back with it."""

    external_id: Identifier
    quantity: Quantity
    price: Money
    name: Text | None = None
    taxable: Flag | None = None
    variant: Variant | None = None
    properties: tuple[Property, ...] | None = None
    order_routing: Literal["automated", "manual", "ignore"] | None = None
    manual_routing: Any = None
    """``fulfill`` with ``warehouse_id`` or ``dropship`` with ``dropship_provider_id``; an object passes through."""
    warehouse_id: Identifier | None = None
    dropship_provider_id: Identifier | None = None

    @model_validator(mode="after")
    def _routes_consistently(self) -> "LineItem":
        if self.manual_routing is None:
            return self
        if self.order_routing != "manual":
            raise _fault('manualRouting goes with "orderRouting": "manual"', at="/orderRouting")
        if isinstance(self.manual_routing, Mapping):
            return self
        needed = {"fulfill": "warehouseId", "dropship": "dropshipProviderId"}.get(str(self.manual_routing))
        if needed is None:
            raise _fault("expected fulfill or dropship", at="/manualRouting")
        if (self.warehouse_id if needed == "warehouseId" else self.dropship_provider_id) is None:
            raise _fault(f"manualRouting {self.manual_routing} needs {needed}", at=f"/{needed}")
        return self


class Shipping(_Part):
    """One shipping line; ``price`` in major units."""

    code: Text | None = None
    name: Text | None = None
    service_level: Text | None = None
    price: Money | None = None


class Options(_Part):
    """How Jetti imports. Options that are not published pass through."""

    find_or_create_channel_variant: Flag | None = None


class Sale(_Part):
    """One order as Jetti's manual-sale endpoint takes it: the same call for a new order and for every update."""

    external_id: Identifier
    customer: Customer
    line_items: tuple[LineItem, ...]
    sale_defaults: Annotated[SaleDefaults, BeforeValidator(_nothing_as_empty)] = SaleDefaults()
    shipping: Annotated[tuple[Shipping, ...], BeforeValidator(_one_or_many)] = ()
    options: Annotated[Options, BeforeValidator(_nothing_as_empty)] = Options()

    @field_validator("line_items", mode="after")
    @classmethod
    def _some_and_told_apart(cls, lines: tuple[LineItem, ...]) -> tuple[LineItem, ...]:
        if not lines:
            raise _fault("expected at least one line: every body is the whole order, not a change to it")
        seen: set[str] = set()
        for position, line in enumerate(lines):
            if line.external_id in seen:
                raise _fault(
                    "another line has the same externalId; Jetti needs it unique", at=f"/{position}/externalId"
                )
            seen.add(line.external_id)
        return lines


def parse(payload: object) -> Sale | tuple[Reason, ...]:
    """A decoded manual-sale body as a sale, or one reason per wrong field, each with its JSON pointer.

    Numbers in ``payload`` must have been decoded with :func:`relay.core.exact.number`, so that none is a float, and
    what a stranger sent must have passed :func:`nests_deeper` before: what is passed through is walked again later.
    """
    try:
        return Sale.model_validate(payload, by_alias=True, by_name=False)
    except ValidationError as error:
        single = isinstance(payload, Mapping) and isinstance(payload.get("shipping"), Mapping)
        return tuple(_reason(detail, single_shipping=single) for detail in error.errors(include_url=False))


def bounded(reasons: Sequence[Reason], limit: int = REASONS_MAX) -> tuple[Reason, ...]:
    """As many reasons as anybody reads, and how many more there are."""
    if len(reasons) <= limit:
        return tuple(reasons)
    return (*reasons[:limit], Reason("", f"and {len(reasons) - limit} more reasons"))


def has_too_many_parts(body: bytes) -> Reason | None:
    """Why a body is not even decoded: counted by its brackets, those in texts among them, 2 ms for 5 MiB."""
    if body.count(b"{") + body.count(b"[") <= PARTS_MAX:
        return None
    return Reason("", f"more than {PARTS_MAX} objects and lists: split the order")


_NESTED = frozenset((dict, list, tuple))


def nests_deeper(payload: object, limit: int = MAX_NESTING) -> bool:
    """Whether a decoded body has more levels of objects and lists than this. Walks level by level, never deeper."""
    level: list[Any] = [payload] if type(payload) in _NESTED else []
    for _ in range(limit if level else 0):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if type(child) in _NESTED
        ]
        if not level:
            return False
    return bool(level)


_MESSAGES = {
    "missing": "required, but not given",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "tuple_type": "expected a list",
}


def _reason(detail: ErrorDetails, *, single_shipping: bool) -> Reason:
    path = [str(step) for step in detail["loc"]]
    if single_shipping and path[:2] == ["shipping", "0"]:
        del path[1]
    message = _MESSAGES.get(detail["type"], detail["msg"])
    if detail["type"] == "literal_error":
        found = detail["input"]
        found = exact.shown(found) if isinstance(found, str) else exact.kind(found)
        message = f"expected {detail['ctx']['expected']}, found {found}"
    if path == ["customer", "email"] and detail["type"] == "missing":
        message = f"{_EMAIL_NEEDED}, but none is given"
    at = detail.get("ctx", {}).get("at", "")
    return Reason("".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path) + at, message)


# bytes

_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")


def encode(sale: Sale, *, property_style: PropertyStyle = "key") -> bytes:
    """The sale as JSON in canonical form: equal sales give equal bytes, which is what *unchanged* is judged by.

    Object keys are sorted, numbers exact and in canonical form; what was never set is not written, a null that was
    passed through is.
    """
    payload = sale.model_dump(by_alias=True, exclude_unset=True)
    if property_style == "name":
        for line in payload["lineItems"]:
            line["properties"] = [_named(item) for item in line["properties"]] if line.get("properties") else ()
    return _encoder.encode(payload)


def _named(item: dict[str, Any]) -> dict[str, Any]:
    return item if "name" in item else {"name" if field == "key" else field: value for field, value in item.items()}


def cancelled(sale: Sale, *, at: Instant | None = None, reason: CancelReason | None = None) -> Sale:
    """The same sale, cancelled; when and why stay what the sale already says, and else are ``at`` and ``reason``.

    Jetti does not document cancelling through a manual sale; these are columns of its sale and so can be set.
    """
    known = sale.sale_defaults
    moment = None if at is None else instant.iso(at)
    marks: dict[str, object] = {
        "cancelled_at": known.cancelled_at or moment,
        "channel_cancelled_at": known.channel_cancelled_at or moment,
        "cancel_reason": known.cancel_reason or reason,
    }
    marks = {"cancelled": True, **{column: mark for column, mark in marks.items() if mark is not None}}
    return sale.model_copy(update={"sale_defaults": known.model_copy(update=marks)})


_CANCELLATION: Final = {
    "cancelled": False,
    "cancelled_at": None,
    "channel_cancelled_at": None,
    "cancel_reason": None,
    "cancellation_status": "none",
}
"""The columns that say of a sale whether it is cancelled, and their defaults."""


def without_cancellation(sale: Sale) -> Sale:
    """The same sale, with nothing in it of a cancellation: where that is a call of its own, the sale must not say it
    too, nor take it back."""
    known = sale.sale_defaults
    if not known.model_fields_set & _CANCELLATION.keys():
        return sale
    bare = known.model_copy(update=_CANCELLATION)
    bare.model_fields_set.difference_update(_CANCELLATION)  # what is not set is not sent
    return sale.model_copy(update={"sale_defaults": bare})
