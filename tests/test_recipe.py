"""A mapping as data: what an operator writes, what it makes of an order, and that nothing an order holds can hurt."""

import contextlib
import json
import tomllib
import warnings
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import instant
from relay.core.recipe import (
    Fault,
    LeftOut,
    Recipe,
    RecipeError,
    compile_criterion,
    compile_override,
    compile_recipe,
    left_out,
)
from relay.core.recipe.document import decoded
from relay.core.recipe.evaluation import Evaluation
from relay.core.recipe.expression import WrongExpression, compiled
from relay.core.recipe.functions import Unevaluable
from relay.core.recipe.making import Facts
from relay.core.sale import Reason, encode
from relay.core.sources import Mapped, Unmappable
from relay.core.sources.shopify import Shopify
from tests.fixtures import sample

WRITTEN = """
external_id = "order.id"
version = "order.updated_at"
created_at = { path = "order.placed", date = "%d.%m.%Y %H:%M", timezone = "Europe/Berlin" }
cancelled = "order.status == 'cancelled'"

[sale]
reference = { template = "#{order.number}" }
shippingCity = "order.ship_to.city"
payment_status = { path = "order.payment", map = { open = "notPaid", settled = "paid" } }
tags = "order.labels"
tax = "sum(order.items[].tax)"
adminNotes = { const = "by recipe" }
extra = { aColumnOfTomorrow = "order.ship_to" }

[customer]
email = "order.customer.mail"
first_name = "split(' ', order.customer.name)[0]"
lastName = "split(' ', order.customer.name)[-1]"
phone = { path = "order.customer.phone", default = "none" }

[line_items]
each = "order.items[?kind != 'fee']"
externalId = { template = "{root().order.id}_{id}" }
name = "title"
quantity = "qty"
price = { path = "unit_price", minor_units = "root().order.currency" }
taxable = "tax_class != 'none'"
sku = "sku"
properties = [
  { each = "items(options)", key = "[0]", value = "[1]" },
  { key = { const = "gift" }, value = "gift" },
]

[[shipping]]
name = "order.shipping.title"
price = { path = "order.shipping.cost", decimal = "," }

[options]
findOrCreateChannelVariant = true
"""
TABLE = tomllib.loads(WRITTEN)
RECIPE = compile_recipe(TABLE)


def order(**changes: Any) -> dict[str, Any]:
    item = {"id": 1, "title": "Mug", "qty": 2, "unit_price": 1990, "sku": "MUG", "tax": 0.1, "tax_class": "full"}
    return {
        "order": {
            "id": 9007199254740993,
            "number": 1001,
            "status": "open",
            "updated_at": "2026-11-21T18:41:49+01:00",
            "placed": "21.11.2026 18:40",
            "payment": "settled",
            "currency": "EUR",
            "labels": ["vip"],
            "ship_to": {"city": "Bari", "zip": "70100"},
            "customer": {"name": "Ada King Buyer", "mail": "ada@buyer.example"},
            "shipping": {"title": "Courier", "cost": "1.004,90"},
            "items": [
                {**item, "kind": "item", "options": {"colour": "red"}, "gift": "For you"},
                {**item, "kind": "fee", "id": 2, "tax": 0.2},
                {**item, "kind": "item", "id": 3, "tax_class": "none"},
            ],
        }
        | changes
    }


def body(document: object) -> bytes:
    return json.dumps(document).encode()


def made(document: object, recipe: Recipe = RECIPE) -> Mapped | Unmappable:
    return recipe.make(decoded(body(document)))


def sale_of(document: object, recipe: Recipe = RECIPE) -> dict[str, Any]:
    mapped = made(document, recipe)
    assert isinstance(mapped, Mapped), mapped
    sale: dict[str, Any] = json.loads(encode(mapped.sale))
    return sale


def reasons_of(document: object, recipe: Recipe = RECIPE) -> list[tuple[str, str]]:
    refused = made(document, recipe)
    assert isinstance(refused, Unmappable), refused
    return [(reason.pointer, reason.message) for reason in refused.reasons]


def faults_of(table: Mapping[str, object]) -> dict[str, str]:
    with pytest.raises(RecipeError) as refused:
        compile_recipe(table)
    return {fault.key: fault.message for fault in refused.value.faults}


def changed(**changes: Any) -> dict[str, Any]:
    return TABLE | changes


def value(expression: str, document: object) -> Any:
    root = decoded(body(document))
    return Evaluation(root).of(compiled(expression), root)


# An order


def test_an_order_becomes_the_sale_that_its_recipe_says() -> None:
    line = {"name": "Mug", "price": 19.9, "quantity": 2, "variant": {"sku": "MUG"}}
    properties = [{"key": "colour", "value": "red"}, {"key": "gift", "value": "For you"}]
    assert sale_of(order()) == {
        "externalId": "9007199254740993",
        "customer": {"email": "ada@buyer.example", "firstName": "Ada", "lastName": "Buyer", "phone": "none"},
        "lineItems": [
            line | {"externalId": "9007199254740993_1", "taxable": True, "properties": properties},
            line | {"externalId": "9007199254740993_3", "taxable": False},
        ],
        "options": {"findOrCreateChannelVariant": True},
        "saleDefaults": {
            "aColumnOfTomorrow": {"city": "Bari", "zip": "70100"},
            "adminNotes": "by recipe",
            "dateOrdered": "2026-11-21T17:40:00.000Z",
            "paymentStatus": "paid",
            "reference": "#1001",
            "shippingCity": "Bari",
            "tags": ["vip"],
            "tax": 0.4,
        },
        "shipping": [{"name": "Courier", "price": 1004.9}],
    }


