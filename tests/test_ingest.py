"""The public listener, over real sockets: what it promises to shops, and what it does to everyone else.

After every hostile case the relay must still take a good webhook, and nothing may have gone wrong inside it.
"""

import asyncio
import gzip
import hashlib
import hmac
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.clock import SystemClock
from relay.core.events import AttemptMade, DoorMoved, EventAccepted, RequestRefused
from relay.core.order import Arrival
from relay.core.problem import Problem
from relay.ingest import ITEMS_MAX, Ingest, Limits
from relay.sandbox import Fault, SandboxSettings
from relay.store import Receipt
from tests.fakes import (
    SHOP_SECRET,
    TILL_SECRET,
    Answer,
    Happenings,
    Shop,
    Wire,
    fetched,
    manual_sale,
    request,
    shopify_order,
    signature,
    signed,
)
from tests.running import SHOP, STOREFRONTS, TILL, RunningRelay, relay_running

BODY_MAX = 5_242_880
HASH_PATH = "/webhooks/custom-channels/manual-sale.json"
TOKEN_PATH = "/api/channels/1/manual-sale.json"
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
BEARER = {"Authorization": f"Bearer {TILL_SECRET}"}
TO_ORDERS = JSON | BEARER
HASH = JSON | {"jetti-webhook-hash": TILL_SECRET}
FAST = {"body_timeout_s": 0.4, "retry_after_s": 7}
ORDER = shopify_order(1001)


class Door:
    """A shop at a relay's door."""

    def __init__(self, relay: RunningRelay, shop: Shop) -> None:
        self.relay, self.shop = relay, shop

    @property
    def wire(self) -> Wire:
        return Wire(self.relay.public_url)

    async def raw(self, sent: bytes) -> Answer:
        """The answer to some bytes."""
        async with self.wire as wire:
            await wire.write(sent)
            answer = await wire.answer()
            assert answer is not None, "closed without an answer"
            return answer

    def orders(self) -> dict[str, Any]:
        """What was accepted, by order."""
        return {e.order: e.disposition.value for e in self.relay.happenings.of(EventAccepted) if e.order is not None}


@asynccontextmanager
async def door(tmp_path: Path, **tables: Any) -> AsyncIterator[Door]:
    """A relay, and afterwards the proof that it is none the worse."""
    public = {"listen": "127.0.0.1:0"} | FAST | tables.pop("public", {})
    async with relay_running(tmp_path, public=public, **tables) as (relay, _), Shop(relay.public_url) as shop:
        opened = Door(relay, shop)
        yield opened
        good = await shop.send(shopify_order(9_999))
        assert (good.status, good.json["order"]) == (200, "9999")
        assert relay.happenings.defects == []


