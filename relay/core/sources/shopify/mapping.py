"""A Shopify order, in the shape of the REST Admin API, as a manual sale.

Where Shopify leaves a choice, :class:`ShopifyRules` has it; what a sale cannot carry is said in a note, and what
would make a wrong sale is a reason not to make one. Amounts are text in Shopify's JSON and stay exact.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from relay.core import exact, instant
from relay.core import sale as sales
from relay.core.sale import CancelReason, Reason
from relay.core.sources import Mapped, Unmappable, lines, losses, moment, people
from relay.core.sources.amounts import ARITHMETIC, divided
from relay.core.sources.findings import AND_AGAIN, Findings, set_key
from relay.core.sources.shopify.rules import ShopifyRules
from relay.core.sources.shopify.shape import (
    Address,
    Allocation,
    Customer,
    Line,
    Order,
    ShippingLine,
    opened,
    presentment,
)
from relay.core.sources.values import text, whole_id, written

_CANCELLED_TOPIC, _CREATED_TOPIC = "orders/cancelled", "orders/create"
_CANCEL_REASONS: dict[object, CancelReason] = {
    "customer": "customer",
    "fraud": "fraud",
    "inventory": "inventory",
    "declined": "declined",
}  # Shopify also knows "staff" and "other"; Jetti has "other" for both


@dataclass(slots=True)
class _Mapping(Findings):
    """One order on its way: the rules, and what was found."""

    order: Order
    topic: str
    rules: ShopifyRules
    origins: list[str | None] = field(default_factory=list)
    """Where each line of the sale comes from."""


def to_sale(body: bytes, topic: str, rules: ShopifyRules) -> Mapped | Unmappable:
    """The order as a manual sale with notes on what it leaves out, or every reason why it cannot be one.

    ``topic`` matters in two places only, because it is not signed: lines that are gone are left out of a new order,
    and a trimmed ``orders/cancelled`` is a cancellation. Never raises.
    """
    try:
        return _mapped(body, topic, rules)
    except RecursionError:
        return Unmappable((Reason("", "nested too deeply to be an order"),))


def _mapped(body: bytes, topic: str, rules: ShopifyRules) -> Mapped | Unmappable:
    found = opened(body)
    if isinstance(found, Reason):
        return Unmappable((found,))
    order, root = found
    mapping = _Mapping(order, topic, rules, root=root)
    if order.line_items is None:
        mapping.refuse("/line_items", f"the webhook is trimmed: take include_fields off its subscription, {AND_AGAIN}")
        return Unmappable(mapping.told)
    payload = _payload(mapping)
    if mapping.reasons:
        return Unmappable(mapping.told)
    made = sales.parse(payload)
    if isinstance(made, tuple):
        return Unmappable(made)
    return Mapped(_with_cancellation(made, mapping), tuple(mapping.notes), tuple(mapping.origins))


def _payload(mapping: _Mapping) -> dict[str, object]:
    order, rules = mapping.order, mapping.rules
    external_id = whole_id(order.id)
    if external_id is None:
        mapping.refuse("/id", "expected the order's id, a positive whole number of at most 64 bits")
    items, discounts = _lines(mapping)
    payload: dict[str, object] = {
        "externalId": external_id,
        "customer": _customer(mapping),
        "lineItems": items,
        "saleDefaults": _sale_defaults(mapping, discounts),
    }
    if shipping := _shipping(mapping):
        payload["shipping"] = shipping
    if lines.find_or_create(mapping, "/line_items", rules, items):
        payload["options"] = {"findOrCreateChannelVariant": True}
    if mapping.order.presentment_currency not in (None, order.currency) and rules.money == "shop":
        mapping.note("/presentment_currency", "the buyer paid in another currency; amounts are in the shop's currency")
    _note_what_is_left(mapping)
    return payload


def _with_cancellation(made: sales.Sale, mapping: _Mapping) -> sales.Sale:
    order = mapping.order
    untold = order.cancelled_at is UNSET and mapping.topic == _CANCELLED_TOPIC
    if not untold and order.cancelled_at in (UNSET, None, ""):
        return made
    at = moment(order.cancelled_at) or moment(order.updated_at)
    return sales.cancelled(made, at=at, reason=_CANCEL_REASONS.get(text(order.cancel_reason), "other"))


# The order


def _sale_defaults(mapping: _Mapping, discounts: Decimal) -> dict[str, object]:
    order = mapping.order
    defaults: dict[str, object] = {
        "reference": text(order.name) or text(order.order_number),
        "dateOrdered": None if (created := moment(order.created_at)) is None else instant.iso(created),
        "notes": _notes(mapping),
        "discounts": discounts or None,
        "taxIncluded": True if order.taxes_included is True else None,
        "tags": _tags(mapping),
        **_address("billing", order.billing_address, mapping),
        **_address("shipping", order.shipping_address, mapping),
    }
    name, tax = _tax(order)
    if mapping.rules.taxes == "send" and tax is not None:
        defaults["tax"] = _amount(mapping, f"/{name}", tax, getattr(order, f"{name}_set"))
        defaults["taxIncluded"] = order.taxes_included is True
        defaults["taxCalculation"] = "custom"
    return {column: value for column, value in defaults.items() if value is not None}


def _notes(mapping: _Mapping) -> str | None:
    note, attributes = text(mapping.order.note), _pairs(mapping.order.note_attributes)
    if not attributes:
        return note
    if not mapping.rules.note_attributes:
        mapping.note(
            "/note_attributes", "additional details are not sent; note_attributes = true appends them to notes"
        )
        return note
    return "\n".join(filter(None, [note, *(f"{name}: {value}" for name, value in attributes)]))


def _tags(mapping: _Mapping) -> list[str] | None:
    """Shopify has them in one text, with commas between them."""
    given = text(mapping.order.tags) if mapping.rules.tags else None
    return [tag for part in (given or "").split(",") if (tag := part.strip())] or None


def _address(kind: str, address: Address | None, mapping: _Mapping) -> dict[str, object]:
    """An address's columns. One that is missing stays missing: a billing address is not where to ship to."""
    if address is None:
        return {}
    rules = mapping.rules
    given = people.Address(
        first_name=text(address.first_name),
        last_name=text(address.last_name),
        name=text(address.name),
        company=text(address.company),
        line_one=text(address.address1),
        line_two=text(address.address2),
        city=text(address.city),
        state=_either(rules.province, address.province_code, address.province),
        zip=text(address.zip),
        country=_either(rules.country, address.country_code, address.country),
    )
    pointer = f"/{kind}_address/company"
    return people.columns(kind, given, mapping, pointer, company_in_line_two=rules.company_in_line_two)


