"""An Elastic Path order with its items as a manual sale.

Where Elastic Path leaves a choice, :class:`ElasticPathRules` has it; what a sale cannot carry is said in a note, and
what would make a wrong sale is a reason not to make one. Amounts are whole numbers of the currency's smallest unit. An
item's ``unit_price`` is before discounts; the order's ``display_price.discount`` has all discounts in it, those that
are also items (promotions, with negative amounts) too, so the two are never added up.
"""

from dataclasses import dataclass
from decimal import Decimal

from relay.core import exact, instant
from relay.core import sale as sales
from relay.core.sale import Reason
from relay.core.sources import Mapped, Unmappable, amounts, lines, losses, moment, people
from relay.core.sources.amounts import ARITHMETIC, divided
from relay.core.sources.elasticpath import shape
from relay.core.sources.elasticpath.rules import ElasticPathRules
from relay.core.sources.elasticpath.shape import Address, Item, Meta, Money, Order, Person, Prices, Timestamps
from relay.core.sources.findings import AND_AGAIN, Findings, set_key
from relay.core.sources.values import text, undecoded, written

_NOTHING = Decimal(0)
_ITEMS = "/included/items"


@dataclass(slots=True)
class _Mapping(Findings):
    """One order on its way: the rules, and what was found."""

    order: Order
    items: list[Item]
    rules: ElasticPathRules
    origins: tuple[str | None, ...] = ()
    """Where each line of the sale comes from."""

    @property
    def prices(self) -> Prices:
        """The order's sums."""
        return (self.order.meta or Meta()).display_price or Prices()

    @property
    def timestamps(self) -> Timestamps:
        """The order's dates."""
        return (self.order.meta or Meta()).timestamps or Timestamps()

    def major(self, pointer: str, given: Money | None) -> Decimal | None:
        """An amount in major units; refused where there is none, or nothing says which currency's."""
        if given is None or given.amount is None:
            self.refuse(pointer, "expected an amount and its currency, found nothing")
            return None
        currency = (text(given.currency) or "").upper()
        try:
            exponent = amounts.decimals(currency, self.rules.currency_decimals)
            amount = amounts.major(given.amount, exponent)
        except ValueError as error:
            self.refuse(f"{pointer}/amount", str(error))
            return None
        if amount and len(currency) != 3:
            self.refuse(f"{pointer}/currency", "expected a currency's code of three letters, which says the decimals")
        elif amount and self.rules.currency is not None and currency != self.rules.currency.upper():
            wanted = self.rules.currency
            self.refuse(f"{pointer}/currency", f"an amount in {currency}, and the storefront's currency is {wanted}")
        return amount

    def optional(self, pointer: str, given: Money | None) -> Decimal:
        """The size of an amount that may be missing, whatever its sign: discounts are negative."""
        return _NOTHING if given is None or given.amount is None else abs(self.major(pointer, given) or _NOTHING)


def is_cancelled(status: object, payment: object, topic: str, rules: ElasticPathRules) -> bool:
    """Whether an order is cancelled, by its status, by what happened to it, or as the rules say by its refund."""
    if text(status) in ("cancelled", "canceled") or topic == "order.cancelled":
        return True
    return rules.refunded == "cancel" and text(payment) == "refunded"


def to_sale(body: bytes, topic: str, rules: ElasticPathRules) -> Mapped | Unmappable:
    """The order as a manual sale with notes on what it leaves out, or every reason why it cannot be one.

    Never raises.
    """
    try:
        return _mapped(body, topic, rules)
    except RecursionError:
        return Unmappable((Reason("", "nested too deeply to be an order"),))


def _mapped(body: bytes, topic: str, rules: ElasticPathRules) -> Mapped | Unmappable:
    mapping = _opened(body, rules)
    if isinstance(mapping, Reason):
        return Unmappable((mapping,))
    payload = _payload(mapping)
    if mapping.reasons:
        return Unmappable(mapping.told)
    made = sales.parse(payload)
    if isinstance(made, tuple):
        return Unmappable(made)
    if is_cancelled(mapping.order.status, mapping.order.payment, topic, rules):
        made = sales.cancelled(made, at=moment(mapping.timestamps.updated_at), reason="other")
    return Mapped(made, tuple(mapping.notes), mapping.origins)


