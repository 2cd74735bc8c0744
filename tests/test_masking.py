"""What is shown of a webhook or a sale to who has not asked for personal data."""

import json
from typing import Any

import pytest

from relay.core.masking import MASK, masked, masked_words, without_values
from tests.fixtures import sample

SAMPLES = ("shopify-order.json", "woocommerce-order.json", "bigcommerce-order.json", "squarespace-order.json",
           "elasticpath-event.json", "native-sale.json")  # fmt: skip
_PERSONS = frozenset({
    "email", "first_name", "last_name", "firstname", "lastname", "phone", "address1", "address2", "address_1",
    "address_2", "street_1", "street_2", "line_1", "line_2", "company", "zip", "postcode", "city", "name",
    "customeremail", "postalcode", "note", "browser_ip", "customer_ip_address", "customer_note", "contact_email",
    "street1", "street2", "postal_code", "company_name", "firstName", "lastName", "customerEmail", "phone_number",
})  # fmt: skip


def _leaves(content: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(content, dict):
        return [leaf for key, value in content.items() for leaf in _leaves(value, key)]
    if isinstance(content, list):
        return [leaf for value in content for leaf in _leaves(value, name)]
    return [(name, content)]


@pytest.mark.parametrize("file", SAMPLES)
def test_nothing_of_a_person_is_left_in_any_storefronts_order(file: str) -> None:
    order = json.loads(sample(file))
    persons = {str(value) for name, value in _leaves(order) if name in _PERSONS and value}
    shown = [str(value) for _, value in _leaves(masked(order))]

    assert len(persons) > 3
    assert [value for value in shown if value in persons] == []


@pytest.mark.parametrize("file", SAMPLES)
def test_the_shape_stays_and_so_do_ids_quantities_and_money(file: str) -> None:
    order = json.loads(sample(file))
    before, after = _leaves(order), _leaves(masked(order))

    assert [name for name, _ in before] == [name for name, _ in after]
    kept = {name for (name, _), (_, value) in zip(before, after, strict=True) if value not in (MASK, None)}
    assert {"quantity", "sku"} & kept


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"id": 7, "total_price": "12.50", "created_at": "2026-11-21T10:00:00-05:00"},
         {"id": 7, "total_price": "12.50", "created_at": "2026-11-21T10:00:00-05:00"}),
        ({"phone": 15550100, "is_gift": True, "nothing": None}, {"phone": MASK, "is_gift": True, "nothing": None}),
        ({"note_attributes": [{"name": "gift", "value": "42"}]}, {"note_attributes": [{"name": MASK, "value": MASK}]}),
        ({"status": "please call Ada Buyer after eight, she is at her mother's, ring twice and wait"},
         {"status": MASK}),
        ({"status": "ada@private.example"}, {"status": MASK}),
        ({"price": "12.50", "quantity": 2, "tax": 0.07}, {"price": "12.50", "quantity": 2, "tax": 0.07}),
        ({"value": "Ada Buyer"}, {"value": MASK}),
        ({"fields": [{"label": "Phone", "value": "4915112345678"}]}, {"fields": [{"label": MASK, "value": MASK}]}),
        ({"form_fields": [{"name": "Born", "value": "1815"}]}, {"form_fields": [{"name": MASK, "value": MASK}]}),
        ("Ada", MASK),
        (["Ada"], [MASK]),
    ],
)  # fmt: skip
def test_a_value_is_shown_only_where_it_is_known_to_be_nobodys(content: Any, shown: Any) -> None:
    assert masked(content) == shown


def test_what_is_nested_too_deep_to_be_an_order_is_masked_whole() -> None:
    content: Any = {"id": 1}
    for _ in range(500):
        content = {"a": content}

    assert "1" not in json.dumps(masked(content))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("expected a number, found 'Ada'", f"expected a number, found {MASK}"),
        ('cannot take {"customer": {"firstName": "Ada"', f"cannot take {MASK}"),
        ('422 api.sale.invalid: {"a": {}} is none. Retry 2', f"422 api.sale.invalid: {MASK} is none. Retry 2"),
        ("no customer has ada@buyer.example; try again", f"no customer has {MASK}; try again"),
        ("the storefront's API answered 422; it says: Ada is unknown",
         f"the storefront's API answered 422; it says: {MASK}"),
        ("expected the order's id; the customer's too", "expected the order's id; the customer's too"),
        ("Waits behind 3 orders, about 1 s at 10/s.", "Waits behind 3 orders, about 1 s at 10/s."),
    ],
)  # fmt: skip
def test_a_sentence_is_shown_without_what_it_quotes(said: str, shown: str) -> None:
    assert masked_words(said) == shown


def test_what_was_said_of_a_sale_is_kept_without_the_persons_in_it() -> None:
    sale = json.dumps({"externalId": "1001", "customer": {"firstName": "Ada", "email": "ada@buyer.example"},
                       "lineItems": [{"sku": "MUG-1"}], "address": {"city": "Ulm", "zip": "89"}}).encode()  # fmt: skip

    said = without_values("order 1001 of Ada in Ulm has MUG-1; ada@buyer.example in Adana is 89", sale)

    assert said == f"order 1001 of {MASK} in {MASK} has MUG-1; {MASK} in Adana is 89"
    assert without_values("Ada", b"no JSON") == "Ada"
