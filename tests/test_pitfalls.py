"""Every pitfall that STOREFRONTS.md lists has a test that asserts what is done about it, and every vector is tried."""

import json
import re
from pathlib import Path

import pytest

from tests import test_shopify as shopify
from tests.fixtures import FOLDER, fixture, names

CHECKLIST = FOLDER.parent / "STOREFRONTS.md"
HERE = Path(__file__).parent

PITFALLS: dict[str, tuple[str, ...]] = {
    "ids > 2^53": (
        "shopify::test_ids_beyond_double_precision_stay_what_they_are",
        "woocommerce::test_ids_beyond_double_precision_stay_what_they_are",
    ),
    "customer null": (
        "shopify::test_an_order_without_an_e_mail_is_refused_or_has_the_fallback",
        "shopify::test_a_person_is_named_as_a_whole_from_one_place",
    ),
    "addresses null": (
        "shopify::test_a_missing_address_stays_missing",
        "woocommerce::test_a_blank_shipping_address_stays_blank_unless_configured_otherwise",
    ),
    "order e-mail": ("shopify::test_the_orders_own_e_mail_goes_before_the_customers",),
    "prices as": (
        "shopify::test_prices_are_exact_whether_text_or_number",
        "shopify::test_a_price_that_is_none_is_refused_by_its_pointer",
        "shopify::test_yen_have_no_decimals_and_names_keep_their_script",
        "elasticpath::test_amounts_are_in_the_currencys_smallest_unit",
        "squarespace::test_amounts_are_exact_whether_text_or_number",
    ),
    "multi-currency": (
        "shopify::test_one_side_of_the_money_is_taken_consistently",
        "shopify::test_a_missing_other_side_is_refused_and_never_mixed",
    ),
    "discount only": ("shopify::test_a_discount_that_only_the_allocations_know_is_taken_off_the_net_price",),
    "refunded lines": (
        "shopify::test_removed_lines_tell_jetti_so_except_in_a_new_order",
        "shopify::test_a_real_cancellation_says_so_in_the_sale",
    ),
    "properties": (
        "shopify::test_properties_are_read_however_they_come",
        "pitfalls::test_forty_seven_properties_are_all_sent",
        "woocommerce::test_an_object_among_the_metadata_is_sent_as_json",
    ),
    "custom items": (
        "shopify::test_a_custom_item_is_refused_or_connected_as_configured",
        "woocommerce::test_a_custom_item_is_refused_or_connected_as_configured",
        "squarespace::test_a_custom_item_is_refused_or_connected_as_configured",
    ),
    "bundle children": (
        "bigcommerce::test_real_options_and_pick_lists_are_read",
        "woocommerce::test_what_is_part_of_a_bundle_is_sent_unless_configured_otherwise",
    ),
    "gift card line": ("shopify::test_gift_cards_are_sent_but_not_routed_unless_configured_otherwise",),
    "no line items": (
        "shopify::test_an_order_of_which_nothing_is_left_still_has_lines",
        "woocommerce::test_an_order_of_nothing_but_fees_or_of_nothing_is_refused_with_the_remedy",
    ),
    "not an order": (
        "shopify::test_other_topics_are_ignored_by_name_even_where_the_body_has_an_orders_shape",
        "elasticpath::test_other_triggers_are_ignored_by_name",
    ),
    "wrapped": ("shopify::test_a_wrapped_order_is_the_same_order",),
    "stale pair": ("woocommerce::test_a_real_stale_pair_is_told_apart_by_its_utc_dates",),
    "duplicate line ids": (
        "woocommerce::test_a_line_that_comes_twice_is_sent_once_and_two_lines_with_one_id_are_refused",
        "shopify::test_lines_with_one_id_are_refused",
    ),
    "several shipping": ("bigcommerce::test_of_real_addresses_the_one_that_has_goods_is_sent",),
    "unparseable date": ("woocommerce::test_an_order_without_a_date_goes_by_its_arrival",),
    "broken JSON": (
        "shopify::test_an_authentic_body_without_an_order_is_not_understood_and_never_an_accident",
        "fuzzing::test_no_body_and_no_headers_raise_anything_but_the_declared_outcomes",
    ),
    "very large order": (
        "shopify::test_an_order_of_five_hundred_lines_is_mapped_whole",
        "bounds::test_more_lines_than_anybody_sells_are_refused_and_as_many_are_mapped",
    ),
}
"""What each row of section 3 begins with, and the tests of it."""


def _rows() -> list[str]:
    if not CHECKLIST.is_file():
        pytest.skip(f"{CHECKLIST} is missing; it lies beside the fixtures (RELAY_FIXTURES)")
    section = CHECKLIST.read_text().partition("## 3. Pitfalls")[2]
    return [row for row in re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE) if row not in ("pitfall", "---")]


def test_every_pitfall_has_its_tests() -> None:
    rows = [row for row in _rows() if not row.startswith("-")]
    assert len(rows) > 15
    for row in rows:
        assert [start for start in PITFALLS if row.startswith(start)], f"no test of: {row}"


@pytest.mark.parametrize("named", sorted({name for names in PITFALLS.values() for name in names}))
def test_the_tests_of_pitfalls_are_there(named: str) -> None:
    module, _, test = named.partition("::")
    assert re.search(rf"^def {test}\(", (HERE / f"test_{module}.py").read_text(), re.MULTILINE), named


def test_every_vector_of_a_signature_is_tried() -> None:
    if not (FOLDER / "vectors").is_dir():
        pytest.skip(f"the third-party payloads are missing; set RELAY_FIXTURES to a folder like {FOLDER}")
    tests = "".join(file.read_text() for file in HERE.glob("test_*.py"))
    assert names("vectors")
    for name in names("vectors"):
        assert f'"vectors/{name}"' in tests, name


def test_every_folder_of_fixtures_is_gone_through() -> None:
    folders = {file.parent.name for file in FOLDER.glob("*/*.json")} - {"vectors"}
    for folder in folders:
        assert f'names("{folder}")' in (HERE / f"test_{folder}.py").read_text()


def test_forty_seven_properties_are_all_sent() -> None:
    order = json.loads(fixture("shopify/real-anonymised-47-properties.json"))
    for number, line in enumerate(order["line_items"]):
        line |= {"price": "1.00", "id": number + 1}  # anonymised away
    order["shipping_lines"] = []
    given = [len(line["properties"]) for line in order["line_items"]]
    assert sum(given) == 47
    assert [len(line["properties"]) for line in shopify.sent(json.dumps(order).encode())["lineItems"]] == given
