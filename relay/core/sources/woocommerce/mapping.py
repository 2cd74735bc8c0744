"""A WooCommerce order, in the shape of the REST API v3, as a manual sale.

Where WooCommerce leaves a choice, :class:`WooRules` has it; what a sale cannot carry is said in a note, and what would
make a wrong sale is a reason not to make one. A line's amounts are for all its units and without tax, in text; its
``price`` is a binary float's rendering of their quotient, so prices are divided here, exactly.
"""

import html
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from relay.core import exact, instant
from relay.core import sale as sales
from relay.core.sale import CancelReason, Reason
from relay.core.sources import Mapped, Unmappable, lines, losses, moment, people
from relay.core.sources.amounts import ARITHMETIC, divided
from relay.core.sources.findings import AND_AGAIN, Findings, set_key
from relay.core.sources.values import text, whole_id, written
from relay.core.sources.woocommerce.rules import WooRules
from relay.core.sources.woocommerce.shape import Contact, Fee, Line, Order, entries, opened, status

_NOTHING = Decimal(0)
_CANCEL_REASONS: dict[str, CancelReason] = {"failed": "declined"}
_PARENTS = frozenset(("_bundled_by", "_composite_parent", "_mnm_container", "_woosb_parent_id"))
"""Metadata by which a line of Product Bundles, Composite Products, Mix and Match or WPC Bundles names its parent."""


@dataclass(slots=True)
class _Mapping(Findings):
    """One order on its way: the rules, and what was found."""

    order: Order
    rules: WooRules
    origins: list[str | None] = field(default_factory=list)
    """Where each line of the sale comes from."""

    def amount(self, pointer: str, value: object, tax: object = None) -> Decimal | None:
        """An amount, with its tax where the rules say so."""
        amount = self.money(pointer, value)
        if amount is None or self.rules.prices == "without_tax" or _is_blank(tax):
            return amount
        added = self.money(f"{pointer}_tax", tax)
        return None if added is None else exact.canonical(ARITHMETIC.add(amount, added))


@dataclass(slots=True)
class _Fees:
    """An order's fees, as what the rules make of them: lines, shipping lines or, where they are negative, discounts."""

    items: list[dict[str, object]] = field(default_factory=list)
    origins: list[str | None] = field(default_factory=list)
    shipping: list[dict[str, object]] = field(default_factory=list)
    discounts: Decimal = _NOTHING


def to_sale(body: bytes, rules: WooRules) -> Mapped | Unmappable:
    """The order as a manual sale with notes on what it leaves out, or every reason why it cannot be one.

    Nothing depends on the topic, because it is not signed. Never raises.
    """
    try:
        return _mapped(body, rules)
    except RecursionError:
        return Unmappable((Reason("", "nested too deeply to be an order"),))


def _mapped(body: bytes, rules: WooRules) -> Mapped | Unmappable:
    order = opened(body)
    if isinstance(order, Reason):
        return Unmappable((order,))
    mapping = _Mapping(order, rules)
    if order.line_items is None:
        mapping.refuse("/line_items", f"the webhook is trimmed: set its API version to WP REST API v3, {AND_AGAIN}")
        return Unmappable(mapping.told)
    payload = _payload(mapping)
    if mapping.reasons:
        return Unmappable(mapping.told)
    made = sales.parse(payload)
    if isinstance(made, tuple):
        return Unmappable(made)
    state = status(order.status)
    if state in rules.cancelled_statuses:
        at, reason = moment(order.date_modified_gmt), _CANCEL_REASONS.get(state, "other")
        made = sales.cancelled(made, at=at, reason=reason)
    return Mapped(made, tuple(mapping.notes), tuple(mapping.origins))