def test_the_facts_of_an_order_are_the_same_as_its_sales() -> None:
    assert RECIPE.facts(decoded(body(order()))) == Facts(
        "9007199254740993",
        instant.parse("2026-11-21T17:41:49Z"),
        "#1001",
        instant.parse("2026-11-21T17:40:00Z"),
    )


def test_a_cancelled_order_is_a_cancelled_sale() -> None:
    cancelled = order(status="cancelled")
    facts = RECIPE.facts(decoded(body(cancelled)))
    assert isinstance(facts, Facts)
    assert (facts.cancelled, facts.whole) == (True, True)
    assert sale_of(cancelled)["saleDefaults"]["cancelled"] is True


_YES: list[object] = [True, 1, "yes", "2026-11-21", [0], {"by": "Ada"}]
_NO: list[object] = [False, 0, 0.0, "0", "False", "", " ", None, [], {}]


@pytest.mark.parametrize(("given", "cancelled"), [(yes, True) for yes in _YES] + [(no, False) for no in _NO])
def test_no_is_no_however_an_order_says_it(given: object, cancelled: bool) -> None:
    recipe = compile_recipe(changed(cancelled="order.void"))
    facts = recipe.facts(decoded(body(order(void=given))))
    assert isinstance(facts, Facts)
    assert facts.cancelled is cancelled


def test_a_cancellation_that_only_names_its_order_is_not_a_whole_one() -> None:
    facts = RECIPE.facts({"order": {"id": 5}}, cancelled=True)
    assert facts == Facts("5", cancelled=True, whole=False)


def test_numbers_stay_exact_to_the_last_digit() -> None:
    text = body(order()).replace(b'"tax": 0.1', b'"tax": 0.10000000000000000000001')
    mapped = RECIPE.make(decoded(text))
    assert isinstance(mapped, Mapped)
    assert mapped.sale.sale_defaults.tax == Decimal("0.40000000000000000000002")


@pytest.mark.parametrize(
    ("item", "pointer", "says"),
    [
        ({"unit_price": None}, "/order/items/0/unit_price", "mapping.line_items.price (unit_price): finds nothing"),
        ({"unit_price": "cheap"}, "/order/items/0/unit_price", "mapping.line_items.price (unit_price): expected"),
        ({"qty": -1}, "/order/items/0/qty", "mapping.line_items.quantity (qty): expected a quantity of 0 or more"),
        ({"sku": ""}, "/order/items/0", "mapping.line_items.variant: neither externalId nor sku finds anything"),
        ({"id": {}}, "/order/items/0", "mapping.line_items.externalId (a template): expected text or a number"),
    ],
)  # fmt: skip
def test_a_reason_names_the_entry_and_where_in_the_order_it_looked(
    item: dict[str, Any], pointer: str, says: str
) -> None:
    recipe = compile_recipe(changed(line_items=TABLE["line_items"] | {"each": "order.items"}))
    document = order(items=[order()["order"]["items"][0] | item])
    ((at, message),) = reasons_of(document, recipe)
    assert at == pointer
    assert message.startswith(says)


@pytest.mark.parametrize("items", [None, True, 5, "x", {}, []])
def test_an_order_whose_items_are_no_list_has_no_lines(items: object) -> None:
    assert reasons_of(order(items=items))


def test_a_reason_finds_its_place_behind_a_filter_too() -> None:
    items = order()["order"]["items"]
    ((pointer, _),) = reasons_of(order(items=[items[1], items[1], items[0] | {"qty": None}]))
    assert pointer == "/order/items/2/qty"


def test_every_reason_is_told_at_once_and_the_last_of_many_are_counted() -> None:
    document = order(customer={}, items=[{"id": n, "kind": "item"} for n in range(500)])
    reasons = reasons_of(document)
    assert len(reasons) == 21
    assert reasons[-1] == ("", "and 1481 more reasons")


def test_a_missing_email_says_what_to_correct() -> None:
    ((pointer, message),) = reasons_of(order(customer={"name": "Ada"}))
    assert pointer == "/order/customer/mail"
    assert message == (
        "mapping.customer.email (order.customer.mail): finds nothing here: correct it, or give it a default"
    )


def test_an_order_that_has_no_id_has_a_reason_and_no_facts() -> None:
    facts = RECIPE.facts({"order": {}})
    assert facts == (Reason("/order/id", "mapping.external_id (order.id): finds nothing here: correct it"),)


def test_a_version_that_cannot_be_read_is_a_reason_and_not_the_order_of_arrival() -> None:
    facts = RECIPE.facts({"order": {"id": 1, "updated_at": 1795000000}})
    assert isinstance(facts, tuple)
    assert facts[0].pointer == "/order/updated_at"


