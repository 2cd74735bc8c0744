import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from relay.core import instant
from relay.core.sale import Reason, encode
from relay.core.sources import Cancel, Identified, Mapped, NotUnderstood, Unauthentic, Unmappable, Upsert
from relay.core.sources.native import Malformed, Native, split
from tests.fixtures import sample

NOW = 1_795_000_000_000_000
NATIVE = Native()
BODY = sample("native-sale.json")


def identified(body: bytes, *, now: int = NOW, position: int = 0, **headers: str) -> Identified:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return NATIVE.identify(named, body, now=now, position=position)


def upsert(body: bytes, **options: Any) -> Upsert:
    event = identified(body, **options)
    assert isinstance(event, Upsert)
    return event


def test_a_body_is_tied_to_its_order() -> None:
    event = upsert(BODY)
    assert (event.external_id, event.reference) == ("5001", "1001")


@pytest.mark.parametrize(
    ("written", "external_id"),
    [("5001", "5001"), ('"5001"', "5001"), ("5001.0", "5001"), ("1e3", "1000"), ("5.5", None)],
)
def test_an_id_is_the_same_for_the_order_and_its_sale(written: str, external_id: str | None) -> None:
    body = BODY.replace(b'"externalId": 5001', b'"externalId": ' + written.encode(), 1)
    event, made = identified(body), NATIVE.parse(body)
    assert (event.external_id if isinstance(event, Upsert) else None) == external_id
    assert (made.sale.external_id if isinstance(made, Mapped) else None) == external_id


def test_the_version_is_the_clients_where_it_gives_one_else_there_is_none() -> None:
    told = instant.parse("2026-01-01T00:00:00Z")
    assert upsert(b'{"externalId":1,"updatedAt":"2026-01-01T00:00:00Z"}').version == told
    assert upsert(b'{"externalId":1,"saleDefaults":{"updatedAt":"2026-01-01T01:00:00+01:00"}}').version == told
    assert upsert(b'{"externalId":1,"updatedAt":"yesterday"}').version is None


def test_sending_a_then_b_then_a_again_means_a() -> None:
    first, again = upsert(b'{"externalId":1}', now=NOW), upsert(b'{"externalId":1}', now=NOW + 2)
    assert first.dedupe_key != again.dedupe_key
    assert (first.version, again.version) == (None, None)


def test_repetitions_in_one_request_stay_apart() -> None:
    keys = {upsert(b'{"externalId":1}', position=place).dedupe_key for place in range(3)}
    assert len(keys) == 3


def test_a_client_that_names_its_request_is_not_taken_twice() -> None:
    first = upsert(b'{"externalId":1}', Idempotency_Key="k1")
    retry = upsert(b'{"externalId":1}', now=NOW + 9, Idempotency_Key="k1")
    assert first.dedupe_key == retry.dedupe_key
    assert upsert(b'{"externalId":1}', webhook_id="k1").dedupe_key == first.dedupe_key


def test_one_name_for_two_different_bodies_loses_neither() -> None:
    one = upsert(b'{"externalId":1}', Idempotency_Key="always the same")
    other = upsert(b'{"externalId":2}', Idempotency_Key="always the same")
    assert one.dedupe_key != other.dedupe_key


def test_a_header_that_cannot_be_stored_is_not_used() -> None:
    for header in ("x" * 100_000, "\udcff", "a\x00b"):
        assert len(upsert(b'{"externalId":1}', Idempotency_Key=header).dedupe_key) < 300


@pytest.mark.parametrize(
    ("defaults", "is_cancel"),
    [
        ({"cancelled": True}, True),
        ({"cancelled": 1}, True),
        ({"cancelledAt": "2026-01-01T00:00:00Z"}, True),
        ({"channelCancelledAt": "2026-01-01T00:00:00Z"}, True),
        ({"cancelled": False, "cancelledAt": "2026-01-01T00:00:00Z"}, False),
        ({"cancelled": False}, False),
        ({}, False),
    ],
)
def test_a_cancelled_sale_cancels_its_order(defaults: dict[str, object], is_cancel: bool) -> None:
    event = identified(json.dumps({"externalId": "1", "saleDefaults": defaults}).encode())
    assert isinstance(event, Cancel if is_cancel else Upsert)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b"null", b"\xff", b'{"externalId":null}', b'{"externalId":true}', b'{"externalId":1.5}',
     b'{"externalId":"  "}', b'{"externalId":"a\\u0000"}', b'{"externalId":1,"saleDefaults":[]}', b'"\\ud800"',
     b'{"externalId":' + b"9" * 300 + b"}", b'{"x":' + b"[" * 100_000],
)  # fmt: skip
def test_a_body_without_an_order_is_an_outcome(body: bytes) -> None:
    assert isinstance(identified(body), NotUnderstood)
    assert isinstance(NATIVE.sale(body, ""), Unmappable)


def test_a_manual_sale_is_never_authentic_by_its_body() -> None:
    assert isinstance(NATIVE.verify(CIMultiDict(), BODY, now=NOW), Unauthentic)