def _payload(mapping: _Mapping) -> dict[str, object]:
    order, rules = mapping.order, mapping.rules
    external_id = whole_id(order.id)
    if external_id is None:
        mapping.refuse("/id", "expected the order's id, a positive whole number of at most 64 bits")
    _check_currency(mapping)
    fees = _fees(mapping)
    items, discounts = _lines(mapping, fees)
    payload: dict[str, object] = {
        "externalId": external_id,
        "customer": _customer(mapping),
        "lineItems": items,
        "saleDefaults": _sale_defaults(mapping, discounts),
    }
    if shipping := [*_shipping(mapping), *fees.shipping]:
        payload["shipping"] = shipping
    if lines.find_or_create(mapping, "/line_items", rules, items):
        payload["options"] = {"findOrCreateChannelVariant": True}
    _note_what_is_left(mapping)
    return payload


def _check_currency(mapping: _Mapping) -> None:
    wanted, found = mapping.rules.currency, text(mapping.order.currency)
    if wanted is not None and found is not None and found.upper() != wanted.upper():
        mapping.refuse("/currency", f"the order is in {exact.shown(found)}, and the storefront's currency is {wanted}")


def _note_what_is_left(mapping: _Mapping) -> None:
    order = mapping.order
    losses.tax(mapping, "/total_tax", order.total_tax, mapping.rules.taxes)
    _note_what_is_missing_from_the_total(mapping)
    if isinstance(order.refunds, list) and order.refunds:
        mapping.note("/refunds", "refunds are not taken off: WooCommerce says how much, but not of which lines")
    if isinstance(order.coupon_lines, list) and order.coupon_lines:
        mapping.note("/coupon_lines", "a sale has no place for coupon codes; what they take off is in the amounts")


def _note_what_is_missing_from_the_total(mapping: _Mapping) -> None:
    """Gift cards, store credit and whatever else a plugin takes off or puts on are in the order's total alone."""
    order = mapping.order
    amounts = [line.total for _, line in entries(order.line_items)]
    amounts += [line.total for _, line in entries(order.shipping_lines)]
    amounts += [fee.total for _, fee in entries(order.fee_lines)]
    try:
        parts = [exact.decimal(amount) for amount in (*amounts, order.total_tax) if not _is_blank(amount)]
        losses.total(mapping, "/total", order.total, parts, text(order.currency), "a gift card, store credit, a plugin")
    except ValueError:
        return  # a wrong amount has its reason, and without a total there is nothing to compare


# The order


def _sale_defaults(mapping: _Mapping, discounts: Decimal) -> dict[str, object]:
    order, rules = mapping.order, mapping.rules
    with_tax = rules.prices == "with_tax"
    defaults: dict[str, object] = {
        "reference": text(order.number) or text(order.id),
        "dateOrdered": None if (created := moment(order.date_created_gmt)) is None else instant.iso(created),
        "notes": text(order.customer_note),
        "discounts": discounts or None,
        "taxIncluded": True if with_tax else None,
        **_addresses(mapping),
    }
    if rules.taxes == "send" and order.total_tax is not None:
        defaults["tax"] = mapping.money("/total_tax", order.total_tax)
        defaults["taxIncluded"] = with_tax
        defaults["taxCalculation"] = "custom"
    return {column: value for column, value in defaults.items() if value is not None}


def _addresses(mapping: _Mapping) -> dict[str, object]:
    rules = mapping.rules
    billing = _address(_contact(mapping, "/billing", mapping.order.billing))
    shipping = _address(_contact(mapping, "/shipping", mapping.order.shipping))
    where = "/shipping/company"
    if rules.empty_shipping == "billing" and _is_nowhere(shipping) and not _is_nowhere(billing):
        mapping.note(
            "/shipping", 'the shipping address is blank; the billing address is sent (empty_shipping = "billing")'
        )
        shipping, where = billing, "/billing/company"
    elif _is_nowhere(shipping):
        mapping.note("/shipping", "the shipping address is blank, and none is made up; see empty_shipping")
    in_line_two = rules.company_in_line_two
    columns = people.columns("billing", billing, mapping, "/billing/company", company_in_line_two=in_line_two)
    return columns | people.columns("shipping", shipping, mapping, where, company_in_line_two=in_line_two)