def test_lines_that_only_have_a_sku_ask_jetti_to_connect_them_by_it() -> None:
    without = {name: entry for name, entry in TABLE.items() if name != "options"}
    assert sale_of(order(), compile_recipe(without))["options"] == {"findOrCreateChannelVariant": True}
    never = without | {"options": {"findOrCreateChannelVariant": False}}
    assert sale_of(order(), compile_recipe(never))["options"] == {"findOrCreateChannelVariant": False}
    by_id = without | {"line_items": [TABLE["line_items"] | {"variant": {"externalId": "id"}}]}
    assert "options" not in sale_of(order(), compile_recipe(by_id))


# Entries


def entry_of(entry: object, document: dict[str, Any]) -> Any:
    """What an entry makes of a document, as the sale's notes."""
    recipe = compile_recipe(changed(sale={"notes": entry}))
    mapped = recipe.make(decoded(body(order() | document)))
    if isinstance(mapped, Unmappable):
        (reason,) = mapped.reasons
        return reason.message
    return json.loads(encode(mapped.sale)).get("saleDefaults", {}).get("notes")


@pytest.mark.parametrize(
    ("entry", "document", "notes"),
    [
        ("a", {"a": "x"}, "x"),
        ("a", {"a": "  "}, None),
        ("a", {}, None),
        ('a."b-c"', {"a": {"b-c": "x"}}, "x"),
        ({"const": "x"}, {}, "x"),
        ({"path": "a", "default": "y"}, {"a": ""}, "y"),
        ({"path": "a", "default": "y"}, {"a": "x"}, "x"),
        ({"path": "a", "when": "b"}, {"a": "x"}, None),
        ({"path": "a", "when": "b"}, {"a": "x", "b": True}, "x"),
        ({"path": "a", "when": "b", "default": "y"}, {"a": "x"}, None),
        ({"template": "{a}-{b.c}"}, {"a": "x", "b": {"c": 5}}, "x-5"),
        ({"template": "{a}-{b.c}"}, {"a": "x"}, None),
        ({"template": "{a}-{b}", "default": "y"}, {"a": "x"}, "y"),
        ({"template": "{{{a}}}"}, {"a": "x"}, "{x}"),
        ({"path": "a", "map": {"1": "one", "true": "yes"}}, {"a": 1}, "one"),
        ({"path": "a", "map": {"1": "one", "true": "yes"}}, {"a": True}, "yes"),
        ({"path": "a", "map": {"1": "one"}, "default": "other"}, {"a": 2}, "other"),
        ({"path": "a", "map": {"1": "one"}}, {}, None),
        ({"path": "a", "date": "unix"}, {"a": 1795282909}, "2026-11-21T17:41:49.000Z"),
        ({"path": "a", "minor_units": 2}, {"a": 1990}, "19.9"),
    ],
)
def test_an_entry_finds(entry: object, document: dict[str, Any], notes: str | None) -> None:
    assert entry_of(entry, document) == notes


def test_a_value_that_a_map_does_not_have_is_a_reason_that_does_not_repeat_it() -> None:
    message = entry_of({"path": "a", "map": {"1": "one"}}, {"a": "ada@buyer.example"})
    assert "a value that its map does not have" in message
    assert "ada" not in message


@pytest.mark.parametrize(
    ("rule", "given", "amount"),
    [
        ({}, 19.9, "19.9"),
        ({}, "19.90", "19.9"),
        ({"minor_units": 2}, 1990, "19.9"),
        ({"minor_units": 2}, "1990", "19.9"),
        ({"minor_units": 0}, 1990, "1990"),
        ({"minor_units": "c"}, {"p": 1990, "c": "eur"}, "19.9"),
        ({"minor_units": "c"}, {"p": 1990, "c": "JPY"}, "1990"),
        ({"minor_units": "c"}, {"p": 1990, "c": "KWD"}, "1.99"),
        ({"minor_units": "c"}, {"p": 1990, "c": 4}, "0.199"),
        ({"minor_units": "c"}, {"p": 1990}, None),
        ({"minor_units": "c"}, {"p": 1990, "c": "€"}, None),
        ({"minor_units": 2, "default": 5}, None, "5"),
        ({"minor_units": 2, "default": 5}, 5, "0.05"),
        ({"decimal": ","}, "1.234,50", "1234.5"),
        ({"decimal": ","}, "1 234 567,5", "1234567.5"),
        ({"decimal": ","}, "1234,50", "1234.5"),
        ({"decimal": ","}, "-0,5", "-0.5"),
        ({"decimal": ","}, 19.5, "19.5"),
        ({"decimal": ","}, "1.23,50", None),
        ({"decimal": ","}, "1.234 567,5", None),
        ({"decimal": "."}, "1,234.50", "1234.5"),
        ({"decimal": "."}, "1,234", "1234"),
        ({}, "1,234.50", None),
        ({}, "€ 5", None),
        ({}, True, None),
        ({"default": 1.1}, None, "1.1"),
    ],
)
def test_an_amount_is_read_exactly_or_refused(rule: dict[str, Any], given: Any, amount: str | None) -> None:
    values = given if isinstance(given, dict) else {"p": given}
    line = {"each": "items", "externalId": {"const": "1"}, "quantity": 1, "sku": {"const": "S"}}
    table = {
        "external_id": {"const": 1},
        "customer": {"email": {"const": "a@b.example"}},
        "line_items": line | {"price": {"path": "p"} | rule},
    }
    mapped = made({"items": [values]}, compile_recipe(table))
    found = str(mapped.sale.line_items[0].price) if isinstance(mapped, Mapped) else None
    assert found == amount