def test_a_drop_in_body_is_sent_whole() -> None:
    made = NATIVE.parse(BODY)
    assert isinstance(made, Mapped)
    body = json.loads(encode(made.sale))
    assert body["saleDefaults"]["aColumnOfTomorrow"] == {"deep": [1.1, None]}
    assert body["customer"]["loyalty"] == "gold"
    assert body["lineItems"][0]["aFieldOfTomorrow"] is True
    assert body["options"] == {"findOrCreateChannelVariant": True, "anOptionOfTomorrow": "kept"}
    assert made == NATIVE.sale(BODY, "")


def test_a_repeated_field_counts_as_the_vendor_counts_it() -> None:
    repeated = BODY.replace(b'"externalId": 5001', b'"externalId": 1, "externalId": 5001', 1)
    made = NATIVE.parse(repeated)
    assert isinstance(made, Mapped)
    assert (upsert(repeated).external_id, made.sale.external_id) == ("5001", "5001")


@pytest.mark.parametrize(
    ("body", "position"),
    [(b'{"externalId":}', 14), (b"", 0), (b'{"a":1', 6), (b'{"a":NaN}', 5), (b'{"a":"\xff"}', 6)],
)
def test_malformed_json_is_told_apart_from_a_wrong_sale_and_located(body: bytes, position: int) -> None:
    parsed = NATIVE.parse(body)
    assert isinstance(parsed, Malformed)
    assert parsed.position == position
    assert "byte" not in parsed.message


def test_a_wrong_number_is_a_wrong_sale_and_not_malformed() -> None:
    refused = NATIVE.parse(b'{"externalId":"1","unknown":[1e99999]}')
    assert isinstance(refused, Unmappable)


def test_more_lines_than_anybody_sells_are_refused_before_they_are_looked_at() -> None:
    body = b'{"externalId": 1, "lineItems": [' + b", ".join([b"0"] * 2001) + b"]}"
    refused = NATIVE.parse(body)
    assert isinstance(refused, Unmappable)
    assert [reason.pointer for reason in refused.reasons] == ["/lineItems"]


def test_nesting_is_bounded_also_in_what_is_passed_through() -> None:
    deep = BODY.rstrip().removesuffix(b"}") + b', "unknown": ' + b"[" * 70 + b"]" * 70 + b"}"
    assert NATIVE.parse(deep) == Unmappable((Reason("", "nested deeper than 64 levels"),))


def test_one_object_is_one_sale() -> None:
    assert split(b' {"externalId": 1} ') == (b'{"externalId": 1}',)


def test_an_array_is_one_sale_per_element_byte_for_byte() -> None:
    assert split(b'\n[{"price": 20.00},  {"b" : [1, 2]} ]') == (b'{"price": 20.00}', b'{"b" : [1, 2]}')
    assert split(b"[]") == ()


def test_ndjson_is_one_sale_per_line_and_a_bad_line_spoils_only_itself() -> None:
    items = split(b'{"a": 1.0}\r\n\n  \n{"b":}\n{"c": 3}', "application/x-ndjson; charset=utf-8")
    assert isinstance(items, tuple)
    assert (items[0], items[2]) == (b'{"a": 1.0}', b'{"c": 3}')
    bad = items[1]
    assert isinstance(bad, Malformed)
    assert bad == Malformed("invalid character", 16 + 5, line=4)


def test_text_that_is_no_utf_8_is_located_in_the_whole_request() -> None:
    lines = split(b'{"a": "\xc3\xa9"}\n{"a": "\xff"}', "application/x-ndjson")
    assert lines == (b'{"a": "\xc3\xa9"}', Malformed("not UTF-8", 19, line=2))
    assert split(b'[{"a": 1}, {"a": "\xff"}]') == Malformed("not UTF-8", 18)


@pytest.mark.parametrize(("body", "position"), [(b'{"a":}', 5), (b"[1,2", 4), (b"", 0), (b'[{"a":1},}]', 9)])
def test_a_malformed_request_is_malformed_as_a_whole(body: bytes, position: int) -> None:
    refused = split(body)
    assert isinstance(refused, Malformed)
    assert refused.position == position


def test_bottomless_nesting_is_malformed_and_not_a_crash() -> None:
    for kind in ("application/json", "application/x-ndjson"):
        found = split(b"[" * 200_000, kind)
        assert isinstance(found[0] if isinstance(found, tuple) else found, Malformed)
    assert isinstance(NATIVE.parse(b'{"a":' * 100_000), Malformed)


_PUT = [b"", b"null", b"[]", b"{}", b'"x"', b"-1", b"\xff", b"1e9"]
_noise = st.binary(max_size=40) | st.builds(
    lambda at, cut, put: BODY[:at] + put + BODY[at + cut :],
    st.integers(0, len(BODY)), st.integers(0, 20), st.sampled_from(_PUT),
)  # fmt: skip


@given(_noise, st.dictionaries(st.sampled_from(["Idempotency-Key", "webhook-id"]), st.text(max_size=9)))
def test_no_body_and_no_header_raises(body: bytes, headers: dict[str, str]) -> None:
    event = NATIVE.identify(CIMultiDict(headers), body, now=NOW)
    parsed = NATIVE.parse(body)
    split(body)
    split(body, "application/x-ndjson")
    if isinstance(parsed, Mapped):
        assert isinstance(event, Upsert | Cancel)
        assert parsed.sale.external_id == event.external_id
        assert NATIVE.parse(encode(parsed.sale)) == parsed