def _contact(mapping: _Mapping, pointer: str, given: "Contact | list[Any] | None") -> Contact:
    if isinstance(given, list) and given:
        mapping.refuse(pointer, "expected an object, found a list")
    return given if isinstance(given, Contact) else Contact()


def _address(contact: Contact) -> people.Address:
    return people.Address(
        first_name=text(contact.first_name),
        last_name=text(contact.last_name),
        company=text(contact.company),
        line_one=text(contact.address_1),
        line_two=text(contact.address_2),
        city=text(contact.city),
        state=text(contact.state),
        zip=text(contact.postcode),
        country=text(contact.country),
    )


def _is_nowhere(address: people.Address) -> bool:
    """Whether nobody could be reached there; country and state may be the shop's defaults."""
    return not any((address.first_name, address.last_name, address.line_one, address.city, address.zip))


def _customer(mapping: _Mapping) -> dict[str, object]:
    """Who bought, which WooCommerce has as the billing address; guests have no more than that."""
    given = (mapping.order.billing, mapping.order.shipping)
    buyers = [contact for contact in given if isinstance(contact, Contact)]
    names = ((text(buyer.first_name), text(buyer.last_name)) for buyer in buyers)
    first, last = next((name for name in names if any(name)), (None, None))
    emails = (text(buyer.email) for buyer in buyers)
    customer = {
        "email": people.email(mapping, "/billing/email", emails, mapping.rules.fallback_email),
        "firstName": first,
        "lastName": last,
        "phone": people.phone(mapping, "/billing/phone", (text(buyer.phone) for buyer in buyers)),
    }
    return {column: value for column, value in customer.items() if value is not None}


# Lines


def _lines(mapping: _Mapping, fees: _Fees) -> tuple[list[dict[str, object]], Decimal]:
    """The lines with the fees among them, and the sum of what discounts the prices do not contain."""
    chosen = _chosen(mapping)
    if not chosen and not fees.items:
        remedy = "an order of nothing but fees; " + set_key('fees = "line" and fee_sku')
        mapping.refuse("/line_items", remedy if mapping.order.fee_lines else "the order has no lines to send")
    items, total = [], fees.discounts
    for pointer, line in chosen:
        made, discount = _line(mapping, pointer, line)
        items.append(made)
        mapping.origins.append(pointer)
        total = ARITHMETIC.add(total, discount)
    mapping.origins += fees.origins
    return [*items, *fees.items], exact.canonical(total)


def _chosen(mapping: _Mapping) -> list[tuple[str, Line]]:
    kept: list[tuple[str, Line]] = []
    known: dict[str | None, Line] = {}
    for step, line in entries(mapping.order.line_items):
        pointer = f"/line_items/{step}"
        if known.setdefault(whole_id(line.id), line) is not line and known[whole_id(line.id)] == line:
            mapping.note(pointer, "the same line as an earlier one, its id and all; it is sent once")
        elif mapping.rules.bundled == "drop" and _is_part_of_another(line):
            mapping.note(pointer, 'part of a bundle, without a price, and left out, as bundled = "drop" says')
        else:
            kept.append((pointer, line))
    lines.tell_apart(mapping, ((f"{pointer}/id", whole_id(line.id)) for pointer, line in kept))
    return kept


def _is_part_of_another(line: Line) -> bool:
    """Whether a line belongs to a bundle's or a composite's line, in whose price it is contained."""
    named = any(text(parent) not in (None, "0") for parent in (line.bundled_by, line.composite_parent))
    named = named or any(text(entry.get("key")) in _PARENTS and text(entry.get("value")) for entry in _metadata(line))
    return named and _is_nothing(line.subtotal) and _is_nothing(line.total)