def _customer(mapping: _Mapping) -> dict[str, object]:
    order = mapping.order
    buyers = [person for person in (order.customer, order.shipping_address, order.billing_address) if person]
    names = ((text(person.first_name), text(person.last_name)) for person in buyers)
    first, last = next((name for name in names if any(name)), (None, None))
    customer = {"email": _email(mapping), "firstName": first, "lastName": last, "phone": _phone(mapping, buyers)}
    return {column: value for column, value in customer.items() if value is not None}


def _email(mapping: _Mapping) -> str | None:
    """The order's own address goes before the customer's, which the customer may have changed since."""
    order = mapping.order
    of_customer = order.customer.email if order.customer else None
    candidates = (text(order.email), text(order.contact_email), text(of_customer))
    return people.email(mapping, "/email", candidates, mapping.rules.fallback_email)


def _phone(mapping: _Mapping, buyers: "list[Customer | Address]") -> str | None:
    numbers = (text(value) for value in (mapping.order.phone, *(buyer.phone for buyer in buyers)))
    return people.phone(mapping, "/phone", numbers)


# Lines


def _lines(mapping: _Mapping) -> tuple[list[dict[str, object]], Decimal]:
    """The lines, and the sum of their discounts when prices are before discounts."""
    kept = [(i, line) for i, line in enumerate(mapping.order.line_items or []) if not _left_out(mapping, i, line)]
    counted = [(i, line, _quantity(mapping, i, line)) for i, line in kept]
    omit = mapping.rules.removed_lines == "omit" or mapping.topic == _CREATED_TOPIC
    present = [entry for entry in counted if entry[2] != 0] if omit else counted
    if len(present) < len(counted):
        mapping.note("/line_items", f"{len(counted) - len(present)} refunded or removed lines are left out")
    # A sale must have lines: an order of which nothing is left says so with quantities of 0.
    chosen = present or counted
    if not chosen:
        mapping.refuse("/line_items", "the order has no lines to send")
    lines.tell_apart(mapping, ((f"/line_items/{i}/id", whole_id(line.id)) for i, line in kept))
    total = Decimal(0)
    items = []
    for i, line, quantity in chosen:
        made, discount = _line(mapping, i, line, quantity)
        items.append(made)
        mapping.origins.append(f"{mapping.root}/line_items/{i}")
        total = ARITHMETIC.add(total, discount)
    return items, exact.canonical(ARITHMETIC.add(total, _unallocated(mapping)))


