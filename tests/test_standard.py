"""Standard Webhooks: proved with the public client, and with the vectors of its reference libraries."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from standardwebhooks.webhooks import Webhook

from relay.core import instant
from relay.core.recipe import compile_criterion, compile_recipe
from relay.core.recipe.expression import compiled
from relay.core.recipe.reading import Reading, Types
from relay.core.sale import Reason, encode
from relay.core.sources import (
    Authentic,
    Cancel,
    Identified,
    Ignore,
    Mapped,
    NotUnderstood,
    Unauthentic,
    Unmappable,
    Upsert,
)
from relay.core.sources.standard import Standard, StandardRules
from tests.fixtures import fixture, sample

SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
AT = 1_795_282_909
NOW = AT * instant.SECOND
SALE = json.loads(sample("native-sale.json"))
SOURCE = Standard((SECRET,))
RECIPE = compile_recipe(
    {
        "external_id": "data.id",
        "version": "data.changed",
        "sale": {"reference": "data.number"},
        "customer": {"email": "data.mail"},
        "line_items": {"each": "data.lines", "externalId": "id", "price": "price", "quantity": "qty", "sku": "sku"},
    }
)
ORDER = {"id": 7, "number": "A7", "mail": "ada@buyer.example", "lines": [{"id": 1, "price": 5, "qty": 1, "sku": "S"}]}
MAPPED = Standard((SECRET,), Reading(RECIPE))


def signed(body: bytes, *, secret: str = SECRET, name: str = "msg_1", at: int = AT) -> CIMultiDict[str]:
    """The headers that the public library would send."""
    signature = Webhook(secret).sign(name, datetime.fromtimestamp(at, UTC), body.decode())
    return CIMultiDict({"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": signature})


def enveloped(kind: str, data: object, **more: object) -> bytes:
    return json.dumps({"type": kind, "timestamp": "2026-11-21T17:41:49Z", "data": data, **more}).encode()


def identified(body: bytes, source: Standard = SOURCE) -> Identified:
    return source.identify(signed(body), body, now=NOW)


def _vectors() -> list[Any]:
    try:
        found: list[Any] = json.loads(fixture("vectors/standard-webhooks.json"))["vectors"]
    except pytest.skip.Exception:
        return []
    return found


@pytest.mark.parametrize("vector", _vectors(), ids=lambda vector: vector["name"])
def test_the_reference_libraries_vectors(vector: dict[str, Any]) -> None:
    headers = CIMultiDict(
        {
            "webhook-id": vector["id"],
            "webhook-timestamp": str(vector["timestamp"]),
            "webhook-signature": vector["signature"],
        }
    )
    now = vector["timestamp"] * instant.SECOND
    verdict = Standard((vector["secret"],)).verify(headers, vector["payload"].encode(), now=now)
    assert isinstance(verdict, Authentic if vector["valid"] else Unauthentic)


def test_what_the_public_client_signs_is_authentic() -> None:
    body = json.dumps(SALE).encode()
    assert SOURCE.verify(signed(body), body, now=NOW) == Authentic()
    assert isinstance(SOURCE.verify(signed(body), body + b" ", now=NOW), Unauthentic)
    assert isinstance(SOURCE.verify(signed(body, secret=OTHER), body, now=NOW), Unauthentic)
    renamed = signed(body)
    renamed["webhook-id"] = "msg_2"
    assert isinstance(SOURCE.verify(renamed, body, now=NOW), Unauthentic)


def test_any_of_several_secrets_may_have_signed() -> None:
    body = b"{}"
    rotating = Standard((OTHER, SECRET.removeprefix("whsec_")))
    assert rotating.verify(signed(body), body, now=NOW) == Authentic()
    assert rotating.verify(signed(body, secret=OTHER), body, now=NOW) == Authentic()


def test_a_body_that_is_no_utf_8_is_verified_as_the_bytes_it_is() -> None:
    assert isinstance(SOURCE.verify(signed(b"{}"), b"\xff\xfe", now=NOW), Unauthentic)


@pytest.mark.parametrize(
    ("late_s", "tolerance_s", "authentic"),
    [(0, 300, True), (300, 300, True), (301, 300, False), (-300, 300, True), (-301, 300, False), (301, 600, True)],
)
def test_an_attempt_is_of_these_minutes(late_s: int, tolerance_s: float, authentic: bool) -> None:
    source = Standard((SECRET,), rules=StandardRules(tolerance_s))
    verdict = source.verify(signed(b"{}"), b"{}", now=NOW + late_s * instant.SECOND)
    assert isinstance(verdict, Authentic if authentic else Unauthentic)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("given", [None, "", "hello", "-1", "1" * 400, "é", "\udcff", "v1,", " "])
def test_a_header_that_is_missing_or_wrong_is_not_authentic(name: str, given: str | None) -> None:
    headers = signed(b"{}")
    del headers[name]
    if given is not None:
        headers[name] = given
    assert isinstance(SOURCE.verify(headers, b"{}", now=NOW), Unauthentic)


@pytest.mark.parametrize("secrets", [(), ("",), ("whsec_",), ("not base64!",), (SECRET, "a")])
def test_a_secret_that_is_none_is_refused_when_it_is_configured(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="secret") as refused:
        Standard(secrets)
    assert "not base64!" not in str(refused.value)
    assert SECRET not in repr(SOURCE)


def test_a_manual_sale_is_the_body_or_the_data_of_its_envelope() -> None:
    bare, wrapped = json.dumps(SALE).encode(), enveloped("order.created", SALE)
    one, other = identified(bare), identified(wrapped)
    assert isinstance(one, Upsert)
    assert isinstance(other, Upsert)
    assert (one.external_id, one.reference, one.dedupe_key, one.topic) == ("5001", "1001", "msg_1", "")
    assert (other.external_id, other.reference, other.dedupe_key) == ("5001", "1001", "msg_1")
    assert other.topic == "order.created"
    assert SOURCE.sale(bare, "") == SOURCE.sale(wrapped, "order.created")


def test_the_version_is_the_orders_else_the_events_and_never_the_attempts() -> None:
    told = instant.parse("2026-11-21T17:41:49Z")
    own = instant.parse("2026-11-21T10:00:00Z")
    with_own = enveloped("order.updated", SALE | {"updatedAt": "2026-11-21T10:00:00Z"})
    for body, version in ((enveloped("order.updated", SALE), told), (with_own, own), (json.dumps(SALE).encode(), None)):
        event = identified(body)
        assert isinstance(event, Upsert)
        assert event.version == version


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [("order.created", Upsert), ("Order.Updated", Upsert), ("order.cancelled", Cancel), ("order.canceled", Cancel),
     ("order.deleted", Cancel), ("customer.signed_up", Ignore), ("ping", Ignore)],
)  # fmt: skip
def test_the_type_says_what_it_is(kind: str, becomes: type) -> None:
    assert isinstance(identified(enveloped(kind, SALE)), becomes)


def test_types_can_be_configured() -> None:
    types = Types((("bestellung.neu", "upsert"), ("*.weg", "cancel")), others="ignore")
    source = Standard((SECRET,), Reading(types=types))
    assert isinstance(identified(enveloped("bestellung.neu", SALE), source), Upsert)
    assert isinstance(identified(enveloped("bestellung.weg", SALE), source), Cancel)
    assert isinstance(identified(enveloped("order.created", SALE), source), Ignore)


def test_a_cancellation_makes_a_cancelled_sale_and_one_that_only_names_the_order_is_not_complete() -> None:
    event = identified(enveloped("order.cancelled", SALE))
    assert isinstance(event, Cancel)
    assert event.complete
    made = SOURCE.sale(enveloped("order.cancelled", SALE), "order.cancelled")
    assert isinstance(made, Mapped)
    assert json.loads(encode(made.sale))["saleDefaults"]["cancelled"] is True
    named = identified(enveloped("order.deleted", {"externalId": "5001"}))
    assert isinstance(named, Cancel)
    assert not named.complete


def test_a_recipe_reads_any_envelope() -> None:
    body = enveloped("order.created", ORDER)
    event, made = identified(body, MAPPED), MAPPED.sale(body, "order.created")
    assert isinstance(event, Upsert)
    assert isinstance(made, Mapped)
    assert (event.external_id, event.reference) == ("7", "A7")
    assert event.version == instant.parse("2026-11-21T17:41:49Z")
    assert made.sale.external_id == "7"


def test_a_type_in_another_place_is_found_by_an_expression() -> None:
    source = Standard((SECRET,), Reading(RECIPE), topic=compiled("meta.event"))
    assert isinstance(identified(enveloped("x", ORDER, meta={"event": "order.created"}), source), Upsert)
    assert isinstance(identified(enveloped("x", ORDER, meta={"event": "stock.changed"}), source), Ignore)


def test_what_is_not_wanted_is_ignored() -> None:
    source = Standard((SECRET,), Reading(RECIPE, compile_criterion("data.draft", "ignore_when")))
    assert isinstance(identified(enveloped("order.created", ORDER | {"draft": True}), source), Ignore)
    assert isinstance(identified(enveloped("order.created", ORDER | {"draft": False}), source), Upsert)


def test_what_has_no_order_is_not_understood_with_the_place_and_the_entry() -> None:
    event = identified(enveloped("order.created", {"id": ""}), MAPPED)
    assert isinstance(event, NotUnderstood)
    assert event.reasons == (Reason("/data/id", "mapping.external_id (data.id): finds nothing here: correct it"),)
    plain = identified(enveloped("order.created", {"externalId": None}))
    assert isinstance(plain, NotUnderstood)
    assert plain.reasons[0].pointer == "/data/externalId"
    assert isinstance(identified(b"{"), NotUnderstood)


def test_reasons_of_a_wrapped_sale_point_into_the_body() -> None:
    refused = SOURCE.sale(enveloped("order.created", SALE | {"customer": {}}), "order.created")
    assert isinstance(refused, Unmappable)
    assert [reason.pointer for reason in refused.reasons] == ["/data/customer/email"]


def test_it_reads_the_same_from_the_headers_it_names_and_from_what_is_kept() -> None:
    body = enveloped("order.created", SALE)
    kept = CIMultiDict({name: signed(body)[name] for name in SOURCE.reads})
    assert SOURCE.identify(kept, SOURCE.strip(body), now=NOW + 5) == identified(body)


_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "type", "id", "externalId", "lines", "timestamp"]), inner, max_size=4
        )
    ),
)
_headers = st.dictionaries(
    st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=9)
)


@given(_headers, st.binary(max_size=20) | _data.map(lambda value: json.dumps(value).encode()))
def test_no_headers_and_no_body_raise(headers: dict[str, str], body: bytes) -> None:
    for source in (SOURCE, MAPPED):
        assert isinstance(source.verify(CIMultiDict(headers), body, now=NOW), Unauthentic)
        event = source.identify(CIMultiDict(headers), body, now=NOW)
        source.sale(body, event.topic)