@pytest.mark.parametrize(
    ("rule", "given", "moment"),
    [
        ({}, "2026-11-21T18:41:49+01:00", "2026-11-21T17:41:49Z"),
        ({}, "2026-11-21 18:41:49", "2026-11-21T18:41:49Z"),
        ({"timezone": "Europe/Berlin"}, "2026-11-21 18:41:49", "2026-11-21T17:41:49Z"),
        ({"timezone": "Europe/Berlin"}, "2026-07-21 18:41:49", "2026-07-21T16:41:49Z"),
        ({"timezone": "Europe/Berlin"}, "2026-07-21T18:41:49Z", "2026-07-21T18:41:49Z"),
        ({}, "2026-11-21T18:41:49.123456789Z", "2026-11-21T18:41:49.123456Z"),
        ({"date": "unix"}, 1795282909, "2026-11-21T17:41:49Z"),
        ({"date": "unix"}, "1795282909.5", "2026-11-21T17:41:49.5Z"),
        ({"date": "unix_ms"}, 1795282909500, "2026-11-21T17:41:49.5Z"),
        ({"date": "rfc2822"}, "Sat, 21 Nov 2026 18:41:49 +0100", "2026-11-21T17:41:49Z"),
        ({"date": "%d/%m/%y"}, "21/11/26", "2026-11-21T00:00:00Z"),
        ({"date": "%Y%m%d%H%M%S%z"}, "20261121184149+0100", "2026-11-21T17:41:49Z"),
        ({}, "yesterday", None),
        ({}, 1795282909, None),
        ({}, "0001-01-01", None),
        ({"date": "unix"}, "1e400", None),
        ({"date": "unix"}, 10**18, None),
        ({"date": "unix"}, -1, None),
        ({"date": "rfc2822"}, "now", None),
        ({"date": "%d/%m/%y"}, "2026-11-21", None),
        ({"date": "%d/%m/%y"}, "21/11/26" * 100, None),
    ],
)
def test_a_date_is_read_as_it_is_written_or_refused(rule: dict[str, Any], given: Any, moment: str | None) -> None:
    recipe = compile_recipe(changed(version={"path": "at"} | rule))
    facts = recipe.facts(decoded(body(order() | {"at": given})))
    assert (facts.version if isinstance(facts, Facts) else None) == (instant.parse(moment) if moment else None)


def test_a_line_is_made_from_its_item_its_place_and_the_whole_order() -> None:
    line = TABLE["line_items"] | {
        "externalId": {"template": "{root().order.number}-{index()}"},
        "name": "root().titles[?id == item().id] | [0].text",
    }
    recipe = compile_recipe(changed(line_items=line))
    titles = [{"id": 3, "text": "Poster"}, {"id": 1, "text": "Cup"}]
    lines = sale_of(order() | {"titles": titles}, recipe)["lineItems"]
    # An expression sees its own element inside a filter: item() is the line's.
    assert [(each["externalId"], each["name"]) for each in lines] == [("1001-0", "Cup"), ("1001-1", "Poster")]


def test_shipping_is_one_line_or_many() -> None:
    many = changed(shipping={"each": "methods", "code": "code", "price": "price"})
    methods = [{"code": "A", "price": "1"}, {}, {"code": "B", "price": 2}]
    assert sale_of(order() | {"methods": methods}, compile_recipe(many))["shipping"] == [
        {"code": "A", "price": 1},
        {"code": "B", "price": 2},
    ]
    assert "shipping" not in sale_of(order(), compile_recipe(many))