def _left_out(mapping: _Mapping, i: int, line: Line) -> bool:
    if line.tip is not None and mapping.rules.tips == "drop":
        mapping.note(f"/line_items/{i}", 'a tip is no goods and is left out; tips = "send" sends it')
        return True
    if line.gift_card is True and mapping.rules.gift_cards == "drop":
        mapping.note(f"/line_items/{i}", 'a gift card is left out, as gift_cards = "drop" says')
        return True
    return False


def _quantity(mapping: _Mapping, i: int, line: Line) -> int:
    """``current_quantity``, which refunds and edits reduce; orders of older API versions only have ``quantity``."""
    name = "quantity" if line.current_quantity is None else "current_quantity"
    return mapping.count(f"/line_items/{i}/{name}", getattr(line, name))


def _line(mapping: _Mapping, i: int, line: Line, quantity: int) -> tuple[dict[str, object], Decimal]:
    pointer = f"/line_items/{i}"
    price, discount = _price(mapping, pointer, line, quantity)
    made: dict[str, object] = {
        "externalId": whole_id(line.id),
        "name": text(line.name) or text(line.title),
        "quantity": quantity,
        "price": price,
        "taxable": line.taxable if isinstance(line.taxable, bool) else None,
        "variant": lines.variant(
            mapping,
            f"{pointer}/variant_id",
            mapping.rules,
            external_id=whole_id(line.variant_id),
            sku=text(line.sku),
            line_id=whole_id(line.id),
        ),
        "properties": [{"key": name, "value": value} for name, value in _pairs(line.properties)] or None,
        "orderRouting": "ignore" if line.gift_card is True and mapping.rules.gift_cards == "unrouted" else None,
    }
    if made["externalId"] is None:
        mapping.refuse(f"{pointer}/id", "expected the line's id, a positive whole number of at most 64 bits")
    if line.duties:
        mapping.note(f"{pointer}/duties", "a sale has no place for duties; they are not sent")
    return {name: value for name, value in made.items() if value is not None}, discount


def _shipping(mapping: _Mapping) -> list[dict[str, object]]:
    made = []
    for i, line in enumerate(mapping.order.shipping_lines or []):
        if line.is_removed is True:
            continue
        # After discounts where the API version has it.
        name = "price" if line.discounted_price is None else "discounted_price"
        price = _amount(mapping, f"/shipping_lines/{i}/{name}", getattr(line, name), getattr(line, f"{name}_set"))
        if name == "price" and price is not None and line.discount_allocations:
            off = _allocated(mapping, f"/shipping_lines/{i}", line.discount_allocations)
            price = exact.canonical(max(Decimal(0), ARITHMETIC.subtract(price, off)))
        level = mapping.rules.service_level
        fields: dict[str, object] = {
            "code": text(line.code),
            "name": text(line.title),
            "serviceLevel": None if level == "none" else text(getattr(line, level)),
            "price": price,
        }
        made.append({name: value for name, value in fields.items() if value is not None})
    return made


# Money