@pytest.fixture
async def at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Door]:
    async with door(tmp_path) as opened:
        yield opened
    # No library complains of an exception that nobody caught.
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def problem(answer: Answer) -> tuple[int, str]:
    """Status and type of a refusal that is in order."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    words = answer.json
    assert {"type", "title", "status", "detail"} <= words.keys()
    assert (answer.status, f"urn:order-relay:problem:{answer.type}") == (words["status"], words["type"])
    assert "Traceback" not in answer.body.decode()
    return answer.status, answer.type


# -- webhooks ----------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_answered_200_with_what_became_of_it(at: Door) -> None:
    answer = await at.shop.send(ORDER)

    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.status, answer.json) == (200, {"status": "queued", "event": 1, "order": "1001", "revision": 1})


async def test_the_same_webhook_again_is_a_duplicate_of_the_first(at: Door) -> None:
    await at.shop.send(ORDER, webhook_id="w1")
    again = await at.shop.send(ORDER, webhook_id="w1")

    assert (again.status, again.json) == (200, {"status": "duplicate", "event": 2, "order": "1001", "duplicate_of": 1})


async def test_an_older_state_is_stale(at: Door) -> None:
    await at.shop.send(shopify_order(1001, 5))
    older = await at.shop.send(shopify_order(1001, 4))

    assert (older.status, older.json) == (200, {"status": "stale", "event": 2, "order": "1001"})


async def test_a_newer_state_replaces_the_one_that_waits(tmp_path: Path) -> None:
    slow = {"main": {"sync_rate": 0.001}}
    async with door(tmp_path, channels=slow) as at:
        for number in range(12):  # the burst leaves at once
            await at.shop.send(shopify_order(2000 + number))
        await at.shop.send(shopify_order(1001, 1))
        newer = await at.shop.send(shopify_order(1001, 2))

    assert (newer.status, newer.json["status"], newer.json["revision"]) == (200, "merged", 2)


async def test_a_newer_state_queues_behind_the_one_in_flight(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(latency_s=0.5),))
    async with door(tmp_path, jetti=jetti) as at, asyncio.timeout(10):
        await at.shop.send(shopify_order(1001, 1))
        while at.relay.relay.dispatchers["main"].in_flight == 0:
            await at.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        newer = await at.shop.send(shopify_order(1001, 2))

    assert (newer.status, newer.json["status"], newer.json["revision"]) == (200, "queued", 2)


@pytest.mark.parametrize("topic", ["refunds/create", "customers/redact", "orders/edited", "carts/update"])
async def test_what_is_not_about_an_order_is_ignored_and_answered_200(at: Door, topic: str) -> None:
    answer = await at.shop.send(b'{"id": 1}', topic=topic)

    assert (answer.status, answer.json["status"]) == (200, "ignored")
    assert answer.json["reason"].startswith(topic)


@pytest.mark.parametrize(
    "body",
    [
        b"null", b"[]", b'"x"', b"7", b"{}", b"not json", b"{", b"\xff\xfe", b"\x00", b" ", b'{"id": 0}',
        b'{"id": 92233720368547758080}', b'{"id": -1}', b'{"id": 1e999999}', b'{"id": ' + b"9" * 5000 + b"}",
        b'{"id": NaN}', b'{"id": "\\ud800"}', b'{"id": [1]}', b'{"id": 1.5}', b'{"id": true}',
        b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"id":' * 50_000 + b"1" + b"}" * 50_000,
    ],
    ids=lambda body: f"{body[:24].decode('latin-1')!r}-{len(body)}",
)  # fmt: skip
async def test_an_authentic_body_that_names_no_order_is_quarantined_and_answered_200(at: Door, body: bytes) -> None:
    answer = await at.shop.send(body)

    assert (answer.status, answer.json["status"]) == (200, "quarantined")
    assert answer.json["reason"]
    assert [accepted.reasons != () for accepted in at.relay.happenings.of(EventAccepted)] == [True]
    assert await at.relay.store.lost_events() == 1


@pytest.mark.parametrize(
    "change",
    [
        '"total_tax": 1e999999', '"total_tax": "1e999999"', '"total_tax": ' + "9" * 5000, '"total_price": -0.0',
        '"note": "\\ud800"', '"note": "\\u0000"', '"line_items": null', '"line_items": {}', '"customer": []',
        '"line_items": [[[]]]', '"updated_at": "9999-99-99"', '"updated_at": 1e400', '"created_at": "\\u0000"',
        '"id": 1001, "id": 1001', '"id": 9223372036854775807', '"x": ' + "[" * 500 + "]" * 500,
        '"x": ' + "[" * 100_000 + "]" * 100_000, '"name": ""', '"name": "\\u202e\\u0000"', '"email": "\\n"',
        '"line_items": ' + json.dumps([{"id": i, "name": "n" * 100, "price": "1.00", "quantity": 1} for i in range(9)]),
    ],
    ids=lambda change: change[:30],
)  # fmt: skip
async def test_odd_values_in_an_order_never_cost_more_than_this_order(at: Door, change: str) -> None:
    body = ORDER.decode().removesuffix("}") + f", {change}" + "}"
    answer = await at.shop.send(body.encode())

    assert answer.status == 200
    assert answer.json["status"] in ("queued", "quarantined")


async def test_duplicate_keys_are_decided_alike_by_identifying_and_by_mapping(at: Door) -> None:
    body = b'{"id": 1,' + ORDER[1:]
    answer = await at.shop.send(body)

    assert (answer.status, answer.json["order"]) == (200, "1001")


async def test_an_order_of_500_lines_and_a_megabyte_is_taken(at: Door) -> None:
    line = json.loads(ORDER)["line_items"][0]
    lines = [line | {"id": 10_000 + n, "properties": [{"name": "text", "value": "x" * 1200}]} for n in range(500)]
    body = shopify_order(1001, line_items=lines)
    assert len(body) > 900_000

    answer = await at.shop.send(body)

    assert (answer.status, answer.json["status"]) == (200, "queued")
    await at.relay.happenings.until(lambda: bool(at.relay.happenings.of(AttemptMade) or at.relay.happenings.defects))
    assert [attempt.outcome for attempt in at.relay.happenings.of(AttemptMade)] == ["sent"]


async def test_a_body_at_the_limit_is_taken(at: Door) -> None:
    body = ORDER.ljust(BODY_MAX)

    assert (await at.shop.send(body)).status == 200


@pytest.mark.parametrize("headers", [None, {"Transfer-Encoding": "chunked"}], ids=["declared", "chunked"])
async def test_a_body_beyond_the_limit_is_refused_with_413(at: Door, headers: Any) -> None:
    body = ORDER.ljust(BODY_MAX + 1)
    if headers is None:
        answer = await at.raw(
            request(body=ORDER, headers=signed(ORDER) | {"Content-Length": len(body).__str__()}, length=False)
        )
    else:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (body[: BODY_MAX // 2], body[BODY_MAX // 2 :]))
        answer = await at.raw(request(headers=signed(body) | headers, length=False) + chunks)

    assert problem(answer) == (413, "body-too-large")
    assert f"{BODY_MAX} bytes (public.body_max_bytes)" in answer.json["detail"]


# -- who is there ------------------------------------------------------------------------------------------------------


def _wrong_signatures() -> dict[str, Any]:
    good = signature(ORDER)
    raw = hmac.digest(SHOP_SECRET.encode(), ORDER, "sha256")
    return {
        "missing": None,
        "empty": "",
        "not base64": "%%%",
        "right length": "A" * 43 + "=",
        "hex": raw.hex(),
        "of another body": signature(ORDER + b" "),
        "with another secret": signature(ORDER, "other"),
        "with an empty secret": signature(ORDER, ""),
        "truncated": good[:-4],
        "without padding": good.rstrip("="),
        "doubled": good + good,
        "other case": good.swapcase(),
        "spaces": "   ",
        "space inside": good[:20] + " " + good[20:],
        "non-ASCII": "é" * 22,
        "other algorithm": "sha1=" + hashlib.sha1(ORDER).hexdigest(),  # noqa: S324 - it is to be refused
        "with a prefix": "sha256=" + good,
        "long": "A" * 8000,
    }


@pytest.mark.parametrize("given", _wrong_signatures().values(), ids=_wrong_signatures())
async def test_a_wrong_signature_is_refused_with_401(at: Door, given: str | None) -> None:
    headers = {} if given is None else {"X-Shopify-Hmac-Sha256": given}
    answer = await at.raw(request(body=ORDER, headers=JSON | headers))

    assert problem(answer) == (401, "bad-signature")
    assert at.orders() == {}


async def test_a_signature_of_raw_bytes_that_are_no_text_is_refused_with_401(at: Door) -> None:
    answer = await at.raw(request(body=ORDER, headers={"X-Shopify-Hmac-Sha256": b"\xff\xfe\x80" * 14}))

    assert problem(answer) == (401, "bad-signature")


async def test_of_two_signatures_the_first_counts(at: Door) -> None:
    wrong = signature(ORDER, "other").encode()
    second = request(
        body=ORDER,
        headers={"X-Shopify-Hmac-Sha256": wrong + b"\r\nX-Shopify-Hmac-Sha256: " + signature(ORDER).encode()},
    )
    answer = await at.raw(second)

    assert problem(answer) == (401, "bad-signature")


async def test_while_a_secret_is_rotated_the_old_and_the_new_one_pass(tmp_path: Path) -> None:
    shop = SHOP | {"secrets": ["the new one", "the old one"]}
    async with relay_running(tmp_path, storefronts={"shop": shop}) as (relay, _), Shop(relay.public_url) as client:
        statuses = []
        for number, secret in enumerate(["the old one", "the new one", "the oldest one"], 1):
            client.secret = secret
            statuses.append((await client.send(shopify_order(number))).status)

    assert statuses == [200, 200, 401]


async def test_one_shops_secret_opens_no_other_shops_door(tmp_path: Path) -> None:
    both = {"shop": SHOP, "other": SHOP | {"secrets": ["the other's"]}}
    async with relay_running(tmp_path, storefronts=both) as (relay, _), Shop(relay.public_url) as client:
        assert (await client.post("/webhooks/other", ORDER, signed(ORDER))).status == 401
        assert (await client.post("/webhooks/shop", ORDER, signed(ORDER))).status == 200


async def test_woocommerces_unsigned_ping_is_no_shopify_webhook(at: Door) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    assert problem(await at.shop.post("/webhooks/shop", b"webhook_id=17", form)) == (401, "bad-signature")


@pytest.mark.parametrize("name", ["nobody", "", "Shop", "till", "%2e%2e", "%00", "%ff%fe", "a" * 7000, "☃"])
async def test_an_unknown_storefront_is_404(at: Door, name: str) -> None:
    path = f"/webhooks/{name}".replace("☃", "%E2%98%83").encode()
    answer = await at.raw(request(b"POST " + path + b" HTTP/1.1", ORDER))

    assert problem(answer) == (404, "unknown-storefront")


@pytest.mark.parametrize("name", ["nobody", "till"])
async def test_which_storefronts_there_are_is_for_the_log_and_not_for_strangers(at: Door, name: str) -> None:
    answer = await at.shop.post(f"/webhooks/{name}", ORDER, signed(ORDER))
    (refused,) = at.relay.happenings.of(RequestRefused)

    assert problem(answer) == (404, "unknown-storefront")
    assert "configured" not in answer.json["detail"].removesuffix("is configured")
    assert refused.detail == answer.json["detail"] + "; configured for webhooks: shop"
    assert refused.path == f"/webhooks/{name}"


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"POST /webhook/shop?token=t0ken HTTP/1.1", "/webhook/shop"),
        (b"GET /orders HTTP/1.1", "/orders"),
        (b"POST /a%0Ab%1B[31m%E2%80%AEc HTTP/1.1", "/a\ufffdb\ufffd[31m\ufffdc"),
        (b"POST /" + b"a" * 7000 + b" HTTP/1.1", "/" + "a" * 198 + "…"),
    ],
    ids=["path", "method", "unprintable", "long"],
)
async def test_the_path_of_a_refused_request_is_told_printable_and_bounded(at: Door, line: bytes, path: str) -> None:
    await at.raw(request(line, ORDER))
    (refused,) = at.relay.happenings.of(RequestRefused)

    assert refused.path == path


@pytest.mark.parametrize(
    "path",
    [
        "/", "//", "/webhooks", "//webhooks/shop", "/webhooks//shop", "/webhooks/shop/", "/webhooks/shop/x",
        "/webhooks/%2e%2e/", "/webhooks/%2e%2e/shop", "/x/../webhooks/shop", "/webhooks;x/shop", "/orders/", "/order",
        "/healthz", "/metrics", "/api/status", "/api/channels/1/manual-sale", "/?x=/webhooks/shop",
        "/webhooks/shop%2F..",
    ],
)  # fmt: skip
async def test_any_other_path_is_404_and_nothing_private_is_here(at: Door, path: str) -> None:
    answer = await at.raw(request(b"POST " + path.encode() + b" HTTP/1.1", ORDER))

    assert problem(answer) == (404, "unknown-path")


@pytest.mark.parametrize("path", ["/webhooks/shop", HASH_PATH, TOKEN_PATH, "/orders"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_any_method_but_post_is_405_and_says_which_is_allowed(at: Door, path: str, method: str) -> None:
    async with at.wire as wire:
        await wire.write(request(f"{method} {path} HTTP/1.1".encode(), ORDER))
        answer = await wire.answer(to_head=method == "HEAD")

    assert answer is not None
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert method == "HEAD" or problem(answer) == (405, "only-post")


# -- the body's way in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "GZIP", "identity, gzip", "x"])
@pytest.mark.parametrize("path", ["/webhooks/shop", HASH_PATH])
async def test_an_encoded_body_is_refused_with_415_and_never_unpacked(at: Door, encoding: str, path: str) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    headers = signed(bomb) | HASH | {"Content-Encoding": encoding}

    assert problem(await at.shop.post(path, bomb, headers)) == (415, "encoded-body")


async def test_a_body_encoded_as_itself_is_taken(at: Door) -> None:
    headers = signed(ORDER) | {"Content-Encoding": "identity"}

    assert (await at.shop.post("/webhooks/shop", ORDER, headers)).status == 200


async def test_a_body_that_stalls_is_408_and_the_connection_closed(at: Door) -> None:
    async with at.wire as wire:
        await wire.write(request(body=ORDER)[:-10])
        answer = await wire.answer()
        assert answer is not None
        assert problem(answer) == (408, "body-too-slow")
        assert await wire.closed()


async def test_a_head_that_stalls_costs_its_connection(at: Door) -> None:
    async with at.wire as silent, at.wire as slow:
        await slow.write(b"POST /webhooks/shop HTTP/1.1\r\nHost: rel")
        assert await silent.closed()
        assert await slow.closed()


async def test_a_connection_that_has_begun_in_time_is_kept_open(at: Door) -> None:
    async with at.wire as wire:
        await wire.write(request(body=ORDER))
        assert await wire.answer() is not None
        with pytest.raises(TimeoutError):
            await wire.closed(FAST["body_timeout_s"] * 2)
        await wire.write(request(body=ORDER))
        assert await wire.answer() is not None


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(at: Door) -> None:
    async with at.wire as wire:
        head, body = request(body=ORDER, headers=signed(ORDER) | {"Expect": "100-continue"}).split(b"\r\n\r\n", 1)
        await wire.write(head + b"\r\n\r\n")
        assert await wire.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.write(body)
        answer = await wire.answer()

    assert answer is not None
    assert answer.status == 200


async def test_a_client_that_asks_before_it_sends_too_much_is_told_so_at_once(at: Door) -> None:
    asking = {"Expect": "100-continue", "Content-Length": str(BODY_MAX + 1)}
    answer = await at.raw(request(headers=signed(b"x") | asking, length=False))

    assert problem(answer) == (413, "body-too-large")


async def test_a_client_that_goes_away_in_the_middle_leaves_no_trace_but_a_refusal(at: Door) -> None:
    async with at.wire as wire:
        await wire.write(request(body=ORDER)[:-10])
    await at.relay.happenings.until(lambda: bool(at.relay.happenings.of(RequestRefused)))

    (refused,) = at.relay.happenings.of(RequestRefused)
    assert (refused.status, refused.type) == (400, "broken-body")


async def test_a_client_that_does_not_wait_for_the_answer_loses_no_order(at: Door) -> None:
    async with at.wire as wire:
        await wire.write(request(body=ORDER))
    await at.relay.happenings.until(lambda: "1001" in at.orders())


async def test_pipelined_requests_are_answered_in_their_order(at: Door) -> None:
    async with at.wire as wire:
        await wire.write(b"".join(request(body=shopify_order(number)) for number in (1, 2, 3)))
        answers = [await wire.answer() for _ in range(3)]

    assert [answer.json["order"] for answer in answers if answer is not None] == ["1", "2", "3"]


async def test_http_1_0_is_answered_and_closed(at: Door) -> None:
    async with at.wire as wire:
        await wire.write(request(b"POST /webhooks/shop HTTP/1.0", ORDER))
        answer = await wire.answer()
        assert answer is not None
        assert answer.status == 200
        assert await wire.closed()


@pytest.mark.parametrize(
    "line",
    [
        b"POST http://elsewhere.example/webhooks/shop HTTP/1.1",
        b"POST /webhooks/shop?x=%ff&y#z HTTP/1.1",
        b"POST /%77ebhooks/sh%6Fp HTTP/1.1",
    ],
)
async def test_other_spellings_of_an_address_are_understood(at: Door, line: bytes) -> None:
    assert (await at.raw(request(line, ORDER))).status == 200


CHUNKED = {"Transfer-Encoding": "chunked"}
NOT_HTTP = {
    "no Host": request(body=ORDER, host=b""),
    "two Hosts": request(body=ORDER, host=b"Host: a\r\nHost: b\r\n"),
    "negative length": request(headers={"Content-Length": "-5"}, length=False),
    "a length in words": request(headers={"Content-Length": "five"}, length=False),
    "a length of 1_0": request(headers={"Content-Length": "1_0"}, length=False),
    "a length beyond 64 bits": request(headers={"Content-Length": "9" * 30}, length=False),
    "two lengths": request(body=ORDER, headers={"Content-Length": "5"}),
    "length and chunks": request(body=ORDER, headers=CHUNKED),
    "a chunk of size zz": request(headers=CHUNKED, length=False) + b"zz\r\nhello\r\n0\r\n\r\n",
    "a negative chunk": request(headers=CHUNKED, length=False) + b"-5\r\nhello\r\n0\r\n\r\n",
    "a chunk that is too long": request(headers=CHUNKED, length=False) + b"5\r\nhelloXX\r\n0\r\n\r\n",
    "a folded header": request(headers={"X": "a\r\n b"}),
    "a space after a name": request(headers={"X ": "a"}),
    "NUL in a header": request(headers={"X": b"a\x00b"}),
    "a huge header": request(headers={"X": "a" * 20_000}),
    "a huge address": request(b"POST /webhooks/" + b"a" * 20_000 + b" HTTP/1.1"),
    "500 headers": request(headers={f"X{n}": "a" for n in range(500)}),
    "an address that is no UTF-8": request(b"POST /webhooks/\xff\xfe HTTP/1.1"),
    "NUL in the address": request(b"POST /webhooks/\x00 HTTP/1.1"),
    "no slash": request(b"POST webhooks/shop HTTP/1.1"),
    "half a bracket": request(b"POST http://[x/webhooks/shop HTTP/1.1"),
    "a port beyond 65535": request(b"POST http://x:99999/webhooks/shop HTTP/1.1"),
    "an unknown method": request(b"BREW /webhooks/shop HTTP/1.1"),
    "a method that is no ASCII": request("PÖST /webhooks/shop HTTP/1.1".encode()),
    "bare line feeds": request(body=ORDER).replace(b"\r\n", b"\n"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "noise": bytes(range(1, 256)) * 8,
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_not_http_is_refused_with_400_and_never_quoted(at: Door, sent: bytes) -> None:
    answer = await at.raw(sent)
    refused = at.relay.happenings.of(RequestRefused)

    assert problem(answer) == (400, "malformed-request")
    assert len(answer.json["detail"]) < 110
    assert [(r.storefront, r.status, r.type) for r in refused] == [("unknown", 400, "malformed-request")]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Shopify-Webhook-Id": b"\xff\xfe"}, {"X-Shopify-Topic": b"\xf0\x28\x8c"}, {"X-Shopify-Topic": "x" * 9000},
        {"X-Shopify-Triggered-At": "☃"}, {"X-Shopify-Triggered-At": "9999-12-31T23:59:59.999999999999Z"},
        {"X-Shopify-Webhook-Id": "x" * 9000}, {"Connection": "upgrade", "Upgrade": "websocket"},
        {"Connection": "upgrade", "Upgrade": "h2c"}, {"Expect": "the unexpected"}, {"X" * 900: "x"},
        {"Content-Type": b"te\xffxt/\xfe"}, {"Content-Type": ';;;="'}, {"Content-Type": ""},
    ],
    ids=lambda headers: f"{headers!r}"[:40],
)  # fmt: skip
async def test_odd_headers_cost_no_order(at: Door, headers: Any) -> None:
    answer = await at.raw(request(body=ORDER, headers=signed(ORDER) | headers))

    assert answer.status == 200


# -- manual sales ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "headers"), [(HASH_PATH, HASH), (TOKEN_PATH, TO_ORDERS)])
async def test_a_drop_in_path_takes_a_sale_and_answers_200(at: Door, path: str, headers: Any) -> None:
    answer = await at.shop.post(path, manual_sale(5), headers)

    assert (answer.status, answer.json) == (200, {"status": "queued", "event": 1, "order": "5", "revision": 1})


async def test_orders_takes_one_sale_and_answers_202(at: Door) -> None:
    answer = await at.shop.post("/orders", manual_sale(5), TO_ORDERS)

    assert (answer.status, answer.json) == (202, {"status": "queued", "event": 1, "order": "5", "revision": 1})


async def test_orders_answers_an_array_item_by_item(at: Door) -> None:
    items = b"[" + manual_sale(1) + b"," + manual_sale(2, lineItems=None) + b"," + manual_sale(3) + b"]"
    answer = await at.shop.post("/orders", items, TO_ORDERS)
    first, second, third = answer.json

    assert (answer.status, answer.headers["Content-Type"]) == (202, "application/json")
    assert ((first["status"], first["order"]), (third["status"], third["order"])) == (("queued", "1"), ("queued", "3"))
    assert (second["status"], second["errors"][0]["pointer"]) == (422, "/lineItems")


async def test_orders_answers_ndjson_line_by_line(at: Door) -> None:
    lines = manual_sale(1) + b"\n\n{not json\r\n" + manual_sale(3) + b"\n"
    answer = await at.shop.post("/orders", lines, BEARER | NDJSON)
    first, second, third = map(json.loads, answer.body.splitlines())

    assert (answer.status, answer.headers["Content-Type"]) == (202, "application/x-ndjson")
    assert [
        (line.get("order"), line["status"] if isinstance(line["status"], int) else None)
        for line in (first, second, third)
    ] == [("1", None), (None, 400), ("3", None)]


async def test_an_array_of_nothing_but_wrong_sales_is_refused_as_a_whole(at: Door) -> None:
    answer = await at.shop.post("/orders", b"[{}, {}]", TO_ORDERS)

    assert (answer.status, [item["status"] for item in answer.json]) == (422, [422, 422])


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[]", JSON), (b" [ ] ", JSON), (b"", NDJSON), (b"\n \r\n", NDJSON)], ids=repr
)
async def test_a_request_without_any_sale_is_refused_and_not_taken_for_kept(at: Door, body: bytes, kind: Any) -> None:
    assert problem(await at.shop.post("/orders", body, BEARER | kind)) == (422, "no-sales")


async def test_a_line_that_is_not_json_is_told_with_its_number_and_one_position(at: Door) -> None:
    lines = manual_sale(1) + b'\n\n{"externalId":}\r\n{"a": "\xff"}\n'
    answer = await at.shop.post("/orders", lines, BEARER | NDJSON)
    details = [json.loads(line).get("detail") for line in answer.body.splitlines()]
    third, fourth = lines.index(b":}") + 1, lines.index(b"\xff")

    assert details == [
        None,
        f"not JSON, in line 3, at byte {third}: invalid character",
        f"not JSON, in line 4, at byte {fourth}: not UTF-8",
    ]


async def test_a_body_that_is_not_json_is_told_with_one_position(at: Door) -> None:
    answer = await at.shop.post("/orders", b'{"externalId":}', TO_ORDERS)

    assert answer.json["detail"] == "not JSON, at byte 14: invalid character"


async def test_more_items_than_may_be_in_one_request_are_refused_with_413(at: Door) -> None:
    items = b"[" + b",".join([b"{}"] * (ITEMS_MAX + 1)) + b"]"

    assert problem(await at.shop.post("/orders", items, TO_ORDERS)) == (413, "too-many-items")


async def test_as_many_items_as_may_be_in_one_request_are_all_kept(at: Door) -> None:
    items = b"[" + b",".join(manual_sale(n) for n in range(1, ITEMS_MAX + 1)) + b"]"
    answer = await at.shop.post("/orders", items, TO_ORDERS)

    assert (202, {"queued"}) == (answer.status, {item["status"] for item in answer.json})
    assert len(at.orders()) == ITEMS_MAX


async def test_a_wrong_sale_is_refused_with_422_and_a_pointer_for_every_field(at: Door) -> None:
    wrong = manual_sale(5, customer={}, lineItems=[{"externalId": "1", "name": "Mug", "quantity": -1, "price": "x"}])
    answer = await at.shop.post(TOKEN_PATH, wrong, TO_ORDERS)

    assert problem(answer) == (422, "invalid-sale")
    pointers = {error["pointer"] for error in answer.json["errors"]}
    assert {"/customer/email", "/lineItems/0/quantity", "/lineItems/0/price"} <= pointers
    assert at.orders() == {}


HUGE = b'{"externalId": ' + b"9" * 5000 + b"}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b" ", 400), (b"{", 400), (b"not json", 400), (b"\xff\xfe", 400), (b"NaN", 400), (b"{} {}", 400),
        (b'{"externalId": NaN}', 400), (b'{"externalId": "\\ud800"}', 400), (b"\x00", 400), (b"[" * 100_000, 400),
        (b"null", 422), (b'"x"', 422), (b"7", 422), (b"{}", 422), (b'{"externalId": 1e999999}', 422), (HUGE, 422),
        (b'{"externalId": null}', 422), (b'{"externalId": []}', 422), (b'{"externalId": "a\\u0000b"}', 422),
        (manual_sale(5).replace(b"20.0", b"1e999999", 1), 422), (manual_sale(5).replace(b"20.0", b"9" * 5000, 1), 422),
    ],
    ids=lambda value: f"{value[:24].decode('latin-1')!r}-{len(value)}" if isinstance(value, bytes) else value,
)  # fmt: skip
@pytest.mark.parametrize(("path", "headers"), [(HASH_PATH, HASH), ("/orders", TO_ORDERS)])
async def test_a_body_that_is_no_sale_is_refused(at: Door, body: bytes, status: int, path: str, headers: Any) -> None:
    found = problem(await at.shop.post(path, body, headers))

    assert (status, "malformed-json" if status == 400 else "invalid-sale") == found
    assert at.orders() == {}


async def test_a_list_is_no_sale_on_a_drop_in_path(at: Door) -> None:
    assert problem(await at.shop.post(HASH_PATH, b"[]", HASH)) == (422, "invalid-sale")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", "", "te\u00ffxt/x", ";"])
@pytest.mark.parametrize(("path", "headers"), [(HASH_PATH, HASH), (TOKEN_PATH, BEARER), ("/orders", BEARER)])
async def test_a_sale_that_says_it_is_not_json_is_refused_with_415(
    at: Door, kind: str, path: str, headers: Any
) -> None:
    sent = request(f"POST {path} HTTP/1.1".encode(), manual_sale(5), headers | {"Content-Type": kind})

    assert problem(await at.raw(sent)) == (415, "not-json")


async def test_a_sale_that_does_not_say_what_it_is_is_taken_for_json(at: Door) -> None:
    answer = await at.raw(request(b"POST /orders HTTP/1.1", manual_sale(5), BEARER))

    assert answer.status == 202


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (HASH_PATH, {}), (HASH_PATH, {"jetti-webhook-hash": ""}), (HASH_PATH, {"jetti-webhook-hash": "wrong"}),
        (HASH_PATH, BEARER), (HASH_PATH, {"jetti-webhook-hash": SHOP_SECRET}),
        (HASH_PATH, {"jetti-webhook-hash": b"\xff\xfe"}), (HASH_PATH, {"jetti-webhook-hash": TILL_SECRET + "x"}),
        (TOKEN_PATH, {}), (TOKEN_PATH, {"Authorization": ""}), (TOKEN_PATH, {"Authorization": "Bearer"}),
        (TOKEN_PATH, {"Authorization": TILL_SECRET}), (TOKEN_PATH, {"Authorization": f"Basic {TILL_SECRET}"}),
        ("/orders", {"Authorization": "Bearer wrong"}), ("/orders", {"jetti-webhook-hash": TILL_SECRET}),
        ("/orders", {"Authorization": b"Bearer \xff"}), ("/orders", {"Authorization": f"Bearer {SHOP_SECRET}"}),
    ],
)  # fmt: skip
async def test_a_sale_without_the_right_credential_is_refused_with_401(at: Door, path: str, headers: Any) -> None:
    answer = await at.raw(request(f"POST {path} HTTP/1.1".encode(), manual_sale(5), headers))

    assert problem(answer) == (401, "bad-credential")
    assert (path != HASH_PATH) == ("WWW-Authenticate" in answer.headers)
    assert at.orders() == {}


async def test_a_repeated_sale_is_a_duplicate_only_if_its_client_says_so(at: Door) -> None:
    keyed = TO_ORDERS | {"Idempotency-Key": "k1"}
    answers = [(await at.shop.post("/orders", manual_sale(5), headers)).json for headers in (keyed, keyed, TO_ORDERS)]

    assert answers[1]["status"] == "duplicate"
    assert answers[2]["status"] != "duplicate"


async def test_the_storefront_of_a_sale_is_the_one_whose_secret_was_shown(tmp_path: Path) -> None:
    other = TILL | {"secrets": ["old-other", "new-other"]}
    async with relay_running(tmp_path, storefronts={**STOREFRONTS, "other": other}) as (relay, _):
        async with Shop(relay.public_url) as client:
            for number, secret in enumerate([TILL_SECRET, "old-other", "new-other"], 1):
                bearer = JSON | {"Authorization": f"bEaReR  {secret}"}
                assert (await client.post("/orders", manual_sale(number), bearer)).status == 202
        storefronts = [happened.storefront for happened in relay.happenings.of(EventAccepted)]

    assert storefronts == ["till", "other", "other"]


# -- come again --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def held(database: Path) -> AsyncIterator[None]:
    """Someone else writes to the database for a while, so that nobody can commit."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_when_the_commit_queue_is_full_the_rest_is_told_to_come_again(tmp_path: Path) -> None:
    public = {"listen": "127.0.0.1:0", "queue_max": 4, "retry_after_s": 7}
    async with relay_running(tmp_path, public=public) as (relay, _), Shop(relay.public_url) as shop:
        async with held(tmp_path / "relay.db"):
            sending = [asyncio.create_task(shop.send(shopify_order(number))) for number in range(1, 11)]
            refused: list[Answer] = []
            while len(refused) < 6:
                await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
                refused = [task.result() for task in sending if task.done()]
                await SystemClock().sleep(0.01)
        answers = [await task for task in sending]
        await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) == 4)
        good = await shop.send(shopify_order(9_999))

    assert [problem(answer) for answer in refused] == [(503, "busy")] * 6
    assert {"7"} == {answer.headers["Retry-After"] for answer in refused}
    assert len([answer for answer in answers if answer.status == 200]) == 4
    assert good.status == 200