# What cannot be compiled


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({"external_id": 'order-id'}, "external_id", 'not understood from character 6 on, at \'-id\': quote a name'),
        ({"external_id": ""}, "external_id", "the expression is empty"),
        ({"external_id": "a.b["}, "external_id", "the expression ends too early"),
        ({"external_id": "a = 'b'"}, "external_id", "equality is =="),
        ({"external_id": "$.id"}, "external_id", "the whole document is root()"),
        ({"external_id": "item().id"}, "external_id", "only known in the tables that have"),
        ({"external_id": "lenght(a)"}, "external_id", "there is no function lenght()"),
        ({"external_id": "length(a, b)"}, "external_id", "length() takes 1 argument, here it has 2"),
        ({"external_id": "sort_by(a, b)"}, "external_id", "argument 2 of sort_by() is an expression"),
        ({"external_id": "&a"}, "external_id", ""),
        ({"external_id": "a[::0]"}, "external_id", "a step of 0"),
        ({"external_id": "`1e999999`"}, "external_id", "a literal that is no sensible number"),
        ({"external_id": "`abc`"}, "external_id", "write text in single quotes"),
        ({"external_id": "a" * 2001}, "external_id", "2001 characters"),
        ({"external_id": "(" * 900}, "external_id", ""),
        ({"external_id": "!" * 900 + "a"}, "external_id", ""),
        ({"external_id": " || ".join("a" * 300)}, "external_id", "nested deeper than 64 levels"),
        ({"external_id": {}}, "external_id", "expected one of path, template and const, found none"),
        ({"external_id": {"path": "a", "const": 1}}, "external_id", "found path and const"),
        ({"external_id": {"pth": "a"}}, "external_id.pth", "did you mean path?"),
        ({"external_id": {"template": "#{a"}}, "external_id.template", "a brace without its other half"),
        ({"external_id": {"template": "#a"}}, "external_id.template", "use const"),
        ({"external_id": {"template": "#{a.}"}}, "external_id.template", "the expression ends too early"),
        ({"external_id": {"path": "a", "map": {}}}, "external_id.map", "expected a table of values"),
        ({"external_id": {"path": "a", "minor_units": 9}}, "external_id.minor_units", "expected 0 to 8 digits"),
        ({"external_id": {"path": "a", "decimal": ";"}}, "external_id.decimal", 'expected ","'),
        ({"version": {"path": "a", "date": "unixx"}}, "version.date", "use iso, unix"),
        ({"version": {"path": "a", "date": "%Q"}}, "version.date", "is no date format"),
        ({"version": {"path": "a", "timezone": "Mars/Base"}}, "version.timezone", "there is no time zone"),
        ({"version": {"path": "a", "timezone": "../../etc/passwd"}}, "version.timezone", "there is no time zone"),
        ({"version": 5}, "version", "expected an expression for a date"),
        ({"cancelled": "a ="}, "cancelled", "equality is =="),
        ({"sale": {"refrence": "a"}}, "sale.refrence", "did you mean reference?"),
        ({"sale": {"shipping_city": "a", "shippingCity": "b"}}, "sale.shippingCity", "is given twice"),
        ({"sale": {"paymentStatus": {"const": "payed"}}}, "sale.paymentStatus", "expected 'notPaid'"),
        ({"sale": {"resellerId": "a", "total": {"path": "a", "default": "x"}}}, "sale.total", "expected a number"),
        ({"sale": []}, "sale", "expected a table: write [mapping.sale]"),
        ({"customer": {}}, "customer.email", "is required"),
        ({"line_items": {}}, "line_items.each", "is required"),
        ({"line_items": []}, "line_items", "is required"),
        ({"line_items": {"each": "a"}}, "line_items.price", "is required"),
        ({"line_items": {"each": "a"}}, "line_items.sku", "is required, or variant.externalId is"),
        ({"salee": {}}, "salee", "did you mean sale?"),
    ],
)  # fmt: skip
def test_a_fault_names_the_key_and_the_remedy(changes: dict[str, Any], key: str, says: str) -> None:
    faults = faults_of(changed(**changes))
    assert says in faults[f"mapping.{key}"]
    assert len(faults) == 1 or "line_items" in key


def test_all_faults_are_told_at_once_with_their_positions() -> None:
    with pytest.raises(RecipeError) as refused:
        compile_recipe(changed(external_id="a-b", cancelled="(a", sale={"x": "y"}))
    assert [(fault.key, fault.position) for fault in refused.value.faults] == [
        ("mapping.external_id", 1),
        ("mapping.sale.x", None),
        ("mapping.cancelled", 2),
    ]
    assert isinstance(refused.value.faults[0], Fault)


# Expressions

DOCUMENT: dict[str, Any] = {
    "a": {"b": [1, 2, 3], "c": "text", "d": None, "e": {}},
    "list": [{"n": 2, "s": "x"}, {"n": 1, "s": "y"}, {"s": "z"}, {"n": 3, "s": "x"}],
    "nested": [[1, 2], [3, [4]], 5],
    "flag": False,
    "zero": 0,
    "words": ["b", "a"],
}
STANDARD = [
    "a.b[0]", "a.b[-1]", "a.b[5]", "a.b[1:]", "a.b[::-1]", "a.c[0]", "a.missing.b", "list[].n", "list[*].s", "a.*",
    "list[?n > `1`].s", "list[?s == 'x'] | [0]", "list[?n]", "nested[]", "nested[][]", "[a.c, flag]",
    "{x: a.c, y: zero}",
    "flag || a.c", "zero || a.c", "zero && a.c", "!flag", "!zero", "!a.e", "a.b == `[1, 2, 3]`", "zero == flag",
    "zero == `false`", "a.c != 'text'", "`1` < `2`", "a.missing == a.d", "length(a.b)", "length(a.c)",
    "keys(a)", "values(a.e)", "sort(words)", "sort_by(list[?n], &n)[].s", "max(a.b)", "min(words)",
    "max_by(list[?n], &n).s",
    "min_by(list[?n], &n).s", "sum(a.b)", "join('-', words)", "reverse(words)", "reverse(a.c)", "contains(words, 'a')",
    "contains(a.c, 'ex')", "starts_with(a.c, 'te')", "ends_with(a.c, 'xt')", "not_null(a.d, a.c)", "to_array(a.c)",
    "to_string(a.b)", "to_number('12')", "to_number('x')", "type(a)", "type(zero)", "type(flag)", "type(a.d)",
    "map(&n, list)", "merge(a, {c: 'new'}).c", "abs(`-3`)", "ceil(`1.2`)", "floor(`1.8`)", "avg(a.b)", "@", "a | b",
    "list[].{n: n}", "list[*].[n, s]", "a.b[*]", "*.c", "list[?!n]", "list[?n && s == 'x'].n", "a.e.*", "nested[*][0]",
]  # fmt: skip