def _line(mapping: _Mapping, pointer: str, line: Line) -> tuple[dict[str, object], Decimal]:
    quantity, fraction = _quantity(mapping, pointer, line)
    price, discount = _price(mapping, pointer, line, quantity)
    properties = _properties(mapping, line)
    if fraction is not None:
        properties.append({"key": "quantity", "value": fraction})
    made: dict[str, object] = {
        "externalId": whole_id(line.id),
        "name": _shown(line.name),
        "quantity": quantity,
        "price": price,
        "taxable": _is_taxed(line),
        "variant": lines.variant(
            mapping,
            f"{pointer}/product_id",
            mapping.rules,
            external_id=whole_id(line.variation_id) or whole_id(line.product_id),  # 0 where there is none
            sku=text(line.sku),
            line_id=whole_id(line.id),
        ),
        "properties": properties or None,
    }
    if made["externalId"] is None:
        mapping.refuse(f"{pointer}/id", "expected the line's id, a positive whole number of at most 64 bits")
    return {name: value for name, value in made.items() if value is not None}, discount


def _quantity(mapping: _Mapping, pointer: str, line: Line) -> tuple[int | None, str | None]:
    """How many units; and where they are no whole number and one unit stands for all, what it stands for."""
    try:
        given = exact.decimal(line.quantity)
        if given >= 0 and exact.decimals(given) and mapping.rules.fractional_quantities == "one":
            mapping.note(f"{pointer}/quantity", f"a quantity of {given} is sent as one unit at the line's price")
            return 1, str(given)
        if given >= 0 and exact.decimals(given):
            remedy = set_key('fractional_quantities = "one"')
            mapping.refuse(f"{pointer}/quantity", f"Jetti takes whole quantities, found {given}; {remedy}")
            return None, None
    except ValueError:
        pass  # no number at all, which counting it says
    refused = len(mapping.reasons)
    count = mapping.count(f"{pointer}/quantity", line.quantity)
    return (count if len(mapping.reasons) == refused else None), None


def _is_taxed(line: Line) -> bool:
    return not _is_nothing(line.total_tax) or (isinstance(line.taxes, list) and bool(line.taxes))


def _properties(mapping: _Mapping, line: Line) -> list[dict[str, str]]:
    """What is hidden has its own key: whether it is sent is decided when the lines are routed."""
    made: list[dict[str, str]] = []
    for entry in _metadata(line):
        key, value = text(entry.get("key")), entry.get("value")
        if mapping.rules.properties == "display" and not (key or "").startswith("_"):
            shown = entry.get("display_value")
            key, value = _shown(entry.get("display_key")) or key, value if shown is None else shown
        if key is not None:
            made.append(
                {"key": key, "value": html.unescape(written(value)) if isinstance(value, str) else written(value)}
            )
    return made


def _metadata(line: Line) -> list[dict[str, Any]]:
    given = line.meta_data
    found = given if isinstance(given, list) else given.values() if isinstance(given, dict) else ()
    return [entry for entry in found if isinstance(entry, dict)]


def _shown(value: object) -> str | None:
    """Text that WooCommerce has escaped for a page: ``Shirt &ndash; Blue``."""
    found = text(value)
    return None if found is None else text(html.unescape(found))


# Money


def _price(mapping: _Mapping, pointer: str, line: Line, quantity: int | None) -> tuple[Decimal | None, Decimal]:
    """The price per unit, and the discount on the whole line that it does not contain."""
    before, after = _amounts(mapping, pointer, line)
    if before is None or after is None or quantity is None:
        return None, _NOTHING
    # A total above the subtotal is no discount: someone raised the price by hand.
    gross = mapping.rules.discounts == "gross" and before > after
    amount = before if gross else after
    if not quantity:
        if amount:
            mapping.refuse(f"{pointer}/quantity", "no units, but an amount; correct the line in the shop")
        return _NOTHING, _NOTHING
    price = divided(amount, quantity)
    if ARITHMETIC.multiply(price, Decimal(quantity)) != amount:
        where = f"{pointer}/{'subtotal' if gross else 'total'}"
        mapping.note(where, "the price per unit is no round number and is rounded to 6 decimals")
    return price, ARITHMETIC.subtract(before, after) if gross else _NOTHING