async def test_of_the_commit_queue_each_storefront_has_the_share_it_is_configured_to_have(tmp_path: Path) -> None:
    public = {"listen": "127.0.0.1:0", "queue_max": 10}
    never_again = SHOP | {"refuse_at": 1.0}
    async with (
        relay_running(tmp_path, public=public, storefronts={"shop": SHOP, "woo": never_again}) as (relay, _),
        Shop(relay.public_url) as shop,
        Shop(relay.public_url, storefront="woo") as woo,
    ):
        async with held(tmp_path / "relay.db"):
            kept = [asyncio.create_task(shop.send(shopify_order(number))) for number in range(1, 9)]
            await SystemClock().sleep(0.2)
            refused = [await shop.send(shopify_order(20 + number)) for number in range(3)]
            kept += [asyncio.create_task(woo.send(shopify_order(number))) for number in range(30, 32)]
            await SystemClock().sleep(0.2)
            refused.append(await woo.send(shopify_order(40)))
        answers = [await task for task in kept]

    assert [problem(answer) for answer in refused] == [(503, "busy")] * 4
    assert {answer.status for answer in answers} == {200}


@asynccontextmanager
async def full(tmp_path: Path, **tables: Any) -> AsyncIterator[tuple[RunningRelay, Shop]]:
    """A relay whose channel ``main`` has as many orders waiting as it may, by its guard's latest measurement."""
    channels = {
        "main": {"sync_rate": 0.001, "burst": 1, "backlog_max": 5},
        "other": {"sync_rate": 0.001, "backlog_max": 5},
    }
    storefronts = {"shop": SHOP, "till": TILL, "elsewhere": SHOP | {"channel": "other"}}
    public = {"listen": "127.0.0.1:0", "retry_after_s": 7}
    arguments: dict[str, Any] = {"channels": channels, "storefronts": storefronts, "public": public} | tables
    async with relay_running(tmp_path, **arguments) as (relay, _), Shop(relay.public_url) as shop:
        for number in range(1, 7):  # one leaves at once
            assert (await shop.send(shopify_order(number))).status == 200
        await measured(relay)
        yield relay, shop