def _opened(body: bytes, rules: ElasticPathRules) -> _Mapping | Reason:
    try:
        found = shape.found(shape.envelopes.decode(body))
    except ValueError as error:
        return undecoded(error)
    if found is None or found.items is None:
        return Reason(
            "/payload", f"the event has no order with its items: it needs payload.included.items; {AND_AGAIN}"
        )
    at = f"{found.root}/data"
    try:
        order = shape.orders.decode(found.data)
        at = found.root + _ITEMS
        return _Mapping(order, shape.items.decode(found.items), rules, root=found.root)
    except ValueError as error:
        fault = undecoded(error)
        return Reason(at + fault.pointer, fault.message)


def _payload(mapping: _Mapping) -> dict[str, object]:
    order, rules = mapping.order, mapping.rules
    external_id = sales.identifier(order.id)
    if external_id is None:
        mapping.refuse("/data/id", "expected the order's id of 1 to 255 printable characters")
    sorted_out = _sorted_out(mapping)
    mapping.origins = tuple(mapping.root + pointer for pointer, _ in sorted_out.goods)
    items, discounts = _lines(mapping, external_id, sorted_out)
    payload: dict[str, object] = {
        "externalId": external_id,
        "customer": _customer(mapping),
        "lineItems": items,
        "saleDefaults": _sale_defaults(mapping, discounts, _tax_included(mapping, sorted_out.goods)),
    }
    shipping = _shipping(mapping, sorted_out.shipping)
    if shipping:
        payload["shipping"] = shipping
    if not mapping.reasons:
        _note_what_is_missing_from_the_total(mapping, items, shipping, discounts)
    if lines.find_or_create(mapping, _ITEMS, rules, items):
        payload["options"] = {"findOrCreateChannelVariant": True}
    _note_what_is_left(mapping)
    return payload


def _note_what_is_left(mapping: _Mapping) -> None:
    order, tax = mapping.order, mapping.prices.tax
    losses.tax(mapping, "/data/meta/display_price/tax", None if tax is None else tax.amount, mapping.rules.taxes)
    if text(order.payment) in ("refunded", "partially_refunded"):
        mapping.note("/data/payment", "refunds are not taken off: the event says neither how much nor of which items")
    if order.shipping_address is None:
        losses.address(mapping, "/data/shipping_address")


def _note_what_is_missing_from_the_total(
    mapping: _Mapping, items: list[dict[str, object]], shipping: list[dict[str, object]], discounts: Decimal
) -> None:
    """Whatever the order's total has and nothing here knows of. Not where only some of the prices contain their tax."""
    said, pointer = mapping.prices.with_tax, "/data/meta/display_price/with_tax"
    with_tax = {item.unit_price.includes_tax is True for item in mapping.items if item.unit_price is not None}
    if said is None or said.amount is None or len(with_tax) != 1:
        return
    currency = (text(said.currency) or "").upper()
    try:
        exponent, tax = amounts.decimals(currency, mapping.rules.currency_decimals), mapping.prices.tax
        parts = [
            ARITHMETIC.multiply(exact.money(item["price"]), Decimal(exact.whole(item["quantity"]))) for item in items
        ]
        parts += [exact.money(line["price"]) for line in shipping]
        if with_tax == {False} and tax is not None and tax.amount is not None:
            parts.append(abs(amounts.major(tax.amount, exponent)))
        whole = amounts.major(said.amount, exponent)
        losses.total(mapping, pointer, whole, [*parts, ARITHMETIC.minus(discounts)], currency, "a charge of its own")
    except (ValueError, KeyError):
        return  # without a total there is nothing to compare


# The order


def _sale_defaults(mapping: _Mapping, discounts: Decimal, tax_included: bool | None) -> dict[str, object]:
    order, rules = mapping.order, mapping.rules
    candidates = (order.web_order_id, order.external_ref, order.order_number, order.id)
    created = moment(mapping.timestamps.created_at)
    defaults: dict[str, object] = {
        "reference": next(filter(None, map(text, candidates)), None),
        "dateOrdered": None if created is None else instant.iso(created),
        "notes": text((order.shipping_address or Address()).instructions),
        "discounts": discounts or None,
        "taxIncluded": tax_included,
        **_columns(mapping, "billing", order.billing_address),
        **_columns(mapping, "shipping", order.shipping_address),
    }
    if rules.taxes == "send" and mapping.prices.tax is not None:
        defaults["tax"] = mapping.optional("/data/meta/display_price/tax", mapping.prices.tax)
        defaults["taxIncluded"] = tax_included is True
        defaults["taxCalculation"] = "custom"
    return {column: value for column, value in defaults.items() if value is not None}


def _tax_included(mapping: _Mapping, goods: list[tuple[str, Item]]) -> bool | None:
    """``True`` where all prices contain their tax, which Jetti would else add."""
    said = {item.unit_price.includes_tax is True for _, item in goods if item.unit_price is not None}
    if len(said) > 1:
        mapping.note(_ITEMS, "some prices include tax and some do not; a sale can only say so of all, and says nothing")
    return True if said == {True} else None