def _amounts(mapping: _Mapping, pointer: str, line: Line) -> tuple[Decimal | None, Decimal | None]:
    """A line's amounts before and after discounts; a line without the one has the other."""
    if _is_blank(line.subtotal):
        after = mapping.amount(f"{pointer}/total", line.total, line.total_tax)
        return after, after
    before = mapping.amount(f"{pointer}/subtotal", line.subtotal, line.subtotal_tax)
    if _is_blank(line.total):
        return before, before
    return before, mapping.amount(f"{pointer}/total", line.total, line.total_tax)


def _is_blank(value: object) -> bool:
    """Whether WooCommerce has no value there, which it writes as empty text."""
    return value is None or (isinstance(value, str) and not value.strip())


def _is_nothing(value: object) -> bool:
    """Whether an amount is 0 or blank; what is no amount is not nothing."""
    try:
        return _is_blank(value) or not exact.decimal(value)
    except ValueError:
        return False


def _shipping(mapping: _Mapping) -> list[dict[str, object]]:
    made = []
    for step, line in entries(mapping.order.shipping_lines):
        level = mapping.rules.service_level
        fields: dict[str, object] = {
            "code": text(line.method_id),
            "name": _shown(line.method_title),
            "serviceLevel": None if level == "none" else _shown(getattr(line, level)),
            "price": mapping.amount(f"/shipping_lines/{step}/total", line.total, line.total_tax),
        }
        made.append({name: value for name, value in fields.items() if value is not None})
    return made


def _fees(mapping: _Mapping) -> _Fees:
    made, rules = _Fees(), mapping.rules
    for step, fee in entries(mapping.order.fee_lines):
        pointer, name = f"/fee_lines/{step}", _shown(fee.name) or "Fee"
        amount = mapping.amount(f"{pointer}/total", fee.total, fee.total_tax)
        if amount is None:
            continue
        if rules.fees == "drop":
            mapping.note(pointer, 'a fee is left out, as fees = "drop" says')
        elif amount < 0:
            mapping.note(pointer, "a negative fee is sent as a discount")
            made.discounts = ARITHMETIC.subtract(made.discounts, amount)
        elif rules.fees == "line":
            made.items.append(_fee_line(mapping, pointer, fee, name, amount))
            made.origins.append(pointer)
        else:
            mapping.note(pointer, 'a fee is sent as a shipping line; fees = "line" and fee_sku make it a line')
            made.shipping.append({"code": "fee", "name": name, "price": amount})
    return made


def _fee_line(mapping: _Mapping, pointer: str, fee: Fee, name: str, amount: Decimal) -> dict[str, object]:
    """A line that nobody is to fulfil. Its id is unique: WooCommerce counts lines and fees together."""
    rules, external_id = mapping.rules, whole_id(fee.id)
    variant: dict[str, str] = {}
    if external_id is None:
        mapping.refuse(f"{pointer}/id", "expected the fee's id, a positive whole number of at most 64 bits")
    if not (rules.fee_sku or rules.custom_item_sku or rules.find_or_create_channel_variant):
        mapping.refuse(pointer, "a fee that is a line needs a SKU; " + set_key("fee_sku"))
    else:
        sku = rules.fee_sku
        variant = lines.variant(mapping, pointer, rules, external_id=None, sku=sku, line_id=external_id)
    return {
        "externalId": external_id,
        "name": name,
        "quantity": 1,
        "price": amount,
        "taxable": fee.tax_status == "taxable",
        "variant": variant,
        "orderRouting": "ignore",
    }