async def measured(relay: RunningRelay) -> None:
    """The guard measures every second; this is now."""
    assert relay.relay.guard is not None
    await relay.relay.guard.measure()


async def test_when_as_many_orders_wait_as_may_a_webhook_is_told_to_come_again(tmp_path: Path) -> None:
    async with full(tmp_path) as (relay, shop), Shop(relay.public_url, storefront="elsewhere") as other:
        before = len(relay.happenings.of(EventAccepted))
        answers = [
            await shop.send(shopify_order(7)),
            await shop.post(HASH_PATH, manual_sale(8), HASH),
            await shop.post(TOKEN_PATH, manual_sale(9), TO_ORDERS),
            await shop.post("/orders", b"[" + manual_sale(10) + b"]", TO_ORDERS),
        ]
        assert len(relay.happenings.of(EventAccepted)) == before
        assert (await other.send(shopify_order(7))).status == 200
        ready = await fetched(f"{relay.private_url}/readyz")

    assert [problem(answer) for answer in answers] == [(503, "backlog-full")] * 4
    assert {answer.headers["Retry-After"] for answer in answers} == {"7"}
    assert not any(digit in answer.json["detail"] for answer in answers for digit in "0123456789")
    assert ready.status == 200
    refused = [(r.storefront, r.status, r.type) for r in relay.happenings.of(RequestRefused)]
    assert refused == [("shop", 503, "backlog-full"), *[("till", 503, "backlog-full")] * 3]
    assert [move.storefronts for move in relay.happenings.of(DoorMoved)] == [("shop", "till")]