@pytest.mark.parametrize("expression", STANDARD)
def test_an_expression_means_what_the_library_says_it_means(expression: str) -> None:
    assert value(expression, DOCUMENT) == jmespath.search(expression, DOCUMENT)


_scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "text", "5"])
_names = st.sampled_from(["a", "b", "c", "d", "e", "n", "s", "list", "nested", "words", "order", "items"])
_documents = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner), max_leaves=25
)


@given(_documents, st.sampled_from(STANDARD))
def test_an_expression_and_any_document_have_the_librarys_value_or_none(document: Any, expression: str) -> None:
    try:
        expected = jmespath.search(expression, document)
    except (ValueError, TypeError):  # of a wrong type for a function; ordering text and numbers crashes the library
        return
    try:
        found = value(expression, document)
    except Unevaluable:
        found = expected
    if isinstance(expected, list) and any(name in expression for name in ("keys", "sort", "max", "min")):
        return
    assert found == expected or "by" in expression or "contains" in expression


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("sum(prices)", Decimal("0.3")),
        ("sum(texts)", Decimal("20.1")),
        ("avg(prices)", Decimal("0.15")),
        ("add(`1`, '2.5', id)", Decimal(9007199254740993) + Decimal("3.5")),
        ("subtract('1', `0.9`)", Decimal("0.1")),
        ("multiply(prices[0], `3`)", Decimal("0.3")),
        ("divide(`1`, `3`)", Decimal("0.333333")),
        ("divide(`1`, `0`)", None),
        ("divide(`1`, `8`)", Decimal("0.125")),
        ("round('2.345', `2`)", Decimal("2.35")),
        ("to_number(texts[0])", Decimal("19.9")),
        ("max(prices)", Decimal("0.2")),
        ("prices[0] < prices[1]", True),
        ("prices[0] == `0.1`", True),
        ("id == `9007199254740993`", True),
        ("id == `9007199254740992`", False),
        ("texts[0] < prices[0]", None),
        ("join('', ['IT-', id, null])", "IT-9007199254740993"),
        ("split(',', 'a,b')", ["a", "b"]),
        ("trim(' a ')", "a"),
        ("upper('a')", "A"),
        ("lower('A')", "a"),
        ("replace('a-b', '-', '')", "ab"),
        ("items({a: id})", [["a", 9007199254740993]]),
        ("to_string(prices)", "[0.1,0.2]"),
        ("to_string(id)", "9007199254740993"),
        ("`true` == `1`", False),
        ("`[true]` == `[1]`", False),
    ],
)
def test_functions_for_orders_are_exact(expression: str, found: object) -> None:
    document = {"prices": [0.1, 0.2], "texts": ["19.90", "0.2"], "id": 9007199254740993}
    assert value(expression, document) == found


@pytest.mark.parametrize(
    "expression",
    ["sum('x')", "sum(['x'])", "join('', [@])", "multiply('x', `1`)", "split('', 'a')", "replace('a', '', 'b')",
     "round(`1`, `-1`)", "round(`1`, `0.5`)", "keys('a')", "length(`1`)", "sort(['a', `1`])", "starts_with(`1`, 'a')",
     "contains(`1`, 'a')", "map(&a, 'a')"],
)  # fmt: skip
def test_a_function_given_the_wrong_thing_has_no_value_and_says_why(expression: str) -> None:
    with pytest.raises(Unevaluable, match=r"\(\)"):
        value(expression, {})


def test_numbers_that_no_order_has_are_given_up() -> None:
    for expression in ("multiply(a, a)", "round(a, `2`)", "divide(a, b)"):
        try:
            found = Evaluation({}).of(compiled(expression), decoded(b'{"a": 9e998, "b": 1e-999}'))
        except Unevaluable:
            continue
        assert isinstance(found, Decimal)


def test_a_reason_for_a_wrong_argument_does_not_repeat_it() -> None:
    with pytest.raises(Unevaluable) as refused:
        value("upper(a)", {"a": {"mail": "ada@buyer.example"}})
    assert str(refused.value) == "upper() expects text as argument 1, found an object"


# Hostile expressions and documents


@pytest.mark.parametrize(
    "expression",
    [
        "|".join(["[@,@]"] * 40) + " | to_string(@)",
        "|".join(["[@,@][]"] * 60),
        "|".join(["[@,@]"] * 30 + ["[]"] * 30),
        "|".join(["[@,@]"] * 30) + " | @ == @",
        "{x: " + "|".join(["[@,@]"] * 30) + ", y: " + "|".join(["[@,@]"] * 30) + "} | x == y",
        "|".join(["join('xxxxxxxxxx', [to_string(@), to_string(@)])"] * 30),
        "|".join(["[@,@]"] * 12 + ["[]"] * 12) + " | map(&map(&root(), root()), @)",
        "a[*].[b,b,b,b][] | [*].[@,@,@,@][] | [*].[@,@,@,@][] | [*].[@,@,@,@][] | [*].[@,@,@,@][] | [*].[@,@,@,@][]",
        "|".join(["replace(to_string(@), 'a', 'aaaaaaaaaaaaaaaaaaaa')"] * 20),
        "a[].b | [?contains(@, @)] | sort_by(@, &to_string(@)) | [@,@,@,@,@,@][][]" + "|[@,@][]" * 20,
    ],
)
@pytest.mark.timeout(10)
def test_an_expression_that_grows_without_end_is_given_up(expression: str) -> None:
    document = {"a": [{"b": f"a{n}"} for n in range(100)]}
    with contextlib.suppress(Unevaluable):
        value(expression, document)