def _price(mapping: _Mapping, pointer: str, line: Line, quantity: int) -> tuple[Decimal | None, Decimal]:
    """The price per unit, and the discount on ``quantity`` units that it does not contain.

    Shopify: ``total_discount`` may be 0 while ``discount_allocations`` hold the discount, so only those are read.
    """
    price = _amount(mapping, f"{pointer}/price", line.price, line.price_set)
    if price is None or not line.discount_allocations:
        return price, Decimal(0)
    ordered = mapping.count(f"{pointer}/quantity", line.quantity) or quantity
    allocated = _allocated(mapping, pointer, line.discount_allocations)
    if not ordered or not allocated:
        return price, Decimal(0)
    if mapping.rules.discounts == "gross":
        return price, divided(ARITHMETIC.multiply(allocated, quantity), ordered)
    paid = ARITHMETIC.subtract(ARITHMETIC.multiply(price, ordered), allocated)
    net = divided(paid, ordered)
    if net < 0:
        mapping.refuse(
            f"{pointer}/discount_allocations",
            "the discounts are more than the price; " + set_key('discounts = "gross"'),
        )
    if ARITHMETIC.multiply(net, ordered) != paid:
        mapping.note(f"{pointer}/price", "the price after discounts is no round number and is rounded to 6 decimals")
    return net, Decimal(0)


def _tax(order: Order) -> tuple[str, object]:
    """The tax after refunds and edits, like the quantities; orders of older API versions only have what was ordered."""
    name = "total_tax" if order.current_total_tax is None else "current_total_tax"
    return name, getattr(order, name)


def _unallocated(mapping: _Mapping) -> Decimal:
    """The order's discounts where no line says its share of them, as in API versions before allocations."""
    order = mapping.order
    if _has_shares(order) or not losses.is_some(order.total_discounts):
        return Decimal(0)
    try:
        exact.money(order.total_discounts)
    except ValueError:
        mapping.note("/total_discounts", "no amount, and no line says its share of it; it is not sent")
        return Decimal(0)
    mapping.note("/total_discounts", "no line says its share of the discounts; their sum is sent for the whole order")
    return _amount(mapping, "/total_discounts", order.total_discounts, order.total_discounts_set) or Decimal(0)


def _has_shares(order: Order) -> bool:
    return any(line.discount_allocations for line in (*(order.line_items or ()), *(order.shipping_lines or ())))


def _allocated(mapping: _Mapping, pointer: str, allocations: list[Allocation]) -> Decimal:
    total = Decimal(0)
    for n, allocation in enumerate(allocations):
        at = f"{pointer}/discount_allocations/{n}/amount"
        total = ARITHMETIC.add(total, _amount(mapping, at, allocation.amount, allocation.amount_set) or 0)
    return total


def _amount(mapping: _Mapping, pointer: str, plain: object, both: msgspec.Raw | UnsetType) -> Decimal | None:
    """One amount on the side the rules choose. Shopify: plain fields are in the shop's currency, sets have both."""
    order = mapping.order
    if mapping.rules.money == "presentment" and order.presentment_currency not in (None, order.currency):
        side = presentment(both)
        if side is None or side.currency_code != order.presentment_currency:
            mapping.refuse(f"{pointer}_set", "no amount in the presentment currency; " + set_key('money = "shop"'))
            return None
        plain, pointer = side.amount, f"{pointer}_set/presentment_money/amount"
    return mapping.money(pointer, plain)


def _note_what_is_left(mapping: _Mapping) -> None:
    """Money that has no place in a sale, and goods that have none to go to."""
    order = mapping.order
    name, tax = _tax(order)
    losses.tax(mapping, f"/{name}", tax, mapping.rules.taxes)
    told = any(note.message.startswith("a tip") for note in mapping.notes)
    sent = mapping.rules.tips == "send" and any(line.tip is not None for line in order.line_items or ())
    if losses.is_some(order.total_tip_received) and not told and not sent:
        mapping.note("/total_tip_received", "a sale has no place for tips; they are not sent")
    for what, words in (("duties", "duties"), ("additional_fees", "additional fees")):
        for name in (f"current_total_{what}_set", f"original_total_{what}_set"):
            if (given := getattr(order, name)) is not None:
                if losses.is_some(_of_shop(given)):
                    mapping.note(f"/{name}", f"a sale has no place for {words}; they are not sent")
                break
    names = order.payment_gateway_names if isinstance(order.payment_gateway_names, list) else []
    if {"gift_card", "shopify_store_credit"} & {name for name in names if isinstance(name, str)}:
        mapping.note("/payment_gateway_names", "paid with a gift card or store credit: a payment, and not sent")
    _note_refunds(mapping)
    _note_what_is_missing_from_the_total(mapping)
    shipped = any(line.requires_shipping is True for line in order.line_items or ())
    if shipped and order.shipping_address is None:
        losses.address(mapping, "/shipping_address")