async def test_without_room_on_the_disk_every_storefront_is_refused_and_the_relay_is_not_ready(tmp_path: Path) -> None:
    store = {"disk_free_min_bytes": 1_125_899_906_842_624}
    async with relay_running(tmp_path, store=store) as (relay, _), Shop(relay.public_url) as shop:
        await measured(relay)
        answer = await shop.send(ORDER)
        unknown = await shop.post("/webhooks/nobody", ORDER, signed(ORDER))
        stranger = await shop.post("/orders", manual_sale(1), JSON)
        ready = await fetched(f"{relay.private_url}/readyz")

    assert problem(answer) == (503, "disk-full")
    assert (problem(unknown), problem(stranger)) == ((404, "unknown-storefront"), (401, "bad-credential"))
    assert ready.status == 503
    assert "every storefront is refused" in ready.json["reasons"][0]
    assert "store.disk_free_min_bytes" in ready.json["reasons"][0]


async def test_a_refusal_for_want_of_room_waits_for_no_body_and_keeps_the_connection(tmp_path: Path) -> None:
    head, body = request(body=ORDER)[: -len(ORDER)], ORDER
    async with full(tmp_path) as (relay, _), Wire(relay.public_url) as wire:
        for _ in range(2):
            await wire.write(head)
            answer = await wire.answer()
            assert answer is not None
            assert problem(answer) == (503, "backlog-full")
            assert "Connection" not in answer.headers
            await wire.write(body)
        await wire.write(request(b"POST /nowhere HTTP/1.1", b""))
        answer = await wire.answer()
        assert answer is not None
        assert problem(answer) == (404, "unknown-path")