@pytest.mark.timeout(10)
def test_what_grows_with_every_line_is_given_up_too() -> None:
    line = TABLE["line_items"] | {"properties": {"each": "root().order.items", "key": "title", "value": "root()"}}
    document = order(items=order()["order"]["items"] * 160)
    ((_, message), *_) = reasons_of(document, compile_recipe(changed(line_items=line)))
    assert "too many steps" in message


def lines(count: int) -> dict[str, Any]:
    first = order()["order"]["items"][0]
    return order(items=[first | {"id": number} for number in range(count)])


def test_two_thousand_lines_are_mapped_and_one_more_is_refused() -> None:
    assert len(sale_of(lines(2000))["lineItems"]) == 2000
    assert ("", "more than 2000 lines: split the order") in reasons_of(lines(2001))


def test_nesting_is_bounded() -> None:
    deep = body(order()).replace(b'"vip"', b"[" * 70 + b"]" * 70)
    assert decoded(deep) == Reason("", "nested deeper than 64 levels")
    assert isinstance(decoded(b"[" * 200_000), Reason)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names | st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def mutated(node: Any, draw: Any) -> Any:
    """A document with some of its parts replaced."""
    if draw(st.integers(0, 11)) == 0:
        return draw(_json)
    if isinstance(node, dict):
        return {key: mutated(child, draw) for key, child in node.items()}
    return [mutated(child, draw) for child in node] if isinstance(node, list) else node


@st.composite
def orders(draw: Any) -> Any:
    return mutated(order(), draw)


OVERRIDE = compile_override(
    {
        "sale": {"reference": "join('-', ['IT', sale.saleDefaults.reference])", "notes": "order.order.labels"},
        "line_items": {"orderRouting": {"const": "ignore", "when": "starts_with(variant.sku, 'GIFT')"}},
    }
)


@settings(max_examples=300, deadline=None)
@given(orders() | _json)
def test_no_order_however_mutated_raises(document: Any) -> None:
    text = body(document)
    given_document = decoded(text)
    facts = RECIPE.facts(given_document)
    mapped = RECIPE.make(given_document)
    if isinstance(mapped, Mapped):
        assert isinstance(facts, Facts) or all(reason.pointer == "/order/updated_at" for reason in facts)
        assert not isinstance(facts, Facts) or facts.external_id == mapped.sale.external_id
        left_out(text, mapped.sale)
        OVERRIDE.apply(mapped, given_document)
    else:
        assert mapped.reasons


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.text("ab.[]*?|&!@(){}'`\"<>=:,0- $", max_size=25), _json)
def test_no_expression_raises_anything_else_and_what_compiles_never_does(text: str, document: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(WrongExpression, Unevaluable):
            Evaluation(document).of(compiled(text, in_items=True), document)


_KEYS = ["path", "const", "default", "map", "date", "template", "when", "each", "key", "value", "sku", "price", "email"]
_KEYS += ["external_id", "externalId", "quantity", "extra", "variant", "properties", "minor_units", "decimal"]
_toml = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "a.b", "{a}", "", "unix", "[", "item()"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(TABLE)), _toml)
def test_no_table_raises_anything_but_its_faults(name: str, entry: Any) -> None:
    with contextlib.suppress(RecipeError):
        compile_recipe(changed(**{name: entry})).make(order())


# Overrides, criteria


def overridden(table: dict[str, Any]) -> dict[str, Any] | tuple[Reason, ...]:
    mapped = made(order())
    assert isinstance(mapped, Mapped)
    result = compile_override(table).apply(mapped, decoded(body(order())))
    if isinstance(result, Unmappable):
        return result.reasons
    sale: dict[str, Any] = json.loads(encode(result.sale))
    return sale


def test_an_override_changes_single_fields_and_sees_the_sale_and_the_order() -> None:
    sale = overridden(
        {
            "sale": {
                "reference": "join('', ['IT-', sale.saleDefaults.reference])",
                "notes": "order.order.ship_to.zip",
                "resellerId": 7,
                "shippingCity": "order.nowhere",
            },
            "line_items": {
                "orderRouting": {"const": "manual", "when": "variant.sku == 'MUG' && index() == `0`"},
                "manualRouting": {"const": "fulfill", "when": "index() == `0`"},
                "warehouseId": {"const": 3, "when": "index() == `0`"},
            },
        }
    )
    assert isinstance(sale, dict)
    before = sale_of(order())
    routed = before["lineItems"][0] | {"orderRouting": "manual", "manualRouting": "fulfill", "warehouseId": "3"}
    assert sale["saleDefaults"] == before["saleDefaults"] | {"reference": "IT-#1001", "notes": "70100", "resellerId": 7}
    assert sale["lineItems"] == [routed, before["lineItems"][1]]


