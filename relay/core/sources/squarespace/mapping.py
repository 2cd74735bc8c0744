"""A fetched Squarespace order as a manual sale.

Where Squarespace leaves a choice, :class:`SquarespaceRules` has it; what a sale cannot carry is said in a note, and
what would make a wrong sale is a reason not to make one.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from relay.core import exact, instant
from relay.core import sale as sales
from relay.core.sale import Reason
from relay.core.sources import Mapped, Unmappable, lines, losses, moment, people
from relay.core.sources.amounts import ARITHMETIC
from relay.core.sources.findings import Findings
from relay.core.sources.squarespace.rules import SquarespaceRules
from relay.core.sources.squarespace.shape import Address, Line, Money, Order, is_cancelled, opened
from relay.core.sources.values import text, written

_NOTHING = Decimal(0)
_PHYSICAL = frozenset(("PHYSICAL_PRODUCT", "CUSTOM"))


@dataclass(slots=True)
class _Mapping(Findings):
    """One order on its way: the rules, and what was found."""

    order: Order
    rules: SquarespaceRules
    origins: tuple[str | None, ...] = ()
    """Where each line of the sale comes from."""

    def total(self, pointer: str, amount: Money | None) -> Decimal:
        """An amount that may be missing."""
        if amount is None or amount.value is None:
            return _NOTHING
        return self.money(f"{pointer}/value", amount.value) or _NOTHING


def to_sale(body: bytes, rules: SquarespaceRules) -> Mapped | Unmappable:
    """The order as a manual sale with notes on what it leaves out, or every reason why it cannot be one.

    Never raises.
    """
    try:
        return _mapped(body, rules)
    except RecursionError:
        return Unmappable((Reason("", "nested too deeply to be an order"),))


def _mapped(body: bytes, rules: SquarespaceRules) -> Mapped | Unmappable:
    order = opened(body)
    if isinstance(order, Reason):
        return Unmappable((order,))
    mapping = _Mapping(order, rules)
    payload = _payload(mapping)
    if mapping.reasons:
        return Unmappable(mapping.told)
    made = sales.parse(payload)
    if isinstance(made, tuple):
        return Unmappable(made)
    if is_cancelled(order):
        made = sales.cancelled(made, at=moment(order.modified_on), reason="other")
    return Mapped(made, tuple(mapping.notes), mapping.origins)


def _payload(mapping: _Mapping) -> dict[str, object]:
    order = mapping.order
    external_id = sales.identifier(order.id)
    if external_id is None:
        mapping.refuse("/id", "expected the order's id")
    items = _lines(mapping)
    payload: dict[str, object] = {
        "externalId": external_id,
        "customer": _customer(mapping),
        "lineItems": items,
        "saleDefaults": _sale_defaults(mapping),
    }
    if shipping := _shipping(mapping):
        payload["shipping"] = shipping
    if lines.find_or_create(mapping, "/lineItems", mapping.rules, items):
        payload["options"] = {"findOrCreateChannelVariant": True}
    tax = order.tax_total
    losses.tax(mapping, "/taxTotal", None if tax is None else tax.value, mapping.rules.taxes)
    _note_what_is_missing_from_the_total(mapping)
    if mapping.total("/refundedTotal", order.refunded_total):
        mapping.note("/refundedTotal", "refunds are not taken off: Squarespace says how much, but not of which lines")
    return payload


def _note_what_is_missing_from_the_total(mapping: _Mapping) -> None:
    """Whatever the order's total has and nothing here knows of."""
    order, grand = mapping.order, mapping.order.grand_total
    if grand is None or grand.value is None:
        return
    try:
        parts = [
            ARITHMETIC.multiply(exact.money(line.unit_price_paid.value), Decimal(exact.whole(line.quantity)))
            for line in order.line_items or ()
            if line.unit_price_paid is not None
        ]
        parts += [_NOTHING if amount is None else exact.money(amount) for amount in _shipping_costs(order)]
        if order.tax_total is not None and order.price_tax_interpretation != "INCLUSIVE":
            parts.append(exact.money(order.tax_total.value))
        parts.append(ARITHMETIC.minus(_discounts(mapping)))
        losses.total(mapping, "/grandTotal", grand.value, parts, grand.currency, "a gift card, a charge of its own")
    except ValueError:
        return  # a wrong amount has its reason


def _shipping_costs(order: Order) -> list[object]:
    if order.shipping_lines:
        return [None if line.amount is None else line.amount.value for line in order.shipping_lines]
    return [None if order.shipping_total is None else order.shipping_total.value]


# The order


def _sale_defaults(mapping: _Mapping) -> dict[str, object]:
    order, rules = mapping.order, mapping.rules
    created, with_tax = moment(order.created_on), order.price_tax_interpretation == "INCLUSIVE"
    defaults: dict[str, object] = {
        "reference": text(order.order_number) or text(order.id),
        "dateOrdered": None if created is None else instant.iso(created),
        "notes": _notes(mapping),
        "internalNotes": _internal_notes(mapping),
        "discounts": _discounts(mapping) or None,
        "taxIncluded": True if with_tax else None,
        "tags": _tags(mapping),
        **_columns(mapping, "billing", order.billing_address),
        **_columns(mapping, "shipping", order.shipping_address),
    }
    if rules.taxes == "send" and order.tax_total is not None:
        defaults["tax"] = mapping.money("/taxTotal/value", order.tax_total.value)
        defaults["taxIncluded"] = with_tax
        defaults["taxCalculation"] = "custom"
    return {column: value for column, value in defaults.items() if value is not None}