@pytest.mark.parametrize("change", [{"Content-Length": "4000000"}, {"Expect": "100-continue"}], ids=["large", "asks"])
async def test_a_refusal_for_want_of_room_reads_no_large_body_and_asks_for_none(
    tmp_path: Path, change: dict[str, str]
) -> None:
    headers = signed(ORDER) | {"Content-Length": str(len(ORDER))} | change
    async with full(tmp_path) as (relay, _), Wire(relay.public_url) as wire:
        await wire.write(request(headers=headers, length=False))
        answer = await wire.answer()
        assert answer is not None
        assert problem(answer) == (503, "backlog-full")
        assert answer.headers["Connection"] == "close"
        assert await wire.closed()


async def test_of_what_was_not_understood_the_headers_are_kept_that_its_source_reads(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, _), Shop(relay.public_url) as shop:
        more = {"X-Shopify-Triggered-At": b"x" * 5000 + b"\xff", "Cookie": "no", "X-Shopify-Shop-Domain": "no.example"}
        async with Wire(relay.public_url) as wire:
            await wire.write(request(body=b"null", headers=signed(b"null", webhook_id="w1") | more))
            answer = await wire.answer()
        await shop.send(ORDER)
        (lost,) = await relay.store.lost(after=0, limit=10)

    assert answer is not None
    assert answer.json["status"] == "quarantined"
    kept = {name.lower(): value for name, value in lost.headers.items()}
    assert kept == {
        "x-shopify-topic": "orders/create", "x-shopify-webhook-id": "w1", "x-shopify-triggered-at": "x" * 1024,
    }  # fmt: skip


