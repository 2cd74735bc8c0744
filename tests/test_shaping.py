"""What is done to a sale after its source has made it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import exact
from relay.core.recipe import RecipeError
from relay.core.sale import Reason, Sale, encode, parse
from relay.core.shaping import PLAIN, Shape, Shaped, compiled, shape, units_in
from relay.core.shaping.splitting import LINES_MAX, UNITS_MAX
from relay.core.sources import Unmappable
from tests.fixtures import sample

_decode = msgspec.json.Decoder(float_hook=exact.number).decode
Row = tuple[str, int]


def a_line(external_id: object = "L1", quantity: int = 1, sku: str | None = "MUG", **more: object) -> dict[str, Any]:
    variant = {"variant": {"sku": sku}} if sku is not None else {}
    return {"externalId": external_id, "name": "Mug", "quantity": quantity, "price": "19.90"} | variant | more


def a_sale(*lines: dict[str, Any], reference: str | None = "#1001", **more: Any) -> Sale:
    defaults = {} if reference is None else {"reference": reference}
    payload = {
        "externalId": "5001",
        "customer": {"email": "a@b.example"},
        "lineItems": list(lines or [a_line()]),
        "saleDefaults": defaults | more.pop("saleDefaults", {}),
    }
    made = parse(payload | more)
    assert isinstance(made, Sale), made
    return made


def shaped(
    sale: Sale, by: Mapping[str, Any] | Shape, document: object = None, units: Mapping[str, int] | None = None,
    origins: Sequence[str | None] = (),
) -> Shaped:  # fmt: skip
    by = by if isinstance(by, Shape) else compiled(by)
    made = shape(sale, document, by, storefront="shop", units=units, origins=origins)
    assert isinstance(made, Shaped), made
    assert isinstance(parse(_decode(encode(made.sale))), Sale), "what is sent is itself a sale"
    return made


def sent(made: Shaped) -> Any:
    return json.loads(encode(made.sale))


def refused(sale: Sale, by: Mapping[str, Any], units: Mapping[str, int] | None = None) -> dict[str, str]:
    made = shape(sale, None, compiled(by), storefront="shop", units=units)
    assert isinstance(made, Unmappable)
    return {reason.pointer: reason.message for reason in made.reasons}


def faults(given: Mapping[str, Any]) -> dict[str, str]:
    with pytest.raises(RecipeError) as raised:
        compiled(given, "storefronts.shop")
    return {fault.key.removeprefix("storefronts.shop."): fault.message for fault in raised.value.faults}


def said(made: Shaped) -> dict[str, str]:
    return {note.pointer: note.message for note in made.notes}


# -- nothing ---------------------------------------------------------------------------------------------------------


def test_without_any_setting_the_sale_is_the_very_same_object() -> None:
    sale = parse(_decode(sample("native-sale.json")))
    assert isinstance(sale, Sale)
    assert compiled({}) is PLAIN
    assert compiled({"routing": [], "split_lines": False, "reference": None, "hidden_properties": True}) is PLAIN
    made = shaped(sale, PLAIN)
    assert made == Shaped(sale)
    assert made.sale is sale


def test_what_changes_nothing_leaves_the_same_bytes() -> None:
    sale = a_sale(a_line(properties=[{"key": "a", "value": 1}]), options={"importItems": True})
    given = {
        "reference": "{reference}",
        "hidden_properties": False,
        "options": {"importItems": True},
        "routing": [{"sku": "CUP", "route": "ignore"}],
    }
    made = shaped(sale, given)
    assert encode(made.sale) == encode(sale)
    assert made.notes == ()


def test_everything_that_is_wrong_is_told_at_once_with_its_key() -> None:
    assert list(
        faults(
            {
                "external_id_prefix": "",
                "prefix_lines": "yes",
                "reference": "{order}",
                "options": {"findOrCreateChannelVariant": True, "a": [], "": 1, "b": float("nan")},
                "find_or_create_channel_variant": 1,
                "hidden_properties": "no",
                "split_lines": {"ids": "item", "removed_units": "keep", "per_unit_properties": 1, "id": "sku"},
                "routing": [{"route": "ship"}, "x", {"route": "fulfill", "skus": "A", "when": "a =="}],
                "splitlines": True,
            }
        )
    ) == [
        "hidden_properties", "split_lines.ids", "split_lines.removed_units", "split_lines.per_unit_properties",
        "split_lines.id", "external_id_prefix", "prefix_lines", "reference", "options.findOrCreateChannelVariant",
        "options.a", "options.", "options.b", "find_or_create_channel_variant", "routing[0].route",
        "routing[1]", "routing[1].route", "routing[2].when", "routing[2].warehouse_id", "routing[2].skus", "splitlines",
    ]  # fmt: skip


def test_an_unknown_key_is_told_with_the_nearest_known_one() -> None:
    assert faults({"splitlines": True}) == {"splitlines": "is not a known key; did you mean split_lines?"}
    assert "known here" in faults({"xyz": True})["xyz"]


# -- ids -------------------------------------------------------------------------------------------------------------


def test_a_prefix_keeps_two_storefronts_on_one_channel_apart_and_leaves_lines_the_ids_that_the_shop_knows() -> None:
    made = sent(shaped(a_sale(a_line("L1")), {"external_id_prefix": "it-"}))
    assert (made["externalId"], made["lineItems"][0]["externalId"]) == ("it-5001", "L1")


def test_lines_have_the_prefix_too_if_it_is_wanted_and_so_do_their_units() -> None:
    given = {"external_id_prefix": "it-", "prefix_lines": True}
    lines = (a_line("L1", 2), a_line("L2", sku="CUP"))
    ids = [line["externalId"] for line in sent(shaped(a_sale(*lines), given))["lineItems"]]
    assert ids == ["it-L1", "it-L2"]
    for of, expected in (("line", ["it-L1_1", "it-L1_2", "it-L2_1"]), ("sku", ["it-MUG_1", "it-MUG_2", "it-CUP_1"])):
        split = shaped(a_sale(*lines), given | {"split_lines": {"ids": of}})
        assert [line["externalId"] for line in sent(split)["lineItems"]] == expected
        again = shaped(a_sale(*lines), given | {"split_lines": True}, units=units_in(encode(split.sale)))
        assert sent(again) == sent(split)


def test_prefixing_lines_without_a_prefix_is_a_mistake() -> None:
    assert list(faults({"prefix_lines": True})) == ["prefix_lines"]


def test_an_id_that_gets_too_long_by_its_prefix_is_a_reason() -> None:
    long = "9" * 254
    sale = a_sale(a_line(long), externalId=long)
    assert list(refused(sale, {"external_id_prefix": "it"})) == ["/externalId"]
    both = refused(sale, {"external_id_prefix": "it", "prefix_lines": True})
    assert list(both) == ["/externalId", "/lineItems/0/externalId"]


# -- the reference ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "reference"),
    [
        ("IT-{reference}", "IT-#1001"),
        ("{storefront}/{external_id}", "shop/5001"),
        ("{{{reference}}}", "{#1001}"),
        ("{reference}{reference}", "#1001#1001"),
    ],
)
def test_the_reference_is_written_by_its_template(template: str, reference: str) -> None:
    made = shaped(a_sale(), {"reference": template, "external_id_prefix": "it-"})
    assert sent(made)["saleDefaults"]["reference"] == reference
    assert made.notes == ()


def test_an_order_without_a_reference_has_its_id_in_the_place_of_it() -> None:
    made = shaped(a_sale(reference=None), {"reference": "IT-{reference}"})
    assert sent(made)["saleDefaults"]["reference"] == "IT-5001"
    assert list(said(made)) == ["/saleDefaults/reference"]


def test_a_reference_is_bounded() -> None:
    made = shaped(a_sale(reference="9" * 300), {"reference": "IT-{reference}"})
    assert sent(made)["saleDefaults"]["reference"] == "IT-" + "9" * 252
    assert "303 characters" in said(made)["/saleDefaults/reference"]


@pytest.mark.parametrize(
    "template",
    ["{order}", "{}", "{reference!r}", "{reference:>9}", "{reference.__class__}", "{reference[0]}", "{reference",
     "reference}", "fixed", "{storefront}", " ", "\n{reference}", "x" * 200 + "{reference}", 5],
)  # fmt: skip
def test_a_template_that_cannot_be_filled_is_found_when_it_is_compiled(template: object) -> None:
    assert list(faults({"reference": template})) == ["reference"]


# -- options ---------------------------------------------------------------------------------------------------------


def test_any_option_is_passed_through_exactly() -> None:
    options = {"importItems": True, "feed": "main", "depth": 3, "rate": 1.1, "exact": Decimal("0.10")}
    made = shaped(a_sale(), {"options": options, "find_or_create_channel_variant": False})
    assert b'"exact":0.1,"feed":"main","findOrCreateChannelVariant":false' in encode(made.sale)
    assert sent(made)["options"] == options | {"exact": 0.1, "findOrCreateChannelVariant": False}
    assert made.notes == ()


def test_what_is_configured_replaces_what_the_sale_says_and_the_loss_is_noted() -> None:
    sale = a_sale(options={"findOrCreateChannelVariant": True, "feed": "a", "other": 1})
    made = shaped(sale, {"options": {"feed": "b"}, "find_or_create_channel_variant": False})
    assert sent(made)["options"] == {"findOrCreateChannelVariant": False, "feed": "b", "other": 1}
    assert list(said(made)) == ["/options/feed", "/options/findOrCreateChannelVariant"]


@pytest.mark.parametrize("options", [[], {"a": None}, {"a": {}}, {"a": float("inf")}, {"x" * 256: 1}, {"a": 10**200}])
def test_an_option_that_is_no_scalar_is_found_when_it_is_compiled(options: object) -> None:
    (key,) = faults({"options": options})
    assert key.startswith("options")


# -- properties ------------------------------------------------------------------------------------------------------


def test_hidden_properties_are_left_out_if_that_is_wanted_and_counted() -> None:
    given = [{"key": "_id", "value": 1}, {"key": "text", "value": "A"}, {"name": "_x", "value": 2}]
    sale = a_sale(a_line("L1", properties=given), a_line("L2"))
    assert len(sent(shaped(sale, {}))["lineItems"][0]["properties"]) == 3
    made = shaped(sale, {"hidden_properties": False})
    assert [line.get("properties") for line in sent(made)["lineItems"]] == [[{"key": "text", "value": "A"}], None]
    assert said(made) == {"/lineItems/0/properties": "2 hidden properties are left out; hidden_properties = true sends "
                          "them"}  # fmt: skip


# -- splitting -------------------------------------------------------------------------------------------------------


def rows(made: Shaped) -> list[Row]:
    return [(line.external_id, line.quantity) for line in made.sale.line_items]


def split(*lines: dict[str, Any], last: Shaped | Sale | None = None, **settings: object) -> Shaped:
    before = last.sale if isinstance(last, Shaped) else last
    units = None if before is None else units_in(encode(before))
    return shaped(a_sale(*lines), {"split_lines": settings or True}, units=units)


def test_a_line_becomes_one_line_per_unit_with_everything_it_has() -> None:
    line = a_line("L1", 3, taxable=True, properties=[{"key": "gift", "value": "yes"}], hint="x")
    made = split(line, a_line("L2", 1, None))
    assert rows(made) == [("L1_1", 1), ("L1_2", 1), ("L1_3", 1), ("L2_1", 1)]
    first, *_ = sent(made)["lineItems"]
    assert first == line | {"externalId": "L1_1", "quantity": 1, "price": 19.9}
    assert made.notes == ()


def test_units_can_be_named_by_the_sku() -> None:
    assert rows(split(a_line("L1", 2), a_line("L2", 1, "CUP"), ids="sku")) == [("MUG_1", 1), ("MUG_2", 1), ("CUP_1", 1)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([a_line("L1"), a_line("L2")], ["MUG_1", "L2_1"]),
        ([a_line("L1", sku=None)], ["L1_1"]),
        ([a_line("L1", sku=" ")], ["L1_1"]),
        ([a_line("L1", variant={"externalId": "7"})], ["L1_1"]),
        ([a_line("L1", sku="x\ny")], ["L1_1"]),
        ([a_line("L1", sku="x" * 255)], ["L1_1"]),
        ([a_line("L1", sku="L2"), a_line("L2", sku="L1")], ["L1_1", "L2_1"]),
        ([a_line("L1", sku="L2"), a_line("L2", sku="CUP")], ["L1_1", "CUP_1"]),
    ],
)
def test_a_line_whose_sku_cannot_name_its_units_has_its_own_id_and_a_note(
    lines: list[dict[str, Any]], expected: list[str]
) -> None:
    made = split(*lines, ids="sku")
    assert [name for name, _ in rows(made)] == expected
    by_line_id = [i for i, line in enumerate(lines) if expected[i].startswith(line["externalId"])]
    assert list(said(made)) == [f"/lineItems/{i}/variant/sku" for i in by_line_id]


def test_units_keep_their_ids_when_the_quantity_changes_and_those_that_are_gone_have_0() -> None:
    three = split(a_line("L1", 3))
    one = split(a_line("L1", 1), last=three)
    assert rows(one) == [("L1_1", 1), ("L1_2", 0), ("L1_3", 0)]
    assert said(one) == {"/lineItems/0/quantity": "2 of 3 units, taken to be the last ones, are gone and are sent with "
                         "quantity 0"}  # fmt: skip
    assert rows(split(a_line("L1", 2), last=one)) == [("L1_1", 1), ("L1_2", 1), ("L1_3", 0)]
    assert rows(split(a_line("L1", 4), last=one)) == [("L1_1", 1), ("L1_2", 1), ("L1_3", 1), ("L1_4", 1)]
    none = split(a_line("L1", 0), last=one)
    assert (rows(none), none.notes) == ([("L1_1", 0), ("L1_2", 0), ("L1_3", 0)], ())


def test_units_that_are_gone_can_be_left_out() -> None:
    omit = {"removed_units": "omit"}
    lines = a_line("L1", 1), a_line("L2", 0, "CUP")
    made = split(*lines, last=split(a_line("L1", 2), a_line("L2", 2, "CUP")), **omit)
    assert rows(made) == [("L1_1", 1)]
    assert [message.partition(" are gone")[2] for message in said(made).values()] == [" and are left out"] * 2
    assert rows(split(a_line("L1", 2), last=made, **omit)) == [("L1_1", 1), ("L1_2", 1)]


def test_an_order_of_which_nothing_is_left_says_so_with_quantities_of_0_even_then() -> None:
    last = split(a_line("L1", 2))
    assert rows(split(a_line("L1", 0), last=last, removed_units="omit")) == [("L1_1", 0), ("L1_2", 0)]
    assert rows(split(a_line("L1", 0), removed_units="omit")) == [("L1_1", 0)]
    assert rows(split(a_line("L1", 0))) == [("L1_1", 0)]


def test_a_second_line_with_the_same_sku_renames_no_unit_that_jetti_has() -> None:
    first = split(a_line("L1", 2), ids="sku")
    second = split(a_line("L1", 2), a_line("L2"), last=first, ids="sku")
    assert rows(second) == [("MUG_1", 1), ("MUG_2", 1), ("L2_1", 1)]
    only_second_left = split(a_line("L2", 3), last=second, ids="sku")
    assert rows(only_second_left) == [("L2_1", 1), ("L2_2", 1), ("L2_3", 1)]


@pytest.mark.parametrize(("before", "later"), [("line", "sku"), ("sku", "line")])
def test_a_setting_that_is_changed_later_renames_no_unit_that_jetti_has(before: str, later: str) -> None:
    first = split(a_line("L1", 2), ids=before)
    assert rows(split(a_line("L1", 2), a_line("L2", 1, "CUP"), last=first, ids=later))[:2] == rows(first)


def test_a_line_that_was_sent_whole_before_lines_were_split_stays_whole() -> None:
    made = split(a_line("L1", 3), a_line("L_2", 2), a_line("L3", 2), last=a_sale(a_line("L1", 2), a_line("L_2", 1)))
    assert rows(made) == [("L1", 3), ("L_2", 2), ("L3_1", 1), ("L3_2", 1)]
    assert [pointer for pointer, message in said(made).items() if "stays one" in message] == [
        "/lineItems/0", "/lineItems/1"]  # fmt: skip


def test_a_line_whose_id_looks_like_another_lines_unit_is_still_split() -> None:
    made = split(a_line("L", 2), a_line("L_1", 1, "CUP"), last=split(a_line("L", 2)))
    assert rows(made) == [("L_1", 1), ("L_2", 1), ("L_1_1", 1)]


def test_ids_that_would_meet_once_lines_are_split_are_a_reason() -> None:
    # A line with the id that a unit of another one is to have, sent whole before: nothing can be kept then.
    before = a_sale(a_line("MUG_1_1", 5, "CUP"))
    sale = a_sale(a_line("MUG_1_1", 5, "CUP"), a_line("L1", sku="MUG_1"))
    assert rows(shaped(sale, {"split_lines": True}, units=units_in(encode(before)))) == [("MUG_1_1", 5), ("L1_1", 1)]
    by_sku = refused(sale, {"split_lines": {"ids": "sku"}}, units_in(encode(before)))
    assert list(by_sku) == ["/lineItems"]
    assert "two lines have the id 'MUG_1_1'" in by_sku["/lineItems"]


def test_a_split_sale_is_bounded() -> None:
    assert len(rows(split(a_line("L1", UNITS_MAX), a_line("L2", UNITS_MAX, "CUP")))) == LINES_MAX
    assert list(refused(a_sale(a_line("L1", UNITS_MAX + 1)), {"split_lines": True})) == ["/lineItems/0/quantity"]
    many = a_sale(a_line("L1", UNITS_MAX), a_line("L2", UNITS_MAX, "CUP"), a_line("L3", 1, "CAP"))
    assert list(refused(many, {"split_lines": True})) == ["/lineItems"]
    assert list(refused(a_sale(), {"split_lines": True}, {"L1": 10**9})) == ["/lineItems/0/quantity"]
    assert list(refused(a_sale(a_line("9" * 254)), {"split_lines": True})) == ["/lineItems/0/externalId"]


def test_a_list_of_one_value_per_unit_is_dealt_out_if_that_is_wanted() -> None:
    properties = [{"key": "engraving", "value": ["A", "B"]}, {"key": "gift", "value": "yes"}]
    line = a_line("L1", 2, properties=properties)
    dealt = split(line, per_unit_properties=True)
    assert [part["properties"] for part in sent(dealt)["lineItems"]] == [
        [{"key": "engraving", "value": letter}, {"key": "gift", "value": "yes"}] for letter in "AB"
    ]
    assert [part["properties"] for part in sent(split(line))["lineItems"]] == [properties, properties]


def test_units_keep_their_own_values_when_others_are_gone() -> None:
    def values(made: Shaped) -> list[object]:
        return [[item["value"] for item in line["properties"]] for line in sent(made)["lineItems"]]

    of_three = [{"key": "engraving", "value": ["A", "B", "C"]}]
    three = split(a_line("L1", 3, properties=of_three), per_unit_properties=True)
    two = split(a_line("L1", 2, properties=of_three), last=three, per_unit_properties=True)
    assert values(two) == [["A"], ["B"], ["C"]]
    shorter = [{"key": "engraving", "value": ["A", "B"]}]
    assert values(split(a_line("L1", 2, properties=shorter), last=three, per_unit_properties=True)) == [
        ["A"], ["B"], []]  # fmt: skip


def test_a_list_of_another_length_is_not_dealt_out_and_says_so() -> None:
    line = a_line("L1", 2, properties=[{"key": "a", "value": ["A"]}, {"key": "b", "value": []}])
    made = split(line, per_unit_properties=True)
    assert [len(part["properties"]) for part in sent(made)["lineItems"]] == [2, 2]
    assert list(said(made)) == ["/lineItems/0/properties/0", "/lineItems/0/properties/1"]


def test_numbers_that_nobody_here_knows_are_noted_when_they_are_repeated() -> None:
    made = split(a_line("L1", 2, discountTotal=5, flag=True, hint="x", a=1, b=2, c=3))
    assert said(made) == {
        "/lineItems/0": "'discountTotal', 'a', 'b' and 1 more: repeated on every unit, wrong if it is a sum for the "
        "line"
    }
    assert split(a_line("L1", 1, discountTotal=5)).notes == ()


@pytest.mark.parametrize("last", [None, b"", b"{", b"[]", b'{"lineItems": 5}', b'{"lineItems": [5]}', b"\xff",
                         b'{"lineItems": [{"externalId": 5, "quantity": {}}]}', b"[" * 100_000])  # fmt: skip
def test_whatever_is_no_sale_remembers_nothing(last: bytes | None) -> None:
    assert units_in(last) == {}


# -- routing ---------------------------------------------------------------------------------------------------------


def routed(sale: Sale, *rules: Mapping[str, object], document: object = None) -> list[dict[str, object]]:
    made = shaped(sale, {"routing": list(rules)}, document)
    again = shaped(made.sale, {"routing": list(rules)}, document)
    assert again.sale == made.sale
    names = ("orderRouting", "manualRouting", "warehouseId", "dropshipProviderId")
    return [{name: line[name] for name in names if name in line} for line in sent(made)["lineItems"]]


IN_HOUSE = {"orderRouting": "manual", "manualRouting": "fulfill", "warehouseId": "7"}
DROPSHIP = {"orderRouting": "manual", "manualRouting": "dropship", "dropshipProviderId": "9"}
FULFILL: dict[str, object] = {"route": "fulfill", "warehouse_id": 7}


def test_the_first_rule_that_matches_decides() -> None:
    rules = (
        {"sku": ["BOOK-*", "MAP-?"], **FULFILL},
        {"sku": "*-9", "route": "dropship", "dropship_provider_id": "9"},
        {"sku": "FREE", "route": "ignore"},
        {"route": "automated"},
    )
    skus = ["BOOK-9", "MAP-1", "MAP-12", "X-9", "FREE", "free", None]
    lines = [a_line(f"L{i}", sku=sku) for i, sku in enumerate(skus)]
    ignore, automated = {"orderRouting": "ignore"}, {"orderRouting": "automated"}
    assert routed(a_sale(*lines), *rules) == [IN_HOUSE, IN_HOUSE, automated, DROPSHIP, ignore, automated, automated]


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({"variant": ["1", "123"]}, True),
        ({"variant": "12"}, False),
        ({"storefront": ["shop"]}, True),
        ({"storefront": "other"}, False),
        ({"country": ["it", "SM"]}, True),
        ({"country": "DE"}, False),
        ({"tag": "whole*"}, True),
        ({"tag": "retail"}, False),
        ({"property": "engraving"}, True),
        ({"property": "engraving=An*"}, True),
        ({"property": ["x", "engraving=B*"]}, False),
        ({"property": "lots=B"}, True),
        ({"property": "count=2"}, True),
        ({"property": "express=true"}, True),
        ({"property": "_hidden=1.5"}, True),
        ({"property": "nested=*"}, False),
        ({"property": "engraving="}, False),
        ({"sku": "MUG", "country": "IT", "tag": "wholesale", "storefront": "shop"}, True),
        ({"sku": "MUG", "country": "DE"}, False),
        ({"when": "order.vendor == 'acme'"}, True),
        ({"when": "line.price > `19.8` && line.quantity == `2`"}, True),
        ({"when": "sale.saleDefaults.tags[?@ == 'wholesale']"}, True),
        ({"when": "line.price == `19.9`"}, True),
        ({"when": "line.variant.sku == 'CUP'"}, False),
        ({"when": "order.nothing"}, False),
        ({"sku": "MUG", "when": "order.vendor == 'other'"}, False),
    ],
)
def test_a_rule_matches_what_all_of_its_keys_match(rule: dict[str, object], matches: bool) -> None:
    properties = [
        {"key": "engraving", "value": "Anna"}, {"key": "lots", "value": ["A", "B"]}, {"key": "count", "value": 2},
        {"key": "express", "value": True}, {"key": "_hidden", "value": Decimal("1.50").normalize()},
        {"key": "nested", "value": {"a": 1}},
    ]  # fmt: skip
    line = a_line("L1", 2, variant={"sku": "MUG", "externalId": "123"}, properties=properties)
    sale = a_sale(line, saleDefaults={"shippingCountry": "IT", "tags": ["wholesale", "new"]})
    assert routed(sale, rule | FULFILL, document={"vendor": "acme"}) == [IN_HOUSE if matches else {}]


def test_what_the_storefront_says_stays_unless_the_rule_overrules_it() -> None:
    gift_card = a_line("L1", orderRouting="ignore")
    manual = a_line("L2", orderRouting="manual", manualRouting="dropship", dropshipProviderId="9")
    sale = a_sale(gift_card, manual, a_line("L3"))
    assert routed(sale, FULFILL) == [{"orderRouting": "ignore"}, DROPSHIP, IN_HOUSE]
    # The first rule that matches decides, also that nothing is changed.
    assert routed(sale, FULFILL, {"route": "ignore", "overrule": True})[1:] == [DROPSHIP, IN_HOUSE]
    assert routed(sale, FULFILL | {"overrule": True}) == [IN_HOUSE, IN_HOUSE, IN_HOUSE]
    notes = shaped(sale, {"routing": [FULFILL | {"overrule": True}]}).notes
    assert [note.pointer for note in notes] == ["/lineItems/0/orderRouting", "/lineItems/1/orderRouting"]
    automated = {"orderRouting": "automated"}
    assert routed(sale, {"route": "automated", "overrule": True}) == [automated, automated, automated]


THEIRS = {"order": {"lines": [{"vendor": "Acme Ltd", "weight": 900}, {"vendor": "Other"}, "no line", {"vendor": 7}]}}
AT = tuple(f"/order/lines/{i}" for i in range(5))


@pytest.mark.parametrize(
    ("rule", "routed_to_us"),
    [
        ({"vendor": "Acme*"}, [True, False, False, False, False, False]),
        ({"vendor": ["acme*", "7"]}, [False, False, False, True, False, False]),
        ({"when": "item.weight > `500`"}, [True, False, False, False, False, False]),
        ({"when": "item == null"}, [False, False, False, False, True, True]),
        ({"vendor": "*", "when": "line.externalId == 'L1'"}, [False, True, False, False, False, False]),
    ],
)
def test_a_rule_can_look_at_the_storefronts_own_line(rule: dict[str, object], routed_to_us: list[bool]) -> None:
    sale = a_sale(*(a_line(f"L{i}") for i in range(6)))
    by = compiled({"routing": [rule | FULFILL]})
    assert by.reads_document
    made = shaped(sale, by, THEIRS, origins=AT)  # one line more than there are origins, one origin more than lines
    assert [line.get("warehouseId") == "7" for line in sent(made)["lineItems"]] == routed_to_us


# -- what a line decides for itself ----------------------------------------------------------------------------------

PER_LINE = {"warehouse_id": "_warehouse", "dropship_provider_id": "_provider", "route": "route", "split": "_split"}


def asking(external_id: str = "L1", quantity: int = 1, **properties: object) -> dict[str, Any]:
    return a_line(external_id, quantity, properties=[{"key": key, "value": value} for key, value in properties.items()])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (asking(_warehouse="12"), IN_HOUSE | {"warehouseId": "12"}),
        (asking(_warehouse=12), IN_HOUSE | {"warehouseId": "12"}),
        (asking(_provider=" 9 "), DROPSHIP),
        (asking(route="Ignore"), {"orderRouting": "ignore"}),
        (asking(route="automated"), {"orderRouting": "automated"}),
        (asking(_warehouse="12", route=""), IN_HOUSE | {"warehouseId": "12"}),
        # What says nothing, or nothing clear, is routed by the rules.
        (asking(), IN_HOUSE),
        (asking(_warehouse=" "), IN_HOUSE),
        (asking(_warehouse=None), IN_HOUSE),
        (asking(_warehouse={"id": 1}), IN_HOUSE),
        (asking(_warehouse="1\n2"), IN_HOUSE),
        (asking(route="dropship"), IN_HOUSE),
        (asking(_warehouse="12", _provider="9"), IN_HOUSE),
        # What the sale itself says goes first.
        (asking(_warehouse="12") | {"orderRouting": "ignore"}, {"orderRouting": "ignore"}),
    ],
)
def test_a_line_says_who_fulfils_it_by_a_property(line: dict[str, Any], expected: dict[str, str]) -> None:
    made = shaped(a_sale(line), {"per_line": PER_LINE, "routing": [FULFILL], "hidden_properties": False})
    (routed_line,) = sent(made)["lineItems"]
    names = ("orderRouting", "manualRouting", "warehouseId", "dropshipProviderId")
    assert {name: routed_line[name] for name in names if name in routed_line} == expected


@pytest.mark.parametrize("line", [asking(_warehouse="1\n2"), asking(route="x"), asking(_warehouse=1, _provider=2)])
def test_a_line_that_is_unclear_about_its_routing_is_noted(line: dict[str, Any]) -> None:
    made = shaped(a_sale(line), {"per_line": PER_LINE})
    assert list(said(made)) == ["/lineItems/0/properties"]
    assert "routed like any other" in said(made)["/lineItems/0/properties"]


def test_a_rule_that_overrules_goes_before_what_a_line_asks_for() -> None:
    rules = {"per_line": PER_LINE, "routing": [FULFILL | {"overrule": True}]}
    assert sent(shaped(a_sale(asking(route="ignore")), rules))["lineItems"][0]["warehouseId"] == "7"


@pytest.mark.parametrize(
    ("split_lines", "ids"),
    [
        (False, ["A_1", "A_2", "B", "C", "D"]),
        (True, ["A_1", "A_2", "B", "C_1", "C_2", "D_1", "D_2"]),
        ({"when": "line.externalId == 'B' || line.externalId == 'D'"}, ["A_1", "A_2", "B", "C", "D_1", "D_2"]),
        ({"when": "item.kind == 'set'"}, ["A_1", "A_2", "B", "C_1", "C_2", "D"]),
    ],
)
def test_a_line_says_whether_it_is_split_and_the_setting_decides_about_the_rest(
    split_lines: object, ids: list[str]
) -> None:
    lines = [
        asking("A", 2, _split="yes"),
        asking("B", 2, _split=False),
        asking("C", 2),
        asking("D", 2, _split="perhaps"),
    ]
    theirs = {"lines": [{}, {"kind": "set"}, {"kind": "set"}, {}]}
    given = {"per_line": {"split": "_split"}, "split_lines": split_lines, "hidden_properties": False}
    made = shaped(a_sale(*lines), given, theirs, origins=[f"/lines/{i}" for i in range(4)])
    assert [line["externalId"] for line in sent(made)["lineItems"]] == ids
    assert [note.pointer for note in made.notes if "and not yes or no" in note.message] == ["/lineItems/3/properties"]


def test_a_line_that_was_split_stays_so_when_it_no_longer_asks_for_it_and_one_that_was_whole_stays_whole() -> None:
    given = {"per_line": {"split": "_split"}}
    before = encode(shaped(a_sale(asking("A", 2, _split="yes"), asking("B", 2)), given).sale)
    after = shaped(a_sale(asking("A", 3), asking("B", 2, _split="yes")), given, units=units_in(before))
    assert [(line["externalId"], line["quantity"]) for line in sent(after)["lineItems"]] == [
        ("A_1", 1), ("A_2", 1), ("A_3", 1), ("B", 2),
    ]  # fmt: skip
    assert list(said(after)) == ["/lineItems/0", "/lineItems/1"]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"per_line": "yes"}, "per_line"),
        ({"per_line": {"warehouse": "x"}}, "per_line.warehouse"),
        ({"per_line": {"split": ""}}, "per_line.split"),
        ({"split_lines": {"when": "a =="}}, "split_lines.when"),
    ],
)
def test_a_wrong_word_about_lines_is_named_by_its_key(given: dict[str, object], key: str) -> None:
    assert list(faults(given)) == [key]


def test_a_condition_that_has_no_value_does_not_match_and_says_so_once() -> None:
    sale = a_sale(a_line("L1"), a_line("L2"))
    made = shaped(sale, {"routing": [{"when": "abs(order.vendor) > `1`"} | FULFILL]}, document={"vendor": "x"})
    assert made.sale == sale
    assert list(said(made)) == ["/lineItems/0"]
    assert "routing rule 1" in said(made)["/lineItems/0"]


def test_units_are_routed_like_the_line_they_come_from() -> None:
    given = {"routing": [{"when": "line.quantity > `1`"} | FULFILL], "split_lines": True, "hidden_properties": False}
    made = shaped(a_sale(a_line("L1", 2), a_line("L2", 1, "CUP")), given)
    assert [line.get("warehouseId") for line in sent(made)["lineItems"]] == ["7", "7", None]


def test_a_hidden_property_can_route_and_is_left_out_all_the_same() -> None:
    sale = a_sale(a_line("L1", properties=[{"key": "_from", "value": "store"}]))
    made = shaped(sale, {"routing": [{"property": "_from=store"} | FULFILL], "hidden_properties": False})
    (line,) = sent(made)["lineItems"]
    assert (line["warehouseId"], line["properties"]) == ("7", [])


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ({}, "route"),
        ({"route": "fulfill"}, "warehouse_id"),
        ({"route": "fulfill", "warehouse_id": 1.5}, "warehouse_id"),
        ({"route": "dropship"}, "dropship_provider_id"),
        ({"route": "ignore", "warehouse_id": 7}, "warehouse_id"),
        ({"route": "ignore", "sku": []}, "sku"),
        ({"route": "ignore", "sku": [5]}, "sku"),
        ({"route": "ignore", "sku": "x" * 256}, "sku"),
        ({"route": "ignore", "property": "=x"}, "property"),
        ({"route": "ignore", "when": "a =="}, "when"),
        ({"route": "ignore", "when": 5}, "when"),
        ({"route": "ignore", "when": "nothing(@)"}, "when"),
        ({"route": "ignore", "overrule": "yes"}, "overrule"),
        ({"route": "ignore", "vendor": []}, "vendor"),
        ({"route": "ignore", "maker": "acme"}, "maker"),
    ],
)
def test_a_wrong_rule_is_named_by_its_key(rule: dict[str, object], key: str) -> None:
    assert list(faults({"routing": [{"route": "automated"}, rule]})) == [f"routing[1].{key}"]


def test_no_pattern_is_wrong_or_slow() -> None:
    line = a_line(sku="a" * 5_000)
    for pattern in ("[z-a]", "[", "[!]", "*a" * 120 + "b", "\\"):
        assert routed(a_sale(line), {"sku": pattern} | FULFILL) == [{}]


# -- whatever comes --------------------------------------------------------------------------------------------------

IDS = st.sampled_from(["A", "B", "A_1", "A_1_1", "B_2", "MUG", "1", "é"])
SKUS = st.none() | st.sampled_from(["MUG", "CUP", "A", "B", "A_1", " ", "x\ty"])
QUANTITIES = st.integers(0, 4)
LINES = st.lists(st.tuples(IDS, QUANTITIES, SKUS), min_size=1, max_size=5, unique_by=lambda line: line[0])
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "ids": st.sampled_from(["line", "sku"]),
        "removed_units": st.sampled_from(["zero", "omit"]),
        "per_unit_properties": st.booleans(),
    },
)


def lines_of(drawn: list[tuple[str, int, str | None]]) -> list[dict[str, Any]]:
    prices = count(1)
    return [a_line(name, quantity, sku, price=next(prices)) for name, quantity, sku in drawn]


@given(LINES, SETTINGS)
def test_splitting_keeps_the_quantity_and_the_money_and_makes_ids_unique(
    drawn: list[tuple[str, int, str | None]], settings: dict[str, Any]
) -> None:
    sale = a_sale(*lines_of(drawn))
    made = shaped(sale, {"split_lines": settings})
    units = made.sale.line_items
    assert {unit.quantity for unit in units} <= {0, 1}
    assert len({unit.external_id for unit in units}) == len(units)
    assert sum(unit.quantity for unit in units) == sum(line.quantity for line in sale.line_items)
    assert sum(unit.price * unit.quantity for unit in units) == sum(
        line.price * line.quantity for line in sale.line_items
    )


@given(LINES, st.lists(st.tuples(SETTINGS, st.lists(QUANTITIES, min_size=5, max_size=5)), min_size=1, max_size=5))
def test_over_any_updates_a_unit_keeps_its_id_and_what_was_sent_is_never_forgotten(
    drawn: list[tuple[str, int, str | None]], updates: list[tuple[dict[str, Any], list[int]]]
) -> None:
    last: bytes | None = None
    before: dict[str, Decimal] = {}
    for settings, quantities in updates:
        changed = [(name, quantity, sku) for (name, _, sku), quantity in zip(drawn, quantities, strict=False)]
        sale = a_sale(*lines_of(changed))
        # Settings may change meanwhile; only what is left out cannot be remembered.
        made = shaped(sale, {"split_lines": settings | {"removed_units": "zero"}}, units=units_in(last))
        now = {unit.external_id: unit.price for unit in made.sale.line_items}
        assert len(now) == len(made.sale.line_items)
        assert before.items() <= now.items(), "the same unit of the same line (each has its own price)"
        live = Counter(unit.price for unit in made.sale.line_items if unit.quantity)
        assert live == Counter({line.price: line.quantity for line in sale.line_items if line.quantity})
        last, before = encode(made.sale), now


@given(LINES, LINES, SETTINGS)
def test_the_same_order_again_is_the_same_bytes_so_that_nothing_is_sent(
    earlier: list[tuple[str, int, str | None]], drawn: list[tuple[str, int, str | None]], settings: dict[str, Any]
) -> None:
    by = compiled({"split_lines": settings})
    # What is left out is not remembered: then lines keep their ids only as long as the shop does not change SKUs.
    first = shaped(a_sale(*lines_of(drawn if settings.get("removed_units") == "omit" else earlier)), by)
    second = shaped(a_sale(*lines_of(drawn)), by, units=units_in(encode(first.sale)))
    again = shaped(a_sale(*lines_of(drawn)), by, units=units_in(encode(second.sale)))
    assert encode(again.sale) == encode(second.sale)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.decimals(-100, 100, places=2) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RULES = st.fixed_dictionaries(
    {"route": st.sampled_from(["ignore", "automated"])},
    optional={
        "sku": st.text(min_size=1, max_size=5),
        "property": st.text(min_size=1, max_size=5),
        "tag": st.text(min_size=1, max_size=5),
        "country": st.text(min_size=1, max_size=5),
        "overrule": st.booleans(),
        "when": st.sampled_from(["order.a", "length(order)", "line.x > order", "sort(order)", "sale == order", "@"]),
    },
)
SHAPES = st.fixed_dictionaries(
    {},
    optional={
        "external_id_prefix": st.text(max_size=5),
        "prefix_lines": st.booleans(),
        "reference": st.text(max_size=5) | st.sampled_from(["{reference}", "{external_id}-{storefront}"]),
        "options": st.dictionaries(st.text(max_size=5), JSON, max_size=2),
        "hidden_properties": st.booleans(),
        "split_lines": st.booleans() | SETTINGS,
        "routing": st.lists(RULES, max_size=3),
    },
)
REPEATABLE = {"options", "hidden_properties", "routing"}
PROPERTIES = st.lists(st.fixed_dictionaries({"key": st.text(max_size=5), "value": JSON}), max_size=3)


@given(SHAPES, LINES, PROPERTIES, JSON, st.dictionaries(IDS, st.integers(-5, 2000)))
def test_no_sale_and_no_document_makes_it_raise(
    given_shape: dict[str, Any],
    drawn: list[tuple[str, int, str | None]],
    properties: list[dict[str, Any]],
    document: object,
    units: dict[str, int],
) -> None:
    try:
        by = compiled(given_shape)
    except RecipeError:
        return
    sale = a_sale(*[line | {"properties": properties} for line in lines_of(drawn)])
    made = shape(sale, document, by, storefront="shop", units=units)
    notes = made.reasons if isinstance(made, Unmappable) else made.notes
    assert all(isinstance(note, Reason) for note in notes)
    if isinstance(made, Shaped):
        assert isinstance(parse(_decode(encode(made.sale))), Sale)


@given(SHAPES, LINES, PROPERTIES, JSON)
def test_routing_hidden_properties_and_options_come_to_the_same_when_they_are_done_again(
    given_shape: dict[str, Any],
    drawn: list[tuple[str, int, str | None]],
    properties: list[dict[str, Any]],
    document: object,
) -> None:
    try:
        by = compiled({key: given_shape[key] for key in given_shape if key in REPEATABLE})
    except RecipeError:
        return
    if any(rule.when is not None for rule in by.routing):
        return  # a condition may look at anything, the routing included
    once = shaped(a_sale(*[line | {"properties": properties} for line in lines_of(drawn)]), by, document)
    assert encode(shaped(once.sale, by, document).sale) == encode(once.sale)


@given(JSON)
def test_no_table_makes_compiling_raise_anything_else(given_value: Any) -> None:
    keys = ("external_id_prefix", "prefix_lines", "reference", "options", "hidden_properties", "split_lines", "routing")
    for table in (dict.fromkeys(keys, given_value), {"routing": [given_value]}, given_value):
        try:
            assert isinstance(compiled(table), Shape)
        except RecipeError:
            continue
