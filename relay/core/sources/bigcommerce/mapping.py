"""A fetched BigCommerce order as a manual sale.

Where BigCommerce leaves a choice, :class:`BigCommerceRules` has it; what a sale cannot carry is said in a note, and
what would make a wrong sale is a reason not to make one. Amounts are text in BigCommerce's JSON and stay exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from relay.core import exact, instant
from relay.core import sale as sales
from relay.core.sale import CancelReason, Reason
from relay.core.sources import Mapped, Unmappable, lines, losses, people
from relay.core.sources.amounts import ARITHMETIC, divided
from relay.core.sources.bigcommerce.rules import BigCommerceRules
from relay.core.sources.bigcommerce.shape import Address, Document, Head, Order, Product, date, opened, rows, whole
from relay.core.sources.findings import Findings, set_key
from relay.core.sources.values import text, whole_id, written

_NOTHING = Decimal(0)
_PRICE = {"ex_tax": "price_ex_tax", "inc_tax": "price_inc_tax", "base": "base_price"}
_DIGITAL = {"digital": "a download", "giftcertificate": "a gift certificate"}
_CANCEL_REASONS: dict[int, CancelReason] = {6: "declined"}


@dataclass(slots=True)
class _Mapping(Findings):
    """One order on its way: the rules, and what was found."""

    document: Document
    order: Order
    rules: BigCommerceRules
    origins: tuple[str | None, ...] = ()
    """Where each line of the sale comes from."""

    def cost(self, pointer: str, part: object, name: str) -> Decimal:
        """A cost of the order or of an address, on the rules' side of the tax; what is not there is nothing."""
        prices = self.rules.prices
        field = f"base_{name}" if prices == "base" else f"{name}_{prices}"
        return self.optional(f"{pointer}/{field}", getattr(part, field, None))

    def optional(self, pointer: str, value: object) -> Decimal:
        """An amount that may be missing."""
        return _NOTHING if value in (None, "", {}) else self.money(pointer, value) or _NOTHING


def to_sale(body: bytes, rules: BigCommerceRules, is_cancelled: Callable[[Head, int], bool]) -> Mapped | Unmappable:
    """The order as a manual sale with notes on what it leaves out, or every reason why it cannot be one. Never raises.

    ``is_cancelled`` says so of an order's head and the number of its status.
    """
    try:
        return _mapped(body, rules, is_cancelled)
    except RecursionError:
        return Unmappable((Reason("", "nested too deeply to be an order"),))


def _mapped(body: bytes, rules: BigCommerceRules, is_cancelled: Callable[[Head, int], bool]) -> Mapped | Unmappable:
    document = opened(body)
    if isinstance(document, Reason):
        return Unmappable((document,))
    order = document.order
    if order is None or document.products is None:
        where = "/order" if order is None else "/products"
        return Unmappable((Reason(where, "was not fetched; it comes with the order's next webhook"),))
    mapping = _Mapping(document, order, rules)
    payload = _payload(mapping, document.products)
    if mapping.reasons:
        return Unmappable(mapping.told)
    made = sales.parse(payload)
    if isinstance(made, tuple):
        return Unmappable(made)
    status = whole(order.status_id)
    head = Head(order.id, order.status_id, order.is_deleted, payment_method=order.payment_method)
    if status is not None and is_cancelled(head, status):
        made = sales.cancelled(made, at=date(order.date_modified), reason=_CANCEL_REASONS.get(status, "other"))
    return Mapped(made, tuple(mapping.notes), mapping.origins)


def _payload(mapping: _Mapping, products: list[Product]) -> dict[str, object]:
    order, rules = mapping.order, mapping.rules
    external_id = whole_id(order.id)
    if external_id is None:
        mapping.refuse("/order/id", "expected the order's id, a positive whole number of at most 64 bits")
    addresses = _addresses(mapping, products)
    items, allocated = _lines(mapping, products, addresses)
    payload: dict[str, object] = {
        "externalId": external_id,
        "customer": _customer(mapping, addresses),
        "lineItems": items,
        "saleDefaults": _sale_defaults(mapping, external_id, addresses, allocated),
    }
    if shipping := _shipping(mapping):
        payload["shipping"] = shipping
    if lines.find_or_create(mapping, "/products", rules, items):
        payload["options"] = {"findOrCreateChannelVariant": True}
    _note_what_is_left(mapping, products)
    return payload


# The order