async def test_when_the_store_fails_nothing_is_acknowledged_and_all_is_well_once_it_is_mended(tmp_path: Path) -> None:
    public = {"listen": "127.0.0.1:0", "retry_after_s": 7}
    async with relay_running(tmp_path, public=public) as (relay, _), Shop(relay.public_url) as shop:
        with closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as sabotage:
            sabotage.execute("ALTER TABLE bodies RENAME TO hidden")
            failed = await shop.send(ORDER, webhook_id="w1")
            sabotage.execute("ALTER TABLE hidden RENAME TO bodies")
        mended = await shop.send(ORDER, webhook_id="w1")

    assert (problem(failed), failed.headers["Retry-After"]) == ((503, "store-failed"), "7")
    assert "bodies" not in failed.body.decode()
    assert (mended.status, mended.json["status"]) == (200, "queued")


async def test_more_connections_than_may_be_open_are_told_so_and_leave_room_again(tmp_path: Path) -> None:
    public = {"listen": "127.0.0.1:0", "connections_max": 2, "body_timeout_s": 30}
    async with relay_running(tmp_path, public=public) as (relay, _):
        async with Wire(relay.public_url) as first, Wire(relay.public_url) as second:
            for wire in (first, second):
                await wire.write(request(body=ORDER))
                assert await wire.answer() is not None
            async with Wire(relay.public_url) as third:
                await third.write(request(body=ORDER))
                answer = await third.answer()
                assert answer is not None
                assert (problem(answer), answer.headers["Retry-After"]) == ((503, "too-many-connections"), "1")
                assert await third.closed()
        refused = [(r.status, r.type) for r in relay.happenings.of(RequestRefused)]
        async with Shop(relay.public_url) as shop, asyncio.timeout(5):
            while (await shop.send(shopify_order(2))).status != 200:
                pass

    assert refused == [(503, "too-many-connections")]