def _columns(mapping: _Mapping, kind: str, address: Address | None) -> dict[str, object]:
    if address is None:
        return {}
    rules = mapping.rules
    region, county = text(address.region), text(address.county)
    given = people.Address(
        first_name=text(address.first_name),
        last_name=text(address.last_name),
        company=text(address.company_name),
        line_one=text(address.line_1),
        line_two=text(address.line_2),
        city=text(address.city),
        state=(region or county) if rules.state == "region" else (county or region),
        zip=text(address.postcode),
        country=text(address.country),
    )
    pointer = f"/data/{kind}_address"
    if region is not None and county is not None and region != county:
        left = "county" if rules.state == "region" else "region"
        mapping.note(f"{pointer}/{left}", "a sale has one column for county and region; state says which is sent")
    return people.columns(
        kind, given, mapping, f"{pointer}/company_name", company_in_line_two=rules.company_in_line_two
    )


def _customer(mapping: _Mapping) -> dict[str, object]:
    order = mapping.order
    buyers = [person for person in (order.customer, order.contact) if person is not None]
    addresses = [address for address in (order.billing_address, order.shipping_address) if address is not None]
    first, last = _name(mapping, buyers, addresses)
    emails, phones = (text(buyer.email) for buyer in buyers), (text(address.phone_number) for address in addresses)
    customer = {
        "email": people.email(mapping, "/data/customer/email", emails, mapping.rules.fallback_email),
        "firstName": first,
        "lastName": last,
        "phone": people.phone(mapping, "/data/billing_address/phone_number", phones),
    }
    return {column: value for column, value in customer.items() if value is not None}


def _name(mapping: _Mapping, buyers: list[Person], addresses: list[Address]) -> tuple[str | None, str | None]:
    """First and last name. The customer's own is in one piece, so an address's, which has both, goes first."""
    whole = next(filter(None, (text(buyer.name) for buyer in buyers)), None)
    names = [name for name in ((text(a.first_name), text(a.last_name)) for a in addresses) if any(name)]
    if names:
        if whole is not None and whole != " ".join(filter(None, names[0])):
            mapping.note("/data/customer/name", "the customer's name is another than the address's, which is sent")
        return names[0]
    if whole is None:
        return None, None
    first, _, last = whole.rpartition(" ")
    mapping.note("/data/customer/name", "a name in one piece is split at its last word")
    return (first.strip(), last) if first else (last, None)


# Lines


@dataclass(frozen=True, slots=True)
class _Sorted:
    """An order's items by what they are, each with its pointer."""

    goods: list[tuple[str, Item]]
    shipping: list[tuple[str, Item]]
    promotions: list[tuple[str, Item]]


def _sorted_out(mapping: _Mapping) -> _Sorted:
    rules, found = mapping.rules, _Sorted([], [], [])
    for i, item in enumerate(mapping.items):
        entry, sku = (f"{_ITEMS}/{i}", item), text(item.sku)
        if sku in rules.shipping_skus:
            found.shipping.append(entry)
        elif sku in rules.promotion_skus or item.type == "promotion_item" or _is_negative(item):
            found.promotions.append(entry)
        else:
            found.goods.append(entry)
    if found.promotions:
        mapping.note(_ITEMS, f"{len(found.promotions)} promotions among the items are no lines but in the discounts")
    return found


def _is_negative(item: Item) -> bool:
    try:
        return item.unit_price is not None and exact.decimal(item.unit_price.amount) < 0
    except ValueError:
        return False


def _lines(mapping: _Mapping, order_id: str | None, sorted_out: _Sorted) -> tuple[list[dict[str, object]], Decimal]:
    """The lines, and the sum of the discounts that their prices do not contain."""
    if not sorted_out.goods:
        mapping.refuse(_ITEMS, "the order has no lines to send")
    ids = ((f"{pointer}/id", sales.identifier(item.id)) for pointer, item in sorted_out.goods)
    lines.tell_apart(mapping, ids)
    items, contained, named = [], _NOTHING, _NOTHING
    for pointer, item in sorted_out.goods:
        discount = _line_discount(mapping, pointer, item)
        named = ARITHMETIC.add(named, discount)
        net = mapping.rules.discounts == "net"
        contained = ARITHMETIC.add(contained, discount) if net else contained
        items.append(_line(mapping, pointer, item, order_id, discount if net else _NOTHING))
    total = max(named, _promoted(mapping, sorted_out), _order_discount(mapping))
    return items, exact.canonical(ARITHMETIC.subtract(total, contained))