def _sale_defaults(
    mapping: _Mapping, external_id: str | None, addresses: list[tuple[int, Address]], allocated: Decimal
) -> dict[str, object]:
    order, rules = mapping.order, mapping.rules
    created = date(order.date_created)
    defaults: dict[str, object] = {
        "reference": external_id,
        "dateOrdered": None if created is None else instant.iso(created),
        "notes": _notes(mapping),
        "internalNotes": text(order.staff_notes) if rules.staff_notes else None,
        "discounts": _discounts(mapping, allocated) or None,
        "taxIncluded": True if rules.prices == "inc_tax" else None,
        "tags": _tags(mapping),
        **_columns(mapping, addresses),
    }
    if rules.taxes == "send" and order.total_tax is not None:
        defaults["tax"] = mapping.money("/order/total_tax", order.total_tax)
        defaults["taxIncluded"] = rules.prices == "inc_tax"
        defaults["taxCalculation"] = "custom"
    return {column: value for column, value in defaults.items() if value is not None}


def _notes(mapping: _Mapping) -> str | None:
    message, billing = text(mapping.order.customer_message), mapping.order.billing_address
    fields = [] if billing is None else _pairs(billing.form_fields, ("name",), ("value",))
    if fields and not mapping.rules.form_fields:
        pointer = "/order/billing_address/form_fields"
        mapping.note(pointer, "the store's own fields are not sent; form_fields = true appends them to the notes")
        fields = []
    return "\n".join(filter(None, [message, *(f"{name}: {value}" for name, value in fields)])) or None


def _discounts(mapping: _Mapping, allocated: Decimal) -> Decimal:
    """What is taken off the sum of the prices sent; ``allocated``: what of the discounts is not to be taken off it.

    ``discount_amount`` and ``coupon_discount`` do not contain each other: the specification's order 218 comes to
    67.84 + 12.00 - 5.00 - 5.00 = 69.84.
    """
    order, rules = mapping.order, mapping.rules
    total = _NOTHING
    for name in ("discount_amount", "coupon_discount"):
        total = ARITHMETIC.add(total, mapping.optional(f"/order/{name}", getattr(order, name)))
    total = max(_NOTHING, ARITHMETIC.subtract(total, allocated))
    for name in ("gift_certificate_amount", "store_credit_amount"):
        credit = mapping.optional(f"/order/{name}", getattr(order, name))
        if credit and rules.credits == "discount":
            total = ARITHMETIC.add(total, credit)
        elif credit:
            mapping.note(f"/order/{name}", 'a payment, and not sent; credits = "discount" sends it as a discount')
    return exact.canonical(total)


def _tags(mapping: _Mapping) -> list[str] | None:
    if not mapping.rules.coupon_tags:
        return None
    codes = [code for coupon in rows(mapping.document.coupons) if (code := text(coupon.get("code"))) is not None]
    return list(dict.fromkeys(codes)) or None


def _note_what_is_left(mapping: _Mapping, products: list[Product]) -> None:
    order, rules = mapping.order, mapping.rules
    losses.tax(mapping, "/order/total_tax", order.total_tax, rules.taxes)
    refunded = any((whole(product.quantity_refunded) or 0) > 0 for product in products)
    if refunded and rules.taxes == "send" and losses.is_some(order.total_tax):
        mapping.note("/order/total_tax", "the order's tax is sent as it is; that of refunded units is not taken off")
    _note_what_is_missing_from_the_total(mapping, products)
    if losses.is_some(order.refunded_amount):
        message = "units that were refunded are taken off; amounts refunded beyond them are not"
        mapping.note("/order/refunded_amount", message)
    goods = any(str(product.type) not in _DIGITAL for product in products)
    if goods and not mapping.document.shipping_addresses:
        losses.address(mapping, "/shipping_addresses")
    paid_in, of_store = text(order.default_currency_code), text(order.store_default_currency_code)
    if paid_in and of_store and paid_in != of_store:
        mapping.note("/order/default_currency_code", f"amounts are in {paid_in}; the store's currency is {of_store}")
    ordered, read = whole(order.items_total), sum(whole(product.quantity) or 0 for product in products)
    if ordered is not None and read < ordered:
        mapping.note("/order/items_total", f"the order says it has {ordered} items, and {read} were read")
    if rules.surcharges == "leave" and any(cost for *_, cost in _surcharges(mapping)):
        mapping.note("/order", 'handling, wrapping or fees are not sent; surcharges = "shipping" sends them')