async def test_what_was_acknowledged_under_a_storm_is_all_there(tmp_path: Path) -> None:
    public = {"listen": "127.0.0.1:0", "queue_max": 20}
    async with relay_running(tmp_path, public=public) as (relay, _), Shop(relay.public_url) as shop:
        answers = await asyncio.gather(*(shop.send(shopify_order(number)) for number in range(1, 301)))
        acknowledged = {answer.json["order"] for answer in answers if answer.status == 200}
        found = {order.external_id for n in acknowledged for order in await relay.store.find(n)}

    assert {200, 503} >= {answer.status for answer in answers}
    assert acknowledged == found


async def test_stopping_answers_what_has_arrived_and_takes_nothing_more(tmp_path: Path) -> None:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        relay, _ = await stack.enter_async_context(relay_running(tmp_path))
        async with Shop(relay.public_url) as shop, Shop(relay.public_url) as late:
            async with held(tmp_path / "relay.db"):
                sending = asyncio.create_task(shop.send(ORDER))
                await clock.sleep(0.2)  # it has arrived, and waits for its commit
                stopping = asyncio.create_task(stack.aclose())
                await clock.sleep(0.1)
                with pytest.raises(aiohttp.ClientConnectionError):
                    await late.send(shopify_order(2))
            answer = await sending
            await stopping

    assert (answer.status, answer.json["status"]) == (200, "queued")


async def test_bodies_in_transit_take_so_much_memory_and_no_more() -> None:
    """Before anybody has proved who they are."""

    async def accept(arrival: Arrival, *, share: float) -> Receipt:
        raise AssertionError("nothing arrives here")

    told, limits = Happenings(), Limits(bodies_max_bytes=100)
    ingest = Ingest({}, accept, lambda _, __: None, lambda _: None, limits, SystemClock(), told)
    with ingest._reading(60), pytest.raises(Problem, match="busy"), ingest._reading(60):
        pass
    with ingest._reading(100):
        pass