def _line_discount(mapping: _Mapping, pointer: str, item: Item) -> Decimal:
    display = None if item.meta is None or item.meta.display_price is None else item.meta.display_price.discount
    if display is None:
        return _NOTHING
    return mapping.optional(f"{pointer}/meta/display_price/discount/value", display.value)


def _order_discount(mapping: _Mapping) -> Decimal:
    return mapping.optional("/data/meta/display_price/discount", mapping.prices.discount)


def _promoted(mapping: _Mapping, sorted_out: _Sorted) -> Decimal:
    """What the promotions among the items take off, which the order's own sum of 2019 did not say."""
    total = _NOTHING
    for pointer, item in sorted_out.promotions:
        total = ARITHMETIC.add(total, abs(_value(mapping, pointer, item) or _NOTHING))
    return total


def _value(mapping: _Mapping, pointer: str, item: Item) -> Decimal | None:
    """What all units of an item cost."""
    price = mapping.major(f"{pointer}/unit_price", item.unit_price)
    quantity = mapping.count(f"{pointer}/quantity", item.quantity)
    return None if price is None else exact.canonical(ARITHMETIC.multiply(price, Decimal(quantity)))


def _line(mapping: _Mapping, pointer: str, item: Item, order_id: str | None, discount: Decimal) -> dict[str, object]:
    item_id = sales.identifier(item.id)
    line_id = None if item_id is None else sales.identifier(f"{order_id}_{item_id}")
    if line_id is None:
        mapping.refuse(f"{pointer}/id", "expected the item's id, short enough to be told apart with the order's")
    quantity = mapping.count(f"{pointer}/quantity", item.quantity)
    if isinstance(item.components, dict) and item.components:
        mapping.note(f"{pointer}/components", "what a bundle is made of is not sent; the line is the bundle")
    made: dict[str, object] = {
        "externalId": line_id,
        "name": text(item.name),
        "quantity": quantity,
        "price": _price(mapping, pointer, item, quantity, discount),
        "taxable": _is_taxed(mapping, pointer, item),
        "variant": lines.variant(
            mapping,
            f"{pointer}/product_id",
            mapping.rules,
            external_id=sales.identifier(text(item.product_id)),
            sku=text(item.sku),
            line_id=item_id,
        ),
        "properties": _properties(item) or None,
    }
    return {name: value for name, value in made.items() if value is not None}


def _price(mapping: _Mapping, pointer: str, item: Item, quantity: int, discount: Decimal) -> Decimal | None:
    """Per unit: as the item says, or what is left of it after its discount."""
    price = mapping.major(f"{pointer}/unit_price", item.unit_price)
    if price is None or not discount or not quantity:
        return price
    paid = ARITHMETIC.subtract(ARITHMETIC.multiply(price, Decimal(quantity)), discount)
    if paid < 0:
        where = f"{pointer}/meta/display_price/discount"
        mapping.refuse(where, "the discounts are more than the price; " + set_key('discounts = "gross"'))
    net = divided(paid, quantity)
    if ARITHMETIC.multiply(net, Decimal(quantity)) != paid:
        where = f"{pointer}/unit_price"
        mapping.note(where, "the price after discounts is no round number and is rounded to 6 decimals")
    return net


def _is_taxed(mapping: _Mapping, pointer: str, item: Item) -> bool | None:
    """Whether an item is taxed, by its price or its tax; ``None`` where neither says so."""
    if item.unit_price is not None and item.unit_price.includes_tax is True:
        return True
    display = None if item.meta is None or item.meta.display_price is None else item.meta.display_price.tax
    if display is None or display.value is None:
        return None
    return bool(mapping.optional(f"{pointer}/meta/display_price/tax/value", display.value))


def _properties(item: Item) -> list[dict[str, str]]:
    given = item.custom_inputs if isinstance(item.custom_inputs, dict) else {}
    return [{"key": key, "value": written(value)} for key, value in given.items()]


def _shipping(mapping: _Mapping, charged: list[tuple[str, Item]]) -> list[dict[str, object]]:
    """What the items charge for shipping, and what the order's shipping groups do, which are no items."""
    made: list[dict[str, object]] = []
    for pointer, item in charged:
        fields = {"code": text(item.sku), "name": text(item.name), "price": _value(mapping, pointer, item)}
        made.append({name: value for name, value in fields.items() if value is not None})
    grouped = mapping.optional("/data/meta/display_price/shipping", mapping.prices.shipping)
    if grouped:
        made.append({"code": "shipping", "price": grouped})
    return made