def _note_refunds(mapping: _Mapping) -> None:
    refunds, given = mapping.order.refunds or [], mapping.order.line_items or []
    if any(refund.order_adjustments or (refund.transactions and not refund.refund_line_items) for refund in refunds):
        mapping.note("/refunds", "amounts refunded for no line (shipping, goodwill) are not taken off")
    if any(refund.refund_line_items for refund in refunds) and any(line.current_quantity is None for line in given):
        where = "the webhook's API version has no current_quantity"
        mapping.note("/refunds", f"refunded units are not taken off: {where}; take a newer one")


def _note_what_is_missing_from_the_total(mapping: _Mapping) -> None:
    """Whatever the order's total has and nothing here knows of. All in the shop's currency, as things are now.

    Not of what is cancelled, and not where a refund of no line is noted: then the totals are known to differ.
    """
    order = mapping.order
    told = any(note.pointer == f"{mapping.root}/refunds" for note in mapping.notes)
    if told or order.current_total_price is None or order.cancelled_at not in (UNSET, None, ""):
        return
    extra = [order.total_tip_received] if all(line.tip is None for line in order.line_items or ()) else []
    extra += [_of_shop(order.current_total_duties_set), _of_shop(order.current_total_additional_fees_set)]
    extra += [] if order.taxes_included is True else [_tax(order)[1]]
    given = order.line_items or []
    try:
        parts = [_costs(line, line.price, _left_of(line), exact.whole(line.quantity)) for line in given]
        for line in order.shipping_lines or ():
            if line.is_removed is not True:
                known = line.discounted_price is not None
                parts.append(exact.money(line.discounted_price) if known else _costs(line, line.price, 1, 1))
        if not _has_shares(order) and losses.is_some(order.total_discounts):
            parts.append(-exact.money(order.total_discounts))
        parts += [exact.money(amount) for amount in extra if losses.is_some(amount)]
        perhaps = "the rounding of cash, what an app adds"
        losses.total(mapping, "/current_total_price", order.current_total_price, parts, order.currency, perhaps)
    except ValueError:
        return  # a wrong amount has its reason or its note


def _costs(line: Line | ShippingLine, price: object, left: int, ordered: int) -> Decimal:
    """What the units that are left cost, after their share of the discounts."""
    off = sum((exact.money(allocation.amount) for allocation in line.discount_allocations or ()), Decimal(0))
    share = divided(ARITHMETIC.multiply(off, Decimal(left)), ordered) if ordered else Decimal(0)
    return ARITHMETIC.subtract(ARITHMETIC.multiply(exact.money(price), Decimal(left)), share)


def _left_of(line: Line) -> int:
    return exact.whole(line.quantity if line.current_quantity is None else line.current_quantity)


def _of_shop(both: object) -> object:
    shop = both.get("shop_money") if isinstance(both, dict) else None
    return shop.get("amount") if isinstance(shop, dict) else None


# Values


def _either(wanted: Literal["code", "name"], code: object, name: object) -> str | None:
    return (text(code) or text(name)) if wanted == "code" else (text(name) or text(code))


def _pairs(given: object) -> list[tuple[str, str]]:
    """Name/value pairs, however they come: a list of them, a single one, an empty object, or a plain object."""
    if isinstance(given, dict):
        given = [given] if "name" in given else [{"name": name, "value": value} for name, value in given.items()]
    if not isinstance(given, list):
        return []
    entries = [entry for entry in given if isinstance(entry, dict)]
    return [(name, written(entry.get("value"))) for entry in entries if (name := text(entry.get("name"))) is not None]