def _notes(mapping: _Mapping) -> str | None:
    entered = _pairs(mapping.order.form_submission, "label")
    if entered and not mapping.rules.form_submission:
        mapping.note("/formSubmission", "what the buyer entered is not sent; form_submission = true makes it the notes")
        return None
    return "\n".join(f"{label}: {value}" for label, value in entered) or None


def _internal_notes(mapping: _Mapping) -> str | None:
    """The merchant's, for whoever works at the merchant's."""
    if not mapping.rules.internal_notes:
        return None
    contents = (text(note.get("content")) for note in _rows(mapping.order.internal_notes))
    return "\n".join(filter(None, contents)) or None


def _discounts(mapping: _Mapping) -> Decimal:
    """``discountTotal``, or the sum of its lines where an answer has only those."""
    order = mapping.order
    if order.discount_total is not None and order.discount_total.value is not None:
        return mapping.total("/discountTotal", order.discount_total)
    total = _NOTHING
    for i, line in enumerate(order.discount_lines or []):
        total = ARITHMETIC.add(total, mapping.total(f"/discountLines/{i}/amount", line.amount))
    return exact.canonical(total)


def _tags(mapping: _Mapping) -> list[str] | None:
    codes = (text(line.promo_code) for line in mapping.order.discount_lines or [])
    return list(dict.fromkeys(filter(None, codes))) or None if mapping.rules.promo_tags else None


# People and places


def _columns(mapping: _Mapping, kind: str, address: Address | None) -> dict[str, object]:
    if address is None:
        return {}
    made = people.Address(
        first_name=text(address.first_name),
        last_name=text(address.last_name),
        line_one=text(address.address1),
        line_two=text(address.address2),
        city=text(address.city),
        state=text(address.state),
        zip=text(address.postal_code),
        country=text(address.country_code),
    )
    return people.columns(kind, made, mapping, f"/{kind}Address", company_in_line_two=False)


def _customer(mapping: _Mapping) -> dict[str, object]:
    order, rules = mapping.order, mapping.rules
    buyers = [address for address in (order.billing_address, order.shipping_address) if address is not None]
    names = ((text(buyer.first_name), text(buyer.last_name)) for buyer in buyers)
    first, last = next((name for name in names if any(name)), (None, None))
    customer = {
        "email": people.email(mapping, "/customerEmail", [text(order.customer_email)], rules.fallback_email),
        "firstName": first,
        "lastName": last,
        "phone": people.phone(mapping, "/billingAddress/phone", (text(buyer.phone) for buyer in buyers)),
    }
    return {column: value for column, value in customer.items() if value is not None}


# Lines


def _lines(mapping: _Mapping) -> list[dict[str, object]]:
    given = list(enumerate(mapping.order.line_items or []))
    kept = [(i, line) for i, line in given if mapping.rules.not_physical != "drop" or _is_physical(line)]
    if len(kept) < len(given):
        mapping.note("/lineItems", f'{len(given) - len(kept)} lines are left out, as not_physical = "drop" says')
    if not kept:
        mapping.refuse("/lineItems", "the order has no lines to send")
    if any(_is_physical(line) for _, line in kept) and mapping.order.shipping_address is None:
        losses.address(mapping, "/shippingAddress")
    lines.tell_apart(mapping, ((f"/lineItems/{i}/id", sales.identifier(line.id)) for i, line in kept))
    mapping.origins = tuple(f"/lineItems/{i}" for i, _ in kept)
    return [_line(mapping, f"/lineItems/{i}", line) for i, line in kept]


def _is_physical(line: Line) -> bool:
    """Squarespace: SERVICE, GIFT_CARD, DIGITAL … are not; an answer that does not say is about goods."""
    return line.line_item_type is None or str(line.line_item_type) in _PHYSICAL


def _line(mapping: _Mapping, pointer: str, line: Line) -> dict[str, object]:
    line_id, paid = sales.identifier(line.id), line.unit_price_paid
    connected = lines.variant(
        mapping,
        f"{pointer}/variantId",
        mapping.rules,
        external_id=sales.identifier(line.variant_id),
        sku=text(line.sku),
        line_id=line_id,
    )
    made: dict[str, object] = {
        "externalId": line_id,
        "name": text(line.product_name),
        "quantity": mapping.count(f"{pointer}/quantity", line.quantity),
        "price": mapping.money(f"{pointer}/unitPricePaid/value", None if paid is None else paid.value),
        "variant": connected,
        "properties": _properties(line) or None,
        "orderRouting": "ignore" if mapping.rules.not_physical == "unrouted" and not _is_physical(line) else None,
    }
    if line_id is None:
        mapping.refuse(f"{pointer}/id", "expected the line's id")
    return {name: value for name, value in made.items() if value is not None}


def _properties(line: Line) -> list[dict[str, str]]:
    pairs = _pairs(line.variant_options, "optionName") + _pairs(line.customizations, "label")
    return [{"key": name, "value": value} for name, value in pairs]


def _rows(value: object) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _pairs(given: object, name: str) -> list[tuple[str, str]]:
    named = ((text(row.get(name)), row) for row in _rows(given))
    return [(label, written(row.get("value"))) for label, row in named if label is not None]


def _shipping(mapping: _Mapping) -> list[dict[str, object]]:
    order = mapping.order
    made: list[dict[str, object]] = []
    for i, line in enumerate(order.shipping_lines or []):
        price = mapping.total(f"/shippingLines/{i}/amount", line.amount)
        made.append({"name": text(line.method), "price": price})
    if not made and (price := mapping.total("/shippingTotal", order.shipping_total)):
        made.append({"price": price})
    if len(made) == 1:
        made[0] = {"code": text(order.shipping_option_service_type), **made[0]}
    return [{name: value for name, value in line.items() if value is not None} for line in made]