def test_an_override_that_makes_no_sale_has_its_reasons() -> None:
    reasons = overridden({"sale": {"paymentStatus": "order.order.status"}})
    assert isinstance(reasons, tuple)
    assert reasons[0].message.startswith("override: /saleDefaults/paymentStatus: expected 'notPaid'")
    assert isinstance(overridden({"sale": {"notes": "sum(order.order.labels)"}}), tuple)


@pytest.mark.parametrize("table", [{"external_id": "a"}, {"line_items": {"externalId": "a"}}, {"sale": {"x": "a"}}])
def test_an_override_cannot_change_what_an_order_is_known_by(table: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        compile_override(table)


def test_an_override_changes_what_a_built_in_source_made() -> None:
    text = sample("shopify-order.json")
    mapped = Shopify(("s",)).sale(text, "orders/create")
    assert isinstance(mapped, Mapped)
    override = compile_override({"sale": {"tags": "split(', ', order.tags)", "notes": {"template": "of {order.id}"}}})
    result = override.apply(mapped, decoded(text))
    assert isinstance(result, Mapped)
    assert result.sale.line_items == mapped.sale.line_items
    assert result.sale.sale_defaults.notes == f"of {json.loads(text)['id']}"
    assert result.notes == mapped.notes


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("order.payment == 'settled'", True),
        ("order.payment == 'open'", False),
        ("contains(['settled', 'authorized'], order.payment)", True),
        ("order.total > `0`", False),
        ("order.items[?unit_price > `1000`]", True),
        ("order.items[?unit_price > `5000`]", False),
    ],
)
def test_a_criterion_holds_or_not(expression: str, holds: bool) -> None:
    assert compile_criterion(expression, "accept_when").holds(body(order())) is holds


def test_a_criterion_that_cannot_be_told_is_a_reason() -> None:
    verdict = compile_criterion("sum(order.labels) > `1`", "accept_when").holds(body(order()))
    assert isinstance(verdict, Reason)
    assert verdict.message.startswith("accept_when (sum(order.labels) > `1`): sum(): expected a number")
    assert isinstance(compile_criterion("a", "accept_when").holds(b"{"), Reason)
    with pytest.raises(RecipeError, match="accept_when: the expression ends too early"):
        compile_criterion("a ==", "accept_when")


# What is left out


def test_what_differs_only_in_its_place_is_told_once_with_its_number() -> None:
    document = order()
    for item in document["order"]["items"]:
        item["weight"] = {"grams": 50123}
    mapped = made(document)
    assert isinstance(mapped, Mapped)
    told = left_out(body(document), mapped.sale)
    assert [each for each in told if "weight" in each.pointer] == [LeftOut("/order/items/0/weight/grams", 3)]


def test_what_the_sale_of_any_source_does_not_have_is_told() -> None:
    text = sample("shopify-order.json")
    mapped = Shopify(("s",)).sale(text, "orders/create")
    assert isinstance(mapped, Mapped)
    pointers = {each.pointer for each in left_out(text, mapped.sale)}
    assert "/name" not in pointers
    assert "/created_at" not in pointers
    assert "/admin_graphql_api_id" in pointers or "/updated_at" in pointers


def test_the_list_of_what_is_left_out_is_bounded() -> None:
    document = order() | {f"field{n}": "lost" for n in range(500)}
    mapped = made(order())
    assert isinstance(mapped, Mapped)
    assert len(left_out(body(document), mapped.sale)) == 200
    assert len(left_out(body(document), mapped.sale, limit=3)) == 3
    assert left_out(b"{", mapped.sale) == ()


def test_a_phone_number_that_is_too_long_for_jetti_is_left_out_with_a_note_and_keeps_no_order() -> None:
    recipe = compile_recipe({
        "external_id": "id", "customer": {"email": "mail", "phone": "tel"},
        "line_items": {"each": "lines", "externalId": "id", "price": "price", "quantity": "qty", "sku": "sku"},
    })  # fmt: skip
    lines = [{"id": 1, "price": 5, "qty": 1, "sku": "S"}, {"id": 2, "price": 5, "qty": 1, "sku": "S"}]
    body = {"id": 7, "mail": "ada@buyer.example", "tel": "0" * 31, "lines": lines}
    made = recipe.make(body)
    assert isinstance(made, Mapped)
    assert made.sale.customer.phone is None
    assert [(note.pointer, "31 characters" in note.message) for note in made.notes] == [("/tel", True)]
    assert made.origins == ("/lines/0", "/lines/1")
    kept = recipe.make(body | {"tel": "0" * 30})
    assert isinstance(kept, Mapped)
    assert (kept.sale.customer.phone, kept.notes) == ("0" * 30, ())


def test_a_version_is_a_time_or_a_number_and_never_both() -> None:
    table = {
        "external_id": "id", "customer": {"email": "mail"}, "version": "at", "sequence": "n",
        "line_items": {"each": "lines", "externalId": "id", "price": "price", "quantity": "qty", "sku": "sku"},
    }  # fmt: skip
    with pytest.raises(RecipeError) as raised:
        compile_recipe(table)
    assert [fault.key for fault in raised.value.faults] == ["mapping.sequence"]