def _note_what_is_missing_from_the_total(mapping: _Mapping, products: list[Product]) -> None:
    """Whatever the order's total has and nothing here knows of; of all that was ordered, with or without tax.

    BigCommerce keeps discounts as the store enters its prices, so that without tax they may be more than they take off.
    """
    order, prices = mapping.order, mapping.rules.prices
    said = {"ex_tax": order.total_ex_tax, "inc_tax": order.total_inc_tax}.get(prices)
    if said in (None, "", {}) or mapping.reasons:
        return
    try:
        parts = [
            ARITHMETIC.multiply(exact.money(getattr(product, _PRICE[prices])), Decimal(exact.whole(product.quantity)))
            for product in products
        ]
        parts += [cost for _, cost in (*_shipped(mapping), *_surcharges(mapping))]
        for name in ("discount_amount", "coupon_discount"):
            parts.append(ARITHMETIC.minus(mapping.optional(f"/order/{name}", getattr(order, name))))
        currency, perhaps = order.default_currency_code, "the tax of discounts, what an app adds"
        losses.total(mapping, f"/order/total_{prices}", said, parts, currency, perhaps)
    except ValueError:
        return  # a wrong amount has its reason, or is of what is left out


# People and places


def _addresses(mapping: _Mapping, products: list[Product]) -> list[tuple[int, Address]]:
    """Where the goods go, with each address's place in the document; the first is the sale's."""
    given = list(enumerate(mapping.document.shipping_addresses or []))
    expected = whole(mapping.order.shipping_address_count) or 0
    if len(given) < expected:
        mapping.refuse(
            "/shipping_addresses", f"the order says it has {expected} shipping addresses, and {len(given)} were read"
        )
    goes_to = {whole_id(product.order_address_id) for product in products}
    used = [(i, address) for i, address in given if whole_id(address.id) in goes_to - {None}] or given
    if len(used) < 2:
        return used
    match mapping.rules.several_addresses:
        case "refuse":
            mapping.refuse(
                "/shipping_addresses",
                f"the order goes to {len(used)} addresses and a sale has one; "
                + set_key('several_addresses = "manual"'),
            )
        case "first":
            mapping.note("/shipping_addresses", f"of {len(used)} addresses the first is sent for all lines")
        case "manual":
            mapping.note(
                "/shipping_addresses",
                f"of {len(used)} addresses the first is sent; lines for the others are to be routed by hand",
            )
    return used


def _columns(mapping: _Mapping, addresses: list[tuple[int, Address]]) -> dict[str, object]:
    in_line_two, billing = mapping.rules.company_in_line_two, mapping.order.billing_address
    made = people.columns(
        "billing",
        _address(mapping, billing) if billing else None,
        mapping,
        "/order/billing_address/company",
        company_in_line_two=in_line_two,
    )
    if not addresses:
        return made
    position, shipping = addresses[0]
    where = f"/shipping_addresses/{position}/company"
    return made | people.columns(
        "shipping", _address(mapping, shipping), mapping, where, company_in_line_two=in_line_two
    )


def _address(mapping: _Mapping, given: Address) -> people.Address:
    code, name = text(given.country_iso2), text(given.country)
    return people.Address(
        first_name=text(given.first_name),
        last_name=text(given.last_name),
        company=text(given.company),
        line_one=text(given.street_1),
        line_two=text(given.street_2),
        city=text(given.city),
        state=text(given.state),
        zip=text(given.zip),
        country=(code or name) if mapping.rules.country == "code" else (name or code),
    )


def _customer(mapping: _Mapping, addresses: list[tuple[int, Address]]) -> dict[str, object]:
    """Who bought, which BigCommerce has as the billing address; guests have no more than that."""
    given = [mapping.order.billing_address, *(address for _, address in addresses[:1])]
    buyers = [buyer for buyer in given if buyer is not None]
    names = ((text(buyer.first_name), text(buyer.last_name)) for buyer in buyers)
    first, last = next((name for name in names if any(name)), (None, None))
    where = "/order/billing_address"
    customer = {
        "email": people.email(mapping, f"{where}/email", map(_email, buyers), mapping.rules.fallback_email),
        "firstName": first,
        "lastName": last,
        "phone": people.phone(mapping, f"{where}/phone", (text(buyer.phone) for buyer in buyers)),
    }
    return {column: value for column, value in customer.items() if value is not None}


def _email(buyer: Address) -> str | None:
    return text(buyer.email)


