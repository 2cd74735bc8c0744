"""Any storefront that signs, however it does."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from relay.core import instant, version
from relay.core.recipe import compile_criterion, compile_recipe
from relay.core.recipe.expression import compiled
from relay.core.recipe.reading import Reading, Types
from relay.core.sources import Authentic, Cancel, Identified, Ignore, Mapped, NotUnderstood, Unauthentic, Upsert
from relay.core.sources.hmac_signed import HmacRules, HmacSigned
from tests.fixtures import fixture, sample

AT = 1_795_282_909
NOW = AT * instant.SECOND
BODY = b'{"event":"placed","id":7}'
SALE = sample("native-sale.json")
RECIPE = compile_recipe(
    {
        "external_id": "id",
        "version": "changed",
        "cancelled": "state == 'void'",
        "customer": {"email": "mail"},
        "line_items": {"each": "lines", "externalId": "id", "price": "price", "quantity": "qty", "sku": "sku"},
    }
)
LINES = [{"id": 1, "price": 5, "qty": 1, "sku": "S"}]


def hexed(signed: bytes, key: bytes = b"secret", method: str = "sha256") -> str:
    return hmac.digest(key, signed, method).hex()


def in_base64(signed: bytes, key: bytes = b"secret", method: str = "sha256") -> str:
    return base64.b64encode(hmac.digest(key, signed, method)).decode()


def verdict(rules: HmacRules, headers: dict[str, str], *secrets: str, now: int = NOW, body: bytes = BODY) -> bool:
    source = HmacSigned(secrets or ("secret",), rules)
    return source.verify(CIMultiDict(headers), body, now=now) == Authentic()


@pytest.mark.parametrize(
    ("rules", "headers"),
    [
        (HmacRules(), {"x-signature": hexed(BODY)}),
        (HmacRules(), {"X-Signature": hexed(BODY).upper()}),
        (HmacRules("X-Hub-Signature-256", prefix="sha256="), {"X-Hub-Signature-256": "sha256=" + hexed(BODY)}),
        (HmacRules(encoding="base64"), {"X-Signature": in_base64(BODY)}),
        (HmacRules(method="sha512"), {"X-Signature": hexed(BODY, method="sha512")}),
        (HmacRules(method="sha1"), {"X-Signature": hexed(BODY, method="sha1")}),
        (HmacRules(signed="v0:{body}"), {"X-Signature": hexed(b"v0:" + BODY)}),
        (HmacRules(method="token"), {"X-Signature": "secret"}),
        (HmacRules("Authorization", method="token", prefix="Bearer "), {"Authorization": "Bearer secret"}),
        (
            HmacRules(signed="{timestamp}.{body}", timestamp_header="X-Time"),
            {"X-Time": str(AT), "X-Signature": hexed(b"%d.%b" % (AT, BODY))},
        ),
        (
            HmacRules(signed="{id}:{timestamp}:{body}", timestamp_header="T", timestamp_format="iso", id_header="I"),
            {"T": "2026-11-21T17:41:49Z", "I": "e1", "X-Signature": hexed(b"e1:2026-11-21T17:41:49Z:" + BODY)},
        ),
        (
            HmacRules(
                "Stripe-Signature", prefix="v1=", separator=",", signed="{timestamp}.{body}", timestamp_prefix="t="
            ),
            {"Stripe-Signature": f"t={AT},v0=00ff, v1=00ff,v1={hexed(b'%d.%b' % (AT, BODY))}"},
        ),
        (HmacRules(prefix="sha256=", separator=","), {"X-Signature": f"sha256={hexed(BODY)},sha256=00"}),
        (HmacRules(separator=" ", encoding="base64"), {"X-Signature": f"{in_base64(BODY)}  {in_base64(b'x')}"}),
        (HmacRules(method="token", separator=";"), {"X-Signature": "secret;old"}),
    ],
)
def test_what_is_signed_as_configured_is_authentic_and_nothing_else_is(
    rules: HmacRules, headers: dict[str, str]
) -> None:
    assert verdict(rules, headers)
    assert verdict(rules, headers, "previous", "secret")
    assert not verdict(rules, headers, "another")
    assert not verdict(rules, headers, "secret", body=BODY + b" ") or rules.method == "token"
    for name in headers:
        assert not verdict(rules, {other: value for other, value in headers.items() if other != name})
        assert not verdict(rules, headers | {name: headers[name][1:]})
        assert not verdict(rules, headers | {name: "\udcff"})


@pytest.mark.parametrize(("late_s", "authentic"), [(0, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_a_signed_timestamp_is_of_these_minutes(late_s: int, authentic: bool) -> None:
    rules = HmacRules(signed="{timestamp}.{body}", timestamp_header="X-Time", timestamp_format="unix_ms")
    at = AT * 1000
    headers = {"X-Time": str(at), "X-Signature": hexed(b"%d.%b" % (at, BODY))}
    assert verdict(rules, headers, now=NOW + late_s * instant.SECOND) is authentic


STRIPE_LIKE = HmacRules(prefix="v1=", separator=",", signed="{timestamp}.{body}", timestamp_prefix="t=")


@pytest.mark.parametrize(
    ("given", "authentic"),
    [
        ("t={at},v1={right}", True),
        ("v1={right},t={at}", True),
        ("t={at},v1=x,v1={right},v2=y", True),
        ("t={at},v0={right}", False),
        ("t={at}", False),
        ("v1={right}", False),
        ("t={late},v1={right}", False),
        ("t=,v1={right}", False),
        ("t={at};v1={right}", False),
        ("t={at}," + "v1=x," * 16 + "v1={right}", False),
    ],
)
def test_a_header_with_several_entries_has_its_time_and_any_of_its_signatures(given: str, authentic: bool) -> None:
    right = hexed(b"%d.%b" % (AT, BODY))
    assert verdict(STRIPE_LIKE, {"X-Signature": given.format(at=AT, late=AT + 1, right=right)}) is authentic


@pytest.mark.parametrize(("late_s", "authentic"), [(300, True), (301, False), (-300, True), (-301, False)])
def test_a_time_among_the_entries_is_of_these_minutes(late_s: int, authentic: bool) -> None:
    headers = {"X-Signature": f"t={AT},v1={hexed(b'%d.%b' % (AT, BODY))}"}
    assert verdict(STRIPE_LIKE, headers, now=NOW + late_s * instant.SECOND) is authentic


@pytest.mark.parametrize("rules", [STRIPE_LIKE, HmacRules(prefix="a=", separator=" ")])
def test_what_is_signed_as_several_entries_is_authentic(rules: HmacRules) -> None:
    source = HmacSigned(("secret",), rules)
    headers = CIMultiDict(source.signed(BODY, topic="", webhook_id="e1", now=NOW))
    assert source.verify(headers, BODY, now=NOW) == Authentic()


def test_a_secret_may_be_written_as_hex_or_base64() -> None:
    assert verdict(HmacRules(key_encoding="hex"), {"X-Signature": hexed(BODY, b"\x01\xff")}, "01ff")
    assert verdict(HmacRules(key_encoding="base64"), {"X-Signature": hexed(BODY, b"\x01\xff")}, "Af8=")


@pytest.mark.parametrize(
    ("storefront", "rules", "secret"),
    [
        ("woocommerce", HmacRules("X-WC-Webhook-Signature", encoding="base64"), "secret"),
        ("squarespace", HmacRules("Squarespace-Signature", key_encoding="hex"), "secret_hex"),
    ],
)
def test_the_vectors_of_storefronts_that_sign_their_bodies(storefront: str, rules: HmacRules, secret: str) -> None:
    vectors = [v for v in json.loads(fixture(f"vectors/{storefront}-signature.json"))["vectors"] if v.get(secret)]
    headers = [{rules.header: vector["signature"]} for vector in vectors]
    found = [verdict(rules, h, v[secret], body=v["body"].encode()) for h, v in zip(headers, vectors, strict=True)]
    assert found == [vector["valid"] for vector in vectors]


@pytest.mark.parametrize(
    "rules",
    [
        HmacRules(signed="body"),
        HmacRules(signed="{body}{body}"),
        HmacRules(signed="{timestamp}.{body}"),
        HmacRules(signed="{id}.{body}"),
        HmacRules(signed="{nonce}.{body}"),
        HmacRules(timestamp_header="T"),
        HmacRules(method="token", signed="{timestamp}.{body}", timestamp_header="T"),
        HmacRules(signed="{timestamp}.{body}", timestamp_header="T", timestamp_format="soon"),
        HmacRules(tolerance_s=0),
        HmacRules("X Signature"),
        HmacRules("X-Id", id_header="x-id"),
        HmacRules("X-Id", topic_header="x-id"),
        HmacRules(key_encoding="hex"),
        HmacRules(separator=""),
        HmacRules(timestamp_prefix="t=", signed="{timestamp}.{body}"),
        HmacRules(separator=",", timestamp_prefix="", signed="{timestamp}.{body}"),
        HmacRules(separator=",", timestamp_prefix="t="),
        HmacRules(separator=",", timestamp_prefix="t=", timestamp_header="T", signed="{timestamp}.{body}"),
        HmacRules(separator=",", timestamp_prefix="t=", method="token"),
        HmacRules("X-Id", sequence_header="x-id"),
        HmacRules(sequence_header="X Number"),
    ],
)
def test_rules_that_cannot_be_are_refused_when_they_are_configured(rules: HmacRules) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        HmacSigned(("no hex",), rules)
    assert "no hex" not in str(refused.value)


@pytest.mark.parametrize("secrets", [(), ("",), ("secret", "")])
def test_without_a_secret_there_is_no_storefront(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="secret"):
        HmacSigned(secrets)


def order(**changes: Any) -> bytes:
    return json.dumps(
        {"id": 7, "mail": "ada@buyer.example", "lines": LINES, "event": "order.updated", **changes}
    ).encode()


def identified(body: bytes, headers: dict[str, str] | None = None, *, now: int = NOW, **options: Any) -> Identified:
    options.setdefault("reading", Reading(RECIPE))
    return HmacSigned(("secret",), **options).identify(CIMultiDict(headers or {}), body, now=now)


def key_of(body: bytes, headers: dict[str, str] | None = None, *, now: int = NOW, **options: Any) -> str:
    return identified(body, headers, now=now, **options).dedupe_key


def test_an_order_is_read_by_the_recipe() -> None:
    event = identified(order(changed="2026-11-21T10:00:00Z"))
    assert isinstance(event, Upsert)
    assert (event.external_id, event.version) == ("7", instant.parse("2026-11-21T10:00:00Z"))
    made = HmacSigned(("secret",), reading=Reading(RECIPE)).sale(order(), "")
    assert isinstance(made, Mapped)
    assert made.sale.line_items[0].variant is not None
    assert isinstance(identified(order(state="void")), Cancel)
    assert isinstance(identified(b'{"id": null}'), NotUnderstood)
    assert isinstance(identified(b"nothing"), NotUnderstood)


def test_without_a_recipe_the_body_is_a_manual_sale() -> None:
    event = identified(SALE, reading=Reading())
    assert isinstance(event, Upsert)
    assert event.external_id == "5001"
    wrapped = json.dumps({"type": "order.cancelled", "data": json.loads(SALE)}).encode()
    assert isinstance(identified(wrapped, reading=Reading()), Cancel)


def test_the_dedupe_key_is_a_signed_id_as_it_is() -> None:
    rules = HmacRules(id_header="X-Id", signed="{id}.{body}")
    assert key_of(order(), {"X-Id": "e1"}, rules=rules) == "e1"


def test_an_id_that_is_not_signed_only_counts_together_with_the_body() -> None:
    rules = HmacRules(id_header="X-Id")
    one = key_of(order(), {"X-Id": "e1"}, rules=rules)
    assert one == key_of(order(), {"x-id": "e1"}, rules=rules, now=NOW + 9)
    assert one != key_of(order(id=8), {"X-Id": "e1"}, rules=rules)
    assert one != key_of(order(), {"X-Id": "e2"}, rules=rules)


def test_the_dedupe_key_may_be_in_the_body() -> None:
    assert key_of(order(delivery=55), dedupe=compiled("delivery")) == "55"
    assert key_of(order(), dedupe=compiled("delivery")).startswith("sha256:")
    assert key_of(order(delivery={}), dedupe=compiled("delivery")).startswith("sha256:")


def test_without_an_id_the_same_body_is_the_same_webhook_only_if_it_names_its_version() -> None:
    dated = order(changed="2026-11-21T10:00:00Z")
    assert key_of(dated) == key_of(dated, now=NOW + 1)
    assert key_of(dated) != key_of(order(changed="2026-11-21T10:00:01Z"))
    assert key_of(order()) != key_of(order(), now=NOW + 1)


NUMBERED = HmacRules(sequence_header="X-Sequence")


def test_a_number_that_only_grows_is_the_version_and_no_time_is() -> None:
    recipe = compile_recipe({"external_id": "id", "sequence": "revision", "customer": {"email": "mail"},
                             "line_items": {"each": "lines", "externalId": "id", "price": "price", "quantity": "qty",
                                            "sku": "sku"}})  # fmt: skip
    reading = Reading(recipe)
    in_body = identified(order(revision=41), reading=reading)
    in_header = identified(order(), {"X-Sequence": "41"}, rules=NUMBERED)
    assert isinstance(in_body, Upsert)
    assert isinstance(in_header, Upsert)
    assert in_body.version == in_header.version == version.of_sequence(41)
    undated: list[Identified] = [
        identified(order(), {"X-Sequence": given}, rules=NUMBERED) for given in ("", "-1", "x", "9" * 19)
    ]
    undated += [identified(order(), reading=reading), identified(SALE, rules=NUMBERED, reading=Reading())]
    wrapped = json.dumps(
        {"type": "order.updated", "timestamp": "2026-11-21T10:00:00Z", "data": {"data": 1} | json.loads(order())}
    )
    envelope = Reading(compile_recipe({"external_id": "data.id", "sequence": "data.revision",
                                       "customer": {"email": "mail"},
                                       "line_items": {"each": "lines", "externalId": "id", "price": "price",
                                                      "quantity": "qty", "sku": "sku"}}))  # fmt: skip
    undated.append(envelope.identify(json.loads(wrapped), "", "k", instant.parse("2026-11-21T10:00:00Z")))
    assert [event.version for event in undated if isinstance(event, Upsert)] == [None] * 7
    assert isinstance(identified(order(revision="x"), reading=reading), NotUnderstood)


def test_the_same_body_with_another_number_is_another_webhook() -> None:
    assert key_of(order(), {"X-Sequence": "1"}, rules=NUMBERED) == key_of(order(), {"X-Sequence": "1"}, rules=NUMBERED)
    assert key_of(order(), {"X-Sequence": "1"}, rules=NUMBERED) != key_of(order(), {"X-Sequence": "3"}, rules=NUMBERED)
    assert HmacSigned(("secret",), NUMBERED).reads == ("X-Sequence",)


def test_the_type_is_in_a_header_or_in_the_body() -> None:
    in_header = HmacRules(topic_header="X-Event")
    for kind, becomes in (("order.created", Upsert), ("order.cancelled", Cancel), ("stock.changed", Ignore)):
        assert isinstance(identified(order(), {"X-Event": kind}, rules=in_header), becomes)
        assert isinstance(identified(order(event=kind), topic=compiled("event")), becomes)
    types = Types((("placed", "upsert"),))
    reading = Reading(RECIPE, types=types)
    assert isinstance(identified(order(event="placed"), topic=compiled("event"), reading=reading), Upsert)


def test_what_is_not_wanted_is_ignored_and_what_cannot_be_judged_is_not_lost() -> None:
    reading = Reading(RECIPE, compile_criterion("sum(lines[].price) < `5`", "ignore_when"))
    assert isinstance(identified(order(lines=[]), reading=reading), Ignore)
    assert isinstance(identified(order(), reading=reading), Upsert)
    assert isinstance(identified(order(lines=[{"price": "x"}]), reading=reading), NotUnderstood)


def test_the_headers_that_identify_it_are_named_and_never_its_proof() -> None:
    source = HmacSigned(("secret",), HmacRules(id_header="X-Id", topic_header="X-Event"))
    assert source.reads == ("X-Id", "X-Event")
    assert "secret" not in repr(source).replace("secrets", "")


def test_a_signature_is_over_the_bytes_as_they_came() -> None:
    body = b'{"name": "\xff"}'
    assert verdict(HmacRules(), {"X-Signature": hmac.new(b"secret", body, hashlib.sha256).hexdigest()}, body=body)


_rules = [
    HmacRules(id_header="X-Id", topic_header="X-Event"),
    HmacRules(signed="{timestamp}.{id}.{body}", timestamp_header="X-Time", id_header="X-Id", encoding="base64"),
    HmacRules(method="token", prefix="Bearer "),
]
_names = st.sampled_from(["X-Id", "X-Event", "X-Time", "X-Signature"])
_values = st.text(max_size=9) | st.sampled_from(["Bearer x", "order.created", str(AT)])


@given(
    st.sampled_from(_rules), st.dictionaries(_names, _values), st.binary(max_size=20) | st.sampled_from([BODY, SALE])
)
def test_no_headers_and_no_body_raise(rules: HmacRules, headers: dict[str, str], body: bytes) -> None:
    source = HmacSigned(("secret",), rules, Reading(RECIPE), dedupe=compiled("id"), topic=compiled("event"))
    assert isinstance(source.verify(CIMultiDict(headers), body, now=NOW), Unauthentic)
    event = source.identify(CIMultiDict(headers), body, now=NOW)
    source.sale(body, event.topic)