def _in_one_line(mapping: _Mapping, given: Address) -> str:
    to = _address(mapping, given)
    name = " ".join(filter(None, (to.first_name, to.last_name)))
    city = " ".join(filter(None, (to.state, to.zip)))
    parts = (name, to.company, to.line_one, to.line_two, to.city, city, to.country)
    return ", ".join(part for part in parts if part)


# Lines


def _lines(
    mapping: _Mapping, products: list[Product], addresses: list[tuple[int, Address]]
) -> tuple[list[dict[str, object]], Decimal]:
    """The lines, and what of the discounts their prices already have taken off, or falls on what is not sent."""
    kept = [(i, product) for i, product in enumerate(products) if not _left_out(mapping, i, product)]
    counted = [(i, product, _quantity(mapping, f"/products/{i}", product)) for i, product in kept]
    present = [entry for entry in counted if entry[2] != 0] if mapping.rules.removed_lines == "omit" else counted
    if len(present) < len(counted):
        mapping.note("/products", f"{len(counted) - len(present)} refunded lines are left out")
    # A sale must have lines: an order of which nothing is left says so with quantities of 0.
    chosen = present or counted
    if not chosen:
        mapping.refuse("/products", "the order has no lines to send")
    lines.tell_apart(mapping, ((f"/products/{i}/id", whole_id(product.id)) for i, product in kept))
    mapping.origins = tuple(f"/products/{i}" for i, *_ in chosen)
    elsewhere = {whole_id(address.id): address for _, address in addresses[1:]}
    made, allocated = [], _NOTHING
    for i, product, quantity in chosen:
        line, discount = _line(mapping, f"/products/{i}", product, quantity)
        address = elsewhere.get(whole_id(product.order_address_id))
        if address is not None and mapping.rules.several_addresses == "manual":
            _route_by_hand(line, _in_one_line(mapping, address))
        made.append(line)
        allocated = ARITHMETIC.add(allocated, discount)
    sent = {i for i, *_ in chosen}
    for i, product in enumerate(products):
        if i not in sent:
            allocated = ARITHMETIC.add(allocated, _applied(mapping, f"/products/{i}", product))
    return made, allocated


def _route_by_hand(line: dict[str, object], address: str) -> None:
    properties = line.get("properties")
    known = properties if isinstance(properties, list) else []
    line["properties"] = [*known, {"key": "Ship to", "value": address}]
    line.setdefault("orderRouting", "manual")


def _left_out(mapping: _Mapping, i: int, product: Product) -> bool:
    rules, pointer = mapping.rules, f"/products/{i}"
    if rules.bundle_children == "drop" and _is_child(product):
        mapping.note(pointer, 'a choice from a pick list is left out, as bundle_children = "drop" says')
        return True
    if rules.digital == "drop" and (what := _DIGITAL.get(str(product.type))) is not None:
        mapping.note(pointer, f'{what} is left out, as digital = "drop" says')
        return True
    return False


def _is_child(product: Product) -> bool:
    """BigCommerce: ``null``, 0, or in samples ``{}``, where there is no parent."""
    return whole_id(product.parent_order_product_id) is not None


def _quantity(mapping: _Mapping, pointer: str, product: Product) -> int:
    ordered = mapping.count(f"{pointer}/quantity", product.quantity)
    refunded = whole(product.quantity_refunded) or 0
    return max(0, ordered - max(0, refunded))


def _line(mapping: _Mapping, pointer: str, product: Product, quantity: int) -> tuple[dict[str, object], Decimal]:
    rules, line_id = mapping.rules, whole_id(product.id)
    price, allocated = _price(mapping, pointer, product, quantity)
    connected = lines.variant(
        mapping,
        f"{pointer}/variant_id",
        rules,
        external_id=whole_id(product.variant_id),
        sku=text(product.sku),
        line_id=line_id,
    )
    made: dict[str, object] = {
        "externalId": line_id,
        "name": text(product.name),
        "quantity": quantity,
        "price": price,
        "variant": connected,
        "properties": _properties(mapping, product) or None,
        "orderRouting": "ignore" if _is_unrouted(product, rules) else None,
    }
    if _is_child(product):
        mapping.note(f"{pointer}/parent_order_product_id", "a choice from a pick list; see bundle_children")
    if line_id is None:
        mapping.refuse(f"{pointer}/id", "expected the line's id, a positive whole number of at most 64 bits")
    return {name: value for name, value in made.items() if value is not None}, allocated


def _is_unrouted(product: Product, rules: BigCommerceRules) -> bool:
    """Whether nothing is to be shipped for the line."""
    if _is_child(product) and rules.bundle_children == "unrouted":
        return True
    return rules.digital == "unrouted" and str(product.type) in _DIGITAL


def _properties(mapping: _Mapping, product: Product) -> list[dict[str, str]]:
    pairs = _pairs(product.product_options, ("display_name", "name"), ("display_value", "value"))
    pairs += _pairs(product.configurable_fields, ("display_name", "name"), ("value",))
    if (event := text(product.event_name)) is not None and (on := text(product.event_date)) is not None:
        pairs.append((event, on))
    if mapping.rules.gift_wrapping:
        wrapping = (("Gift wrapping", product.wrapping_name), ("Gift message", product.wrapping_message))
        pairs += [(name, value) for name, given in wrapping if (value := text(given)) is not None]
    return [{"key": name, "value": value} for name, value in pairs]


def _pairs(given: object, names: tuple[str, ...], values: tuple[str, ...]) -> list[tuple[str, str]]:
    """Name and value of every object of a list that has a name."""
    found = []
    for row in rows(given):
        name = next(filter(None, (text(row.get(key)) for key in names)), None)
        value: Any = next((row[key] for key in values if row.get(key) is not None), None)
        if name is not None:
            found.append((name, written(value)))
    return found


# Money


def _price(mapping: _Mapping, pointer: str, product: Product, quantity: int) -> tuple[Decimal | None, Decimal]:
    """The price per unit, and the discount on all units that it has taken off, or on those that were refunded.

    BigCommerce: prices are before discounts; ``applied_discounts`` are what of each falls on all units of the line.
    """
    name = _PRICE[mapping.rules.prices]
    price = mapping.money(f"{pointer}/{name}", getattr(product, name))
    ordered = whole(product.quantity) or 0
    net_wanted = mapping.rules.discounts == "net"
    if price is None or ordered < 1 or not (net_wanted or quantity < ordered):
        return price, _NOTHING
    off = _applied(mapping, pointer, product)
    if not net_wanted:
        return price, divided(ARITHMETIC.multiply(off, Decimal(ordered - quantity)), ordered)
    paid = ARITHMETIC.subtract(ARITHMETIC.multiply(price, ordered), off)
    net = divided(paid, ordered)
    if net < 0:
        problem = "the discounts are more than the price; " + set_key('discounts = "gross"')
        mapping.refuse(f"{pointer}/applied_discounts", problem)
    if ARITHMETIC.multiply(net, ordered) != paid:
        mapping.note(f"{pointer}/{name}", "the price after discounts is no round number and is rounded to 6 decimals")
    return net, off


def _applied(mapping: _Mapping, pointer: str, product: Product) -> Decimal:
    """What of the order's discounts falls on all units of a line."""
    off = _NOTHING
    for n, row in enumerate(rows(product.applied_discounts)):
        off = ARITHMETIC.add(off, mapping.optional(f"{pointer}/applied_discounts/{n}/amount", row.get("amount")))
    return off


def _shipping(mapping: _Mapping) -> list[dict[str, object]]:
    """A line for each address that goods are shipped to, and one for each surcharge."""
    made: list[dict[str, object]] = [{"name": name, "price": price} for name, price in _shipped(mapping)]
    if mapping.rules.surcharges == "shipping":
        made += [{"name": name, "price": cost} for name, cost in _surcharges(mapping) if cost]
    return [{name: value for name, value in line.items() if value is not None} for line in made]


def _shipped(mapping: _Mapping) -> list[tuple[str | None, Decimal]]:
    """How it is shipped to each address, and what that costs."""
    given = enumerate(mapping.document.shipping_addresses or [])
    made = [(text(to.shipping_method), mapping.cost(f"/shipping_addresses/{i}", to, "cost")) for i, to in given]
    if not made and (price := mapping.cost("/order", mapping.order, "shipping_cost")):
        made.append((None, price))
    return made


def _surcharges(mapping: _Mapping) -> list[tuple[str, Decimal]]:
    order = mapping.order
    found = [
        ("Handling", mapping.cost("/order", order, "handling_cost")),
        ("Gift wrapping", mapping.cost("/order", order, "wrapping_cost")),
    ]
    cost = "cost_ex_tax" if mapping.rules.prices == "ex_tax" else "cost_inc_tax"
    for i, fee in enumerate(rows(order.fees)):
        name = text(fee.get("display_name_customer")) or text(fee.get("display_name_merchant")) or "Fee"
        found.append((name, mapping.optional(f"/order/fees/{i}/{cost}", fee.get(cost))))
    return found
