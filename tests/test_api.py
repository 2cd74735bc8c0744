"""The private listener, over real sockets: health, metrics, looking, and who may look. And its reference is true."""

import asyncio
import hashlib
import inspect
import json
import logging
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay import ingest, listener
from relay.api import ChannelView, acting, asked, gate, looking, previewing, refusals, sessions, shown, watching
from relay.api.routes import ROUTES
from relay.clock import SystemClock
from relay.core import instant
from relay.core.condition import Condition, RateForNow
from relay.core.delivery import State
from relay.core.events import DOINGS, AttemptMade, CircuitMoved, EventFound, PersonActed, Unexpected, Warned
from relay.core.order import Disposition
from relay.core.pressure import REFUSALS
from relay.core.sources import moment
from relay.sandbox import Fault, RunningSandbox, SandboxSettings
from relay.store import Cutoffs, SweepPlace
from tests.builders import NOW, at
from tests.fakes import SALE, TILL_SECRET, Answer, Shop, Wire, answered, fetched, manual_sale, request, shopify_order
from tests.running import SHOP, RunningRelay, relay_running

DOCS = Path(__file__).parent.parent / "docs" / "reference"
HTTP, METRICS = DOCS / "http.md", DOCS / "metrics.md"
TOKEN = "private-token-c3d9"


@dataclass(frozen=True, slots=True)
class Desk:
    relay: RunningRelay
    jetti: RunningSandbox
    shop: Shop

    async def get(self, path: str, **headers: str) -> Answer:
        return await fetched(self.relay.private_url + path, headers)

    async def post(self, path: str, **content: Any) -> Answer:
        return await posted(self.relay.private_url + path, content)

    async def attempts(self, count: int) -> None:
        await self.relay.happenings.until(lambda: len(self.relay.happenings.of(AttemptMade)) >= count)


async def posted(url: str, content: Any, headers: Any = None) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    async with aiohttp.ClientSession() as session:
        return await answered(session.post(url, data=body, headers=headers or {"Content-Type": "application/json"}))


@pytest.fixture
async def desk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Desk]:
    async with relay_running(tmp_path) as (relay, jetti), Shop(relay.public_url) as shop:
        yield Desk(relay, jetti, shop)
        assert relay.happenings.of(Unexpected) == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_healthz_answers_while_the_process_does(desk: Desk) -> None:
    answer = await desk.get("/healthz")

    assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_readyz_is_ready_when_events_would_be_accepted(desk: Desk) -> None:
    answer = await desk.get("/readyz")

    assert (answer.status, answer.json) == (200, {"status": "ready", "reasons": []})


async def test_readyz_says_why_it_is_not_ready_and_is_ready_again_once_that_is_mended(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, jetti), Shop(relay.public_url) as shop:
        desk = Desk(relay, jetti, shop)
        with closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as sabotage:
            sabotage.execute("ALTER TABLE bodies RENAME TO hidden")
            sabotage.execute("ALTER TABLE meta RENAME TO hidden_too")
            await shop.send(shopify_order(1))
            failing = await desk.get("/readyz")
            sabotage.execute("ALTER TABLE hidden RENAME TO bodies")
            sabotage.execute("ALTER TABLE hidden_too RENAME TO meta")
        # No webhook comes, as from a load balancer that believes /readyz: the relay must find out by itself.
        async with asyncio.timeout(10):
            while (mended := await desk.get("/readyz")).status == 503:
                await SystemClock().sleep(0.1)

    assert (failing.status, failing.json["status"]) == (503, "not ready")
    assert "the store cannot commit" in failing.json["reasons"][0]
    assert mended.status == 200


async def test_an_outage_shows_with_its_cause_and_promises_no_end(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, jetti), Shop(relay.public_url) as shop:
        desk = Desk(relay, jetti, shop)
        await jetti.impose(Fault(status=503))
        await shop.send(shopify_order(1))
        await desk.attempts(2)
        channel = (await desk.get("/api/status")).json["channels"]["main"]
        await jetti.lift()
        await desk.attempts(3)
        better = (await desk.get("/api/status")).json["channels"]["main"]

    assert (channel["trouble"]["code"], channel["trouble"]["attempts"]) == ("api.errors.unknown", 2)
    assert channel["drain_s"] is None
    assert (better["trouble"], better["drain_s"]) == (None, 0.0)


async def test_orders_that_wait_for_a_channel_which_is_gone_are_warned_of_and_move_with_their_next_webhook(
    tmp_path: Path,
) -> None:
    nowhere = {"main": {"async_url": "http://127.0.0.1:9/"}}
    async with relay_running(tmp_path, channels=nowhere) as (relay, _), Shop(relay.public_url) as shop:
        await shop.send(shopify_order(1, 1))
    renamed = {"shop": SHOP | {"channel": "renamed"}}
    async with relay_running(tmp_path, channels={"renamed": {}}, storefronts=renamed) as (relay, jetti):
        warned = [warning.what for warning in relay.happenings.of(Warned)]
        async with Shop(relay.public_url) as shop:
            await shop.send(shopify_order(1, 2))
            await relay.happenings.until(lambda: bool(relay.happenings.of(AttemptMade)), 30.0)
        assert jetti.account.sale("1") is not None
    assert warned == ["1 order(s) wait for channel main, which is not configured"]


async def test_a_stopping_relay_is_not_ready(desk: Desk) -> None:
    desk.relay.relay.stopping = True
    answer = await desk.get("/readyz")

    assert (answer.status, answer.json["reasons"]) == (503, ["stopping"])


# -- looking -----------------------------------------------------------------------------------------------------------


async def test_an_order_is_found_by_reference_with_or_without_its_sign_and_by_external_id(desk: Desk) -> None:
    await desk.shop.send(shopify_order(77, name="#1001"))
    found = [(await desk.get(f"/api/orders?reference={asked}")).json["orders"] for asked in ("%231001", "1001", "77")]

    assert [[order["external_id"] for order in orders] for orders in found] == [["77"]] * 3


async def test_a_page_of_orders_that_wait_counts_no_more_deliveries_than_one_order_may(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "COUNTED_MAX", 3)
    await desk.post("/api/channels/main/pause", by="ada", why="to have them wait")
    for number in range(1, 7):
        await desk.shop.send(shopify_order(number))

    orders = (await desk.get("/api/orders?state=waiting")).json["orders"]

    assert [" behind " in order["why"] for order in orders] == [True, False, False, False, False, False]
    assert all(order["why"].startswith("Waits to be sent") for order in orders)


async def test_webhooks_have_their_turns_while_a_long_list_is_made(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.post("/api/channels/main/pause", by="ada", why="to have them wait")
    for number in range(1, 81):
        await desk.shop.send(shopify_order(number))
    turns, made = 0, list[int]()
    show = shown.order

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await SystemClock().sleep(0)

    def counted(*asked: Any) -> Any:
        made.append(turns)
        return show(*asked)

    monkeypatch.setattr(shown, "order", counted)
    other = asyncio.create_task(others())
    answer = await desk.get("/api/orders?limit=1000")
    other.cancel()

    assert len(answer.json["orders"]) == len(made) == 80
    assert max(made.count(turn) for turn in made) <= 25


async def test_a_timeline_has_every_event_and_every_attempt_of_an_order(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=422, external_id="1001", count=1),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, running), Shop(relay.public_url) as shop:
        desk = Desk(relay, running, shop)
        await shop.send(shopify_order(1001, 1), webhook_id="w1")
        await desk.attempts(1)
        await shop.send(shopify_order(1001, 1), webhook_id="w1")
        await shop.send(shopify_order(1001, 2))
        await desk.attempts(2)
        await shop.send(shopify_order(1001, 0))
        await shop.send(shopify_order(1001, 2, updated_at="2026-11-21T00:09:07-05:00"))
        await relay.happenings.until(lambda: bool(relay.happenings.of(EventFound)))
        timeline = (await desk.get("/api/orders/1")).json

    assert [(e["disposition"], e["place"]) for e in timeline["events"]] == [
        ("queued", "superseded"), ("duplicate", "duplicate"), ("queued", "delivered"), ("stale", "stale"),
        ("unchanged", "unchanged"),
    ]  # fmt: skip
    assert [(a["revision"], a["outcome"], a["status"]) for a in timeline["attempts"]] == [
        (1, "refused", 422),
        (2, "sent", 200),
    ]
    assert (timeline["order"]["place"], timeline["order"]["delivered_revision"]) == ("delivered", 3)


async def test_dead_letters_are_orders_and_events_without_one(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=422),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, running), Shop(relay.public_url) as shop:
        desk = Desk(relay, running, shop)
        await shop.send(shopify_order(1001))
        await desk.attempts(1)
        await shop.send(b"null")
        all_of_them = (await desk.get("/api/dead-letters")).json["dead_letters"]
        one = (await desk.get("/api/dead-letters?limit=1")).json["dead_letters"]
        status = (await desk.get("/api/status")).json

    assert [(letter["place"], letter.get("external_id")) for letter in all_of_them] == [
        ("quarantined", None),
        ("dead", "1001"),
    ]
    assert len(one) == 1
    assert (status["events_without_order"], status["channels"]["main"]["orders"]["dead"]) == (1, 1)


async def test_status_says_when_the_backlog_will_be_gone_pauses_included(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=429, retry_after=100),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, running), Shop(relay.public_url) as shop:
        desk = Desk(relay, running, shop)
        await shop.send(shopify_order(1001))
        await desk.attempts(1)
        channel = (await desk.get("/api/status")).json["channels"]["main"]

    assert channel["orders"]["waiting"] + channel["orders"]["sleeping"] == 1
    assert (channel["state"], channel["resting_cause"]["code"]) == ("resting", "api.errors.unknown")
    assert 90 < channel["resting_s"] <= channel["drain_s"] <= 101


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/", 404, "unknown-path"), ("/api", 404, "unknown-path"), ("/webhooks/shop", 404, "unknown-path"),
        ("/api/orders?reference=", 422, "invalid-request"), ("/api/orders?reference=%20", 422, "invalid-request"),
        ("/api/orders?reference=%00", 422, "invalid-request"), ("/api/orders/1", 404, "unknown-order"),
        ("/api/orders/x", 404, "unknown-order"), ("/api/orders/-1", 404, "unknown-order"),
        ("/api/orders/%C2%B2", 404, "unknown-order"), ("/api/orders/" + "9" * 19, 404, "unknown-order"),
        ("/api/orders/" + "9" * 5000, 404, "unknown-order"), ("/api/orders/%2e%2e", 404, "unknown-order"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
async def test_a_wrong_question_is_a_problem(desk: Desk, path: str, status: int, kind: str) -> None:
    async with Wire(desk.relay.private_url) as wire:
        await wire.write(request(f"GET {path} HTTP/1.1".encode(), headers={}, host=b"Host: localhost\r\n"))
        answer = await wire.answer()

    assert answer is not None
    assert (answer.status, answer.type) == (status, kind)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query", ["reference=%ff%fe", "reference=%F0%9F%98%80", "reference='--", "reference=" + "9" * 5000, "reference=%25"]
)
async def test_an_odd_reference_finds_nothing_and_breaks_nothing(desk: Desk, query: str) -> None:
    async with Wire(desk.relay.private_url) as wire:
        await wire.write(request(f"GET /api/orders?{query} HTTP/1.1".encode(), headers={}, host=b"Host: localhost\r\n"))
        answer = await wire.answer()

    assert answer is not None
    assert (answer.status, answer.json) == (200, {"orders": [], "next": None})


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"), ("limit=x", "limit"), ("limit=-1", "limit"), ("limit=", "limit"), ("limit=1001", "limit"),
        ("limit=" + "9" * 5000, "limit"), ("limit=1&limit=2", "limit"), ("limti=1", "limti"), ("since=soon", "since"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
async def test_an_odd_parameter_is_refused_by_its_name(desk: Desk, query: str, name: str) -> None:
    answer = await desk.get(f"/api/dead-letters?{query}")

    assert (answer.status, answer.type) == (422, "invalid-request")
    assert name in answer.json["detail"]


@pytest.mark.parametrize("query", ["raw=1", "raw=True", "raw=", "raw=true&raw=false"])
async def test_whether_bodies_are_wanted_is_said_plainly(desk: Desk, query: str) -> None:
    answer = await desk.get(f"/api/orders/1?{query}")

    assert (answer.status, answer.type) == (422, "invalid-request")


async def test_health_and_metrics_ignore_what_a_prober_adds(desk: Desk) -> None:
    answers = [await desk.get(f"{path}?probe=1") for path in ("/healthz", "/readyz", "/metrics")]

    assert [answer.status for answer in answers] == [200] * 3


async def test_a_method_that_is_not_for_this_path_is_405_and_says_which_is(desk: Desk) -> None:
    async with Wire(desk.relay.private_url) as wire:
        await wire.write(request(b"DELETE /api/status HTTP/1.1", headers={}, host=b"Host: localhost\r\n"))
        answer = await wire.answer()

    assert answer is not None
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")


# -- who may look ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (f"Bearer {TOKEN}", 200), (f"bearer   {TOKEN} ", 200), ("", 401), ("Bearer", 401), ("Bearer ", 401),
        (TOKEN, 401), (f"Basic {TOKEN}", 401), (f"Bearer {TOKEN}x", 401), (f"Bearer {TOKEN[:-1]}", 401),
        (b"Bearer \xff\xfe", 401),
    ],
)  # fmt: skip
async def test_a_token_guards_everything_but_health_and_metrics(
    tmp_path: Path, shown: str | bytes, status: int
) -> None:
    async with relay_running(tmp_path, private={"token": TOKEN}) as (relay, _):
        answers = []
        for path in ("/api/status", "/api/orders?reference=1", "/api/dead-letters", "/healthz", "/readyz", "/metrics"):
            async with Wire(relay.private_url) as wire:
                await wire.write(request(f"GET {path} HTTP/1.1".encode(), headers={"Authorization": shown}))
                answers.append(await wire.answer())
            assert TOKEN not in str(answers[-1])

    assert [answer.status for answer in answers if answer is not None] == [status] * 3 + [200] * 3


async def test_without_the_token_it_is_not_even_said_which_paths_there_are(tmp_path: Path) -> None:
    async with relay_running(tmp_path, private={"token": TOKEN}) as (relay, _):
        answer = await fetched(relay.private_url + "/no/such/path")

    assert (answer.status, answer.type) == (401, "bad-credential")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200), (b"localhost:9090", 200), (b"LOCALHOST", 200), (b"127.0.0.1:9090", 200),
        (b"127.8.9.1", 200), (b"[::1]:9090", 200), (b"evil.example", 421), (b"evil.example:9090", 421),
        (b"localhost.evil.example", 421), (b"127.0.0.1.evil.example", 421), (b"10.0.0.1", 421), (b"", 421),
        (b"[::1", 421),
    ],
)  # fmt: skip
async def test_without_a_token_only_who_addresses_loopback_is_answered(desk: Desk, host: bytes, status: int) -> None:
    answers = []
    for path in (b"/api/status", b"/api/dead-letters"):
        async with Wire(desk.relay.private_url) as wire:
            await wire.write(request(b"GET " + path + b" HTTP/1.1", headers={}, host=b"Host: " + host + b"\r\n"))
            answers.append(await wire.answer())

    assert [answer and answer.status for answer in answers] == [status] * 2


async def test_health_and_metrics_answer_whatever_they_are_addressed_by(desk: Desk) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await desk.get(path, Host="relay.internal:9090")).status == 200


# -- acting ------------------------------------------------------------------------------------------------------------

PAUSE = "/api/channels/main/pause"
RATE = "/api/channels/main/rate"
RESUME = "/api/channels/main/resume"
REPLAY = "/api/dead-letters/replay"
DISCARD = "/api/dead-letters/discard"
WHO = {"by": "ada", "why": "a migration"}


@pytest.mark.parametrize("path", [PAUSE, RESUME, REPLAY, DISCARD])
@pytest.mark.parametrize(
    ("body", "content_type", "status", "kind"),
    [
        (b"by=ada&why=x", "application/x-www-form-urlencoded", 415, "not-json"),
        (b'{"by": "ada", "why": "x"}', "text/plain", 415, "not-json"),
        (b"{", "application/json", 400, "malformed-json"),
        (b"\xff", "application/json", 400, "malformed-json"),
        (b"[]", "application/json", 422, "invalid-request"),
        (b"{}", "application/json", 422, "invalid-request"),
        (b'{"by": "", "why": "x"}', "application/json", 422, "invalid-request"),
        (b'{"by": "  ", "why": "x"}', "application/json", 422, "invalid-request"),
        (b'{"by": "a\\nb", "why": "x"}', "application/json", 422, "invalid-request"),
        (b'{"by": "ada", "why": "\\u001b[2J"}', "application/json", 422, "invalid-request"),
        (json.dumps({"by": "a" * 201, "why": "x"}).encode(), "application/json", 422, "invalid-request"),
        (json.dumps({"by": "ada", "why": "x" * 1001}).encode(), "application/json", 422, "invalid-request"),
        (b'{"by": "ada", "why": "x", "wy": 1}', "application/json", 422, "invalid-request"),
        (b'{"by": "ada", "why": "' + b" " * 66_000 + b'"}', "application/json", 413, "body-too-large"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_request_to_change_something_is_small_json_that_says_who(
    desk: Desk, path: str, body: bytes, content_type: str, status: int, kind: str
) -> None:
    answer = await posted(desk.relay.private_url + path, body, {"Content-Type": content_type})

    assert (answer.status, answer.type) == (status, kind)
    assert (await desk.get("/api/deeds")).json["deeds"] == []


async def test_an_unknown_member_is_refused_by_its_name(desk: Desk) -> None:
    assert "`wy`" in (await desk.post(PAUSE, by="ada", wy="x")).json["detail"]


async def test_a_paused_channel_sends_nothing_until_it_is_resumed_and_says_who_paused_it(desk: Desk) -> None:
    await desk.shop.send(shopify_order(1000))
    await desk.attempts(1)
    paused = await desk.post(PAUSE, **WHO)
    await desk.shop.send(shopify_order(1001))
    channel = (await desk.get("/api/status")).json["channels"]["main"]
    before = desk.jetti.journal.last_seq
    resumed = await desk.post(RESUME, by="bob")
    await desk.attempts(2)

    assert (paused.status, paused.json["state"], paused.json["pause"]["by"]) == (200, "paused", "ada")
    assert (channel["state"], channel["pause"]["why"], channel["drain_s"]) == ("paused", "a migration", None)
    assert before == 1
    assert (resumed.status, resumed.json["state"], resumed.json["pause"]) == (200, "sending", None)
    deeds = (await desk.get("/api/deeds")).json["deeds"]
    assert [(deed["by"], deed["what"], deed["about"], deed["why"]) for deed in deeds] == [
        ("bob", "resume", "channel main", ""),
        ("ada", "pause", "channel main", "a migration"),
    ]
    assert [(told.by, told.what) for told in desk.relay.happenings.of(PersonActed)] == [
        ("ada", "pause"),
        ("bob", "resume"),
    ]


async def test_a_channel_is_slowed_down_for_now_and_says_who_said_so(desk: Desk) -> None:
    slowed = await desk.post(RATE, rate=2.5, for_s=1800, by="ann", why="Jetti asked for it")
    status = (await desk.get("/api/status")).json
    channel, metrics = status["channels"]["main"], (await desk.get("/metrics")).body.decode()
    taken_back = await desk.post(RATE, rate=None, by="bob")
    again = await desk.post(RATE, rate=None, by="bob")

    said = slowed.json["rate_for_now"]
    assert (slowed.status, said["rate"], said["by"], said["why"]) == (200, 2.5, "ann", "Jetti asked for it")
    assert moment(said["until"]) == instant.after(moment(said["since"]) or 0, 1800)
    assert (slowed.json["rate"], slowed.json["configured_rate"], slowed.json["state"]) == (2.5, 1000.0, "sending")
    assert (channel["rate"], channel["configured_rate"], channel["rate_for_now"]) == (2.5, 1000.0, said)
    for line in (
        'relay_channel_rate{channel="main"} 2.5',
        'relay_channel_allowed_rate{channel="main"} 2.5',
        'relay_channel_configured_rate{channel="main"} 1000.0',
    ):
        assert line in metrics.splitlines()
    assert (taken_back.status, taken_back.json["rate_for_now"], taken_back.json["rate"]) == (200, None, 1000.0)
    assert (again.status, again.type) == (409, "no-rate-for-now")
    deeds = (await desk.get("/api/deeds")).json["deeds"]
    assert [(deed["by"], deed["what"], deed["about"], deed["why"]) for deed in deeds] == [
        ("bob", "rate", "channel main: as configured again", ""),
        ("ann", "rate", f"channel main: 2.5/s until {said['until']}", "Jetti asked for it"),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"rate": 0.001, "why": "x"}, "`$.rate`"), ({"rate": 0, "why": "x"}, "`$.rate`"),
        ({"rate": "2", "why": "x"}, "`$.rate`"),
        ({"why": "x"}, "`rate`"),
        ({"rate": 2}, "why is empty"), ({"rate": 2, "why": "x", "for_s": 0}, "`$.for_s`"),
        ({"rate": 2, "why": "x", "for_s": 1e12}, "`$.for_s`"),
    ],
    ids=str,
)  # fmt: skip
async def test_a_rate_for_now_that_cannot_be_is_refused(desk: Desk, content: dict[str, object], words: str) -> None:
    answer = await desk.post(RATE, by="ann", **content)

    assert (answer.status, answer.type) == (422, "invalid-request")
    assert words in answer.json["detail"]
    assert (await desk.get("/api/status")).json["channels"]["main"]["rate_for_now"] is None


@pytest.mark.parametrize("rate", [1000, 4000.5])
async def test_no_rate_for_now_reaches_what_is_configured(desk: Desk, rate: float) -> None:
    answer = await desk.post(RATE, by="ann", why="faster", rate=rate)

    assert (answer.status, answer.type) == (409, "not-below-configured")
    assert f"rate is {rate:g}: name one from 0.01 to below 1000 requests a second" in answer.json["detail"]
    assert (await desk.get("/api/deeds")).json["deeds"] == []


def test_the_drain_estimate_counts_with_the_rate_for_now_until_it_is_over() -> None:
    slow = Condition(rate_for_now=RateForNow(2.0, "ann", "why", NOW, at(60)))
    view = ChannelView("async", 2.0, 10.0, 0, slow, rate_for_s=60.0)

    assert (view.drain_s(100), view.drain_s(220), view.allowed_rate) == (50.0, 70.0, 2.0)
    assert replace(view, resting_s=30.0).drain_s(100) == 30.0 + 30.0 + 4.0
    assert replace(view, rate_for_s=None).drain_s(220) == 110.0
    assert (view.road(1).expected_s(100, NOW), view.road(1).expected_s(220, NOW)) == (50.0, 70.0)


@pytest.mark.parametrize(
    "path", ["/api/channels/other/pause", "/api/channels/other/resume", "/api/channels/other/rate"]
)
async def test_a_channel_that_is_not_there_is_refused_with_those_that_are(desk: Desk, path: str) -> None:
    answer = await desk.post(path, **WHO)

    assert (answer.status, answer.type) == (404, "unknown-channel")
    assert "main" in answer.json["detail"]


async def test_a_channel_that_is_paused_is_not_paused_again(desk: Desk) -> None:
    await desk.post(PAUSE, **WHO)
    again = await desk.post(PAUSE, by="bob", why="another")

    assert (again.status, again.type) == (409, "already-paused")
    assert re.fullmatch(
        r"channel main is already paused by ada since \S+ \d\d:\d\d UTC: a migration", again.json["detail"]
    )
    assert len((await desk.get("/api/deeds")).json["deeds"]) == 1


async def test_an_order_that_waits_for_a_paused_channel_says_so(desk: Desk) -> None:
    await desk.post(PAUSE, **WHO)
    await desk.shop.send(shopify_order(1001))
    order = (await desk.get("/api/orders/1")).json["order"]
    (found,) = (await desk.get("/api/orders?reference=1001")).json["orders"]

    assert (order["place"], order["channel_state"], found["channel_state"]) == ("waiting", "paused", "paused")
    assert order["why"] == found["why"]
    assert order["why"].startswith("Waits to be sent next; channel main is paused by ada since ")


async def test_an_open_channel_names_the_newest_order_that_came_to_no_answer(tmp_path: Path) -> None:
    channels = {"main": {"async_url": "http://127.0.0.1:9/", "breaker": {"failures": 2}}}
    async with relay_running(tmp_path, channels=channels) as (relay, jetti), Shop(relay.public_url) as shop:
        desk = Desk(relay, jetti, shop)
        for number in (1001, 1002):
            await shop.send(shopify_order(number))
        await relay.happenings.until(lambda: bool(relay.happenings.of(CircuitMoved)))
        channel = (await desk.get("/api/status")).json["channels"]["main"]

    assert channel["state"] == "open"
    assert channel["latest_order"]["reference"] in ("#1001", "#1002")


async def test_a_pause_needs_a_reason_and_a_resume_none(desk: Desk) -> None:
    assert (await desk.post(PAUSE, by="ada", why=" ")).type == "invalid-request"
    assert (await desk.post(RESUME, by="ada")).status == 200


async def test_a_halted_channel_goes_on_when_its_secret_file_is_mended_and_not_before(tmp_path: Path) -> None:
    secret = tmp_path / "hash"
    secret.write_text("wrong")
    channels = {"main": {"webhook_hash": None, "webhook_hash_file": str(secret)}}
    async with relay_running(tmp_path, channels=channels) as (relay, jetti), Shop(relay.public_url) as shop:
        desk = Desk(relay, jetti, shop)
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: bool(relay.happenings.of(CircuitMoved)))
        halted = (await desk.get("/api/status")).json["channels"]["main"]
        secret.unlink()
        refused = await desk.post(RESUME, by="ada")
        still = (await desk.get("/api/status")).json["channels"]["main"]
        secret.write_text("sandbox-hash\n")
        resumed = await desk.post(RESUME, by="ada")
        await relay.happenings.until(lambda: jetti.account.sale("1001") is not None, 25.0)

    assert (halted["state"], halted["circuit"], halted["circuit_cause"]["status"]) == ("halted", "halted", 401)
    assert 0 < halted["probe_in_s"] <= 10
    assert (refused.status, refused.type, still["state"]) == (409, "secrets-unreadable", "halted")
    assert str(secret) in refused.json["detail"]
    assert (resumed.status, resumed.json["state"]) == (200, "sending")


@dataclass(frozen=True, slots=True)
class Morgue:
    """A relay with dead letters: orders 1001 to 1003 refused (ids 1 to 3), 1004 without lines, and event 5."""

    desk: Desk

    async def codes(self) -> dict[str, int]:
        groups = (await self.desk.get("/api/dead-letters/groups")).json["groups"]
        return {group["code"]: group["count"] for group in groups}

    async def replayed(self, answer: Answer) -> Any:
        assert answer.status == 202, answer.json
        at = answer.headers["Location"]
        async with asyncio.timeout(10):
            while (replay := (await self.desk.get(at)).json["replay"])["ended_at"] is None:
                await SystemClock().sleep(0.02)
        return replay


@pytest.fixture
async def morgue(tmp_path: Path) -> AsyncIterator[Morgue]:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=422, title="api.sale.invalid"),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, running), Shop(relay.public_url) as shop:
        desk = Desk(relay, running, shop)
        for number in (1001, 1002, 1003):
            await shop.send(shopify_order(number))
        await shop.send(shopify_order(1004, line_items=None))
        await shop.send(b"[]")
        await desk.attempts(3)
        await relay.happenings.until(lambda: bool(relay.happenings.of(EventFound)))
        await running.lift()
        yield Morgue(desk)
        assert relay.happenings.of(Unexpected) == []


async def test_dead_letters_are_grouped_by_cause_the_largest_first(morgue: Morgue) -> None:
    groups = (await morgue.desk.get("/api/dead-letters/groups")).json["groups"]

    first = groups[0]
    assert (first["code"], first["channel"], first["storefront"], first["count"]) == (
        "api.sale.invalid", "main", "shop", 3,
    )  # fmt: skip
    assert {g["code"]: g["channel"] for g in groups} == {
        "api.sale.invalid": "main", "unmappable": "main", "no_order": None,
    }  # fmt: skip
    assert (await morgue.desk.get("/api/status")).json["dead_letters"] == 5


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("code=api.sale.invalid", 3), ("code=no_order", 1), ("code=other", 0), ("channel=main", 4),
        ("channel=other", 0), ("storefront=shop", 5), ("storefront=till", 0), ("since=2020-01-01T00:00:00Z", 5),
        ("since=2999-01-01T00:00:00Z", 0), ("until=2020-01-01", 0), ("code=no_order&channel=main", 0), ("code=", 5),
        ("code=%ff%fe%00", 0), ("limit=2", 2), ("limit=2&code=api.sale.invalid", 2),
    ],
)  # fmt: skip
async def test_dead_letters_are_narrowed_by_everything_that_is_given(morgue: Morgue, query: str, count: int) -> None:
    async with Wire(morgue.desk.relay.private_url) as wire:
        line = f"GET /api/dead-letters?{query} HTTP/1.1".encode()
        await wire.write(request(line, headers={}, host=b"Host: localhost\r\n"))
        answer = await wire.answer()

    assert answer is not None
    assert (answer.status, len(answer.json["dead_letters"])) == (200, count)


async def test_a_moment_that_is_none_is_refused(desk: Desk) -> None:
    answer = await desk.get("/api/dead-letters?since=yesterday")

    assert (answer.status, answer.type) == (422, "invalid-request")


async def test_what_is_in_an_order_or_an_event_is_shown_only_on_request(morgue: Morgue) -> None:
    desk = morgue.desk
    order, raw = [(await desk.get(f"/api/orders/1{query}")) for query in ("", "?raw=true")]
    event, raw_event = [(await desk.get(f"/api/dead-letters/events/5{query}")) for query in ("", "?raw=true")]

    assert "buyer.example" not in order.body.decode() + event.body.decode()
    assert (raw.json["body"]["name"], raw.json["sale"]["externalId"]) == ("#1001", "1001")
    assert (event.json["event"]["event"], "body" in event.json) == (5, False)
    assert (raw_event.json["body"], raw_event.json["headers"]["X-Shopify-Topic"]) == ([], "orders/create")


@pytest.mark.parametrize("event", ["1", "99", "0", "x", "9" * 30])
async def test_an_event_that_is_no_dead_letter_is_not_found_among_them(morgue: Morgue, event: str) -> None:
    answer = await morgue.desk.get(f"/api/dead-letters/events/{event}")

    assert (answer.status, answer.type) == (404, "unknown-event")


async def test_named_orders_are_replayed_at_once_and_what_cannot_be_is_said(morgue: Morgue) -> None:
    answer = await morgue.desk.post(REPLAY, orders=[1, 99], events=[5], by="ada", why="mended")
    await morgue.desk.attempts(4)

    assert answer.json == {"replayed": {"orders": [1], "events": []}, "left": {"orders": [99], "events": [5]}}
    assert morgue.desk.jetti.account.sale("1001") is not None
    assert await morgue.codes() == {"api.sale.invalid": 2, "unmappable": 1, "no_order": 1}
    (deed,) = (await morgue.desk.get("/api/deeds")).json["deeds"]
    assert (deed["by"], deed["what"], deed["about"]) == ("ada", "replay", "order:1, order:99")


async def test_a_selection_is_replayed_in_the_lane_behind_live_traffic(morgue: Morgue) -> None:
    answer = await morgue.desk.post(REPLAY, code="api.sale.invalid", by="ada", why="mended")
    replay = await morgue.replayed(answer)
    await morgue.desk.attempts(6)

    assert (replay["total"], replay["revived"], replay["left"], replay["by"]) == (3, 3, 0, "ada")
    assert await morgue.codes() == {"unmappable": 1, "no_order": 1}
    assert {made.lane.value for made in morgue.desk.relay.happenings.of(AttemptMade)[3:]} == {"replay"}
    assert [r["id"] for r in (await morgue.desk.get("/api/replays")).json["replays"]] == [replay["id"]]


async def test_everything_is_replayed_only_when_it_is_said_to_be_everything(morgue: Morgue) -> None:
    refused = await morgue.desk.post(REPLAY, **WHO)
    replay = await morgue.replayed(await morgue.desk.post(REPLAY, all=True, **WHO))

    assert (refused.status, refused.type) == (422, "selects-everything")
    assert (replay["total"], replay["revived"], replay["left"]) == (5, 4, 1)


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        ({"orders": [1], "all": True}, 422, "mixed-selection"),
        ({"events": [5], "code": "x"}, 422, "mixed-selection"),
        ({"code": "other"}, 404, "no-dead-letters"),
        ({"since": "2999-01-01T00:00:00Z"}, 404, "no-dead-letters"),
        ({"since": "soon"}, 422, "invalid-request"),
        ({"code": ""}, 422, "invalid-request"),
        ({"orders": [0]}, 422, "invalid-request"),
        ({"orders": [1 << 64]}, 422, "invalid-request"),
        ({"orders": [1] * 1001}, 422, "invalid-request"),
        ({"orders": ["1"]}, 422, "invalid-request"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_replay_of_nothing_or_of_two_things_is_refused(
    morgue: Morgue, content: Any, status: int, kind: str
) -> None:
    answer = await morgue.desk.post(REPLAY, **WHO, **content)

    assert (answer.status, answer.type) == (status, kind)
    assert (await morgue.desk.get("/api/replays")).json["replays"] == []


async def test_discarded_dead_letters_are_no_dead_letters_and_say_who_discarded_them(morgue: Morgue) -> None:
    answer = await morgue.desk.post(DISCARD, orders=[2, 99], events=[5, 1], by="ada", why="entered by hand")
    order = (await morgue.desk.get("/api/orders/2")).json["order"]

    assert answer.json == {"discarded": {"orders": [2], "events": [5]}, "left": {"orders": [99], "events": [1]}}
    assert (order["state"], order["why"][-30:]) == ("discarded", " UTC: by ada: entered by hand.")
    assert await morgue.codes() == {"api.sale.invalid": 2, "unmappable": 1}


async def test_an_order_that_lives_is_not_discarded(morgue: Morgue) -> None:
    await morgue.desk.shop.send(shopify_order(1001, 5))
    answer = await morgue.desk.post(DISCARD, orders=[1], by="ada", why="x")

    assert answer.json["left"] == {"orders": [1], "events": []}
    assert (await morgue.desk.get("/api/deeds")).json["deeds"] == []


@pytest.mark.parametrize("content", [{"why": "x"}, {"orders": [1]}, {"orders": [1], "why": " "}])
async def test_a_discard_names_its_dead_letters_and_its_reason(morgue: Morgue, content: Any) -> None:
    assert (await morgue.desk.post(DISCARD, by="ada", **content)).status == 422


async def test_a_discarded_order_can_be_replayed_after_all(morgue: Morgue) -> None:
    await morgue.desk.post(DISCARD, orders=[1], **WHO)
    answer = await morgue.desk.post(REPLAY, orders=[1], **WHO)

    assert answer.json["replayed"]["orders"] == [1]


@pytest.mark.parametrize("path", ["/api/replays/1", "/api/replays/x", "/api/replays/" + "9" * 30])
async def test_a_replay_that_is_not_there_is_not_found(desk: Desk, path: str) -> None:
    answer = await desk.get(path)

    assert (answer.status, answer.type) == (404, "unknown-replay")


# -- one order, events, storefronts ------------------------------------------------------------------------------------

EMAIL_HASH = hashlib.sha256(b"orders@buyer.example").hexdigest()


async def _pages(desk: Desk, path: str, member: str) -> list[Any]:
    """Every page of a list, one entry each."""
    found, cursor = [], ""
    while True:
        answer = (await desk.get(f"{path}{'&' if '?' in path else '?'}limit=1{cursor}")).json
        found += answer[member]
        if answer["next"] is None:
            return found
        cursor = f"&cursor={answer['next']}"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["1004", "1003", "1002", "1001"]), ("text=100", ["1004", "1003", "1002", "1001"]), ("text=1001", ["1001"]),
        ("text=01", []), ("reference=1001", ["1001"]), ("reference=%231001", ["1001"]), ("reference=100", []),
        ("external_id=1002", ["1002"]), ("external_id=%231002", []), ("external_id=1002&text=10", ["1002"]),
        ("external_id=1002&text=1001", []), ("state=dead", ["1004", "1003", "1002", "1001"]), ("state=sent", []),
        ("storefront=shop&channel=main&text=%231003", ["1003"]), ("storefront=till", []), ("channel=other", []),
        (f"email_hash={EMAIL_HASH}", ["1003", "1002", "1001"]),
        (f"email_hash={EMAIL_HASH.upper()}&text=1002", ["1002"]),
        (f"email_hash={'0' * 64}", []),
    ],
    ids=str,
)  # fmt: skip
async def test_orders_are_found_by_everything_that_is_given_page_by_page(
    morgue: Morgue, query: str, found: list[str]
) -> None:
    whole = (await morgue.desk.get(f"/api/orders?{query}")).json
    paged = await _pages(morgue.desk, f"/api/orders?{query}", "orders")

    assert [order["external_id"] for order in whole["orders"]] == found
    assert [order["external_id"] for order in paged] == found


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/api/orders", "orders"), ("/api/dead-letters", "dead_letters"), ("/api/held", "held"),
        ("/api/deeds", "deeds"), ("/api/replays", "replays"), ("/api/events", "events"),
    ],
)  # fmt: skip
async def test_every_list_goes_on_where_its_page_ended(morgue: Morgue, path: str, member: str) -> None:
    for code in ("unmappable", "api.sale.invalid"):
        await morgue.replayed(await morgue.desk.post(REPLAY, code=code, **WHO))
    await morgue.desk.relay.happenings.until(lambda: len(morgue.desk.relay.happenings.of(AttemptMade)) >= 6)
    whole = (await morgue.desk.get(path)).json[member]
    paged = await _pages(morgue.desk, path, member)
    odd = [await morgue.desk.get(f"{path}?cursor={cursor}") for cursor in ("x", "", "A" * 25, "%C3%A9" * 24, "=" * 24)]
    nowhere = await morgue.desk.get(f"{path}?cursor={'_' * 24}")

    assert paged == whole
    assert len(whole) == {"held": 0, "deeds": 2, "replays": 2, "orders": 4, "events": 5, "dead_letters": 2}[member]
    assert [(answer.status, "cursor" in answer.json["detail"]) for answer in odd] == [(422, True)] * 5
    assert nowhere.status == 200


RESEND = "/api/orders/1/resend"


async def test_an_order_that_jetti_has_is_sent_again_by_a_named_person(desk: Desk) -> None:
    await desk.shop.send(shopify_order(1001))
    await desk.attempts(1)
    await desk.relay.happenings.until(lambda: desk.jetti.account.sale("1001") is not None)
    answer = await desk.post(RESEND, by="ada", why="deleted at Jetti by mistake")
    await desk.attempts(2)
    (deed,) = (await desk.get("/api/deeds?about=order:1")).json["deeds"]

    assert (answer.status, answer.json["order"]["state"], answer.json["order"]["lane"]) == (200, "waiting", "replay")
    assert (deed["by"], deed["what"], deed["about"]) == ("ada", "resend", "order:1")
    assert [(made.revision, made.outcome) for made in desk.relay.happenings.of(AttemptMade)] == [(1, "sent")] * 2
    assert desk.jetti.journal.last_seq == 2


async def test_a_dead_order_is_sent_again_and_then_no_more_until_it_is_there(morgue: Morgue) -> None:
    await morgue.desk.post(PAUSE, **WHO)
    first, second = [await morgue.desk.post(RESEND, **WHO) for _ in range(2)]

    assert (first.status, second.status, second.type) == (200, 409, "not-now")
    assert "on its way already" in second.json["detail"]


async def test_an_order_whose_webhook_is_gone_is_not_sent_again(desk: Desk, tmp_path: Path) -> None:
    await desk.shop.send(shopify_order(1001))
    await desk.attempts(1)
    await desk.relay.store.sweep(Cutoffs(bodies=SystemClock().now() + 10**9, finished=0), SweepPlace(), limit=1000)
    answer = await desk.post(RESEND, **WHO)

    assert (answer.status, answer.type) == (409, "body-gone")
    assert (await desk.get("/api/deeds")).json["deeds"] == []


async def test_a_held_order_is_discarded_or_released_and_not_resent(tmp_path: Path) -> None:
    shop_table = SHOP | {"accept_when": "financial_status == 'paid'"}
    async with (
        relay_running(tmp_path, storefronts={"shop": shop_table}) as (relay, jetti),
        Shop(relay.public_url) as shop,
    ):
        desk = Desk(relay, jetti, shop)
        await shop.send(shopify_order(1001, financial_status="pending"))
        await relay.happenings.until(lambda: bool(relay.happenings.of(EventFound)))
        resent = await desk.post(RESEND, **WHO)
        discarded = await desk.post("/api/orders/1/discard", by="ada", why="never paid")
        again = await desk.post("/api/orders/1/discard", **WHO)
        order = (await desk.get("/api/orders/1")).json["order"]
        deeds = (await desk.get("/api/deeds")).json["deeds"]

    assert (resent.status, resent.type, "release" in resent.json["detail"]) == (409, "not-now", True)
    assert discarded.json == {"discarded": {"orders": [1], "events": []}, "left": {"orders": [], "events": []}}
    assert (again.status, again.type) == (409, "not-now")
    assert (order["state"], "by ada: never paid" in order["why"]) == ("discarded", True)
    assert [(deed["what"], deed["about"]) for deed in deeds] == [("discard", "order:1")]


@pytest.mark.parametrize("path", ["/api/orders/99/resend", "/api/orders/x/discard"])
async def test_what_is_done_to_an_order_that_is_not_there_is_refused(desk: Desk, path: str) -> None:
    answer = await desk.post(path, **WHO)

    assert (answer.status, answer.type) == (404, "unknown-order")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [5, 4, 3, 2, 1]), ("order=1", [1]), ("order=99", []), ("storefront=till", []),
        ("disposition=quarantined", [5, 4]), ("disposition=queued", [3, 2, 1]), ("since=2999-01-01T00:00:00Z", []),
        ("until=2020-01-01T00:00:00Z", []), ("since=2020-01-01T00:00:00Z&storefront=shop", [5, 4, 3, 2, 1]),
    ],
)  # fmt: skip
async def test_events_are_found_by_everything_that_is_given(morgue: Morgue, query: str, found: list[int]) -> None:
    events = (await morgue.desk.get(f"/api/events?{query}")).json["events"]

    assert [event["event"] for event in events] == found
    assert {event["order"] and event["order"]["id"] for event in events} <= {None, 1, 2, 3, 4}
    assert [event["event"] for event in events if event["order"] is None] == [5] * (5 in found)


async def test_an_event_is_shown_with_its_order_if_it_has_one(morgue: Morgue) -> None:
    one, lost, none = [await morgue.desk.get(f"/api/events/{event}") for event in (1, 5, 99)]

    assert (one.json["event"]["place"], one.json["order"]["external_id"], one.json["has_body"]) == (
        "dead",
        "1001",
        True,
    )
    assert (lost.json["event"]["disposition"], lost.json["order"]) == ("quarantined", None)
    assert (none.status, none.type) == (404, "unknown-event")


async def test_storefronts_say_what_came_from_them(morgue: Morgue) -> None:
    await morgue.desk.shop.post("/webhooks/shop", b"{}")
    storefronts = {one["name"]: one for one in (await morgue.desk.get("/api/storefronts")).json["storefronts"]}

    shop, till = storefronts["shop"], storefronts["till"]
    assert (shop["kind"], shop["accepted"], shop["refused_requests"], shop["held"]) == ("shopify", 5, 1, 0)
    assert shop["last_event_at"] is not None
    assert (till["configured"], till["accepted"], till["last_event_at"]) == (True, 0, None)


# -- whose token it was ------------------------------------------------------------------------------------------------


async def test_every_deed_says_whose_token_was_shown(tmp_path: Path) -> None:
    tokens = {"token": TOKEN, "tokens": {"desk": {"token": "desk-token-1"}, "cron": {"token": "cron-token-2"}}}
    async with relay_running(tmp_path, private=tokens) as (relay, _), Shop(relay.public_url) as shop:
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: bool(relay.happenings.of(AttemptMade)))

        async def done(path: str, token: str, **content: Any) -> int:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
            return (await posted(relay.private_url + path, content | WHO, headers)).status

        statuses = [
            await done(PAUSE, "desk-token-1"),
            await done(RESUME, "cron-token-2"),
            await done("/api/channels/main/rate", "cron-token-2", rate=500),
            await done("/api/orders/1/reveal", TOKEN),
            await done(RESEND, "desk-token-1"),
            await done(PAUSE, "nobody's"),
        ]
        deeds = await relay.store.deeds()

    assert statuses == [200, 200, 200, 200, 200, 401]
    assert [(deed.what, deed.token) for deed in reversed(deeds)] == [
        ("pause", "desk"), ("resume", "cron"), ("rate", "cron"), ("reveal", "token"), ("resend", "desk"),
    ]  # fmt: skip


async def test_without_a_token_a_deed_names_none(desk: Desk) -> None:
    await desk.post(PAUSE, **WHO)

    assert [deed["token"] for deed in (await desk.get("/api/deeds")).json["deeds"]] == [None]


# -- metrics -----------------------------------------------------------------------------------------------------------


def _names(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (relay_\w+)", text, re.MULTILINE))


async def test_every_metric_is_documented_and_every_documented_metric_is_there(desk: Desk) -> None:
    answer = await desk.get("/metrics")
    documented = set(re.findall(r"^\| `(relay_\w+)` \|", METRICS.read_text(), re.MULTILINE))

    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert _names(answer.body.decode()) == documented


async def test_every_label_of_a_metric_is_documented_and_every_series_is_there_from_the_start(desk: Desk) -> None:
    text = (await desk.get("/metrics")).body.decode()
    rows = re.findall(r"^\| `(relay_\w+)` \| \w+ \| ([^|]*)\|", METRICS.read_text(), re.MULTILINE)

    for name, labels in rows:
        series = re.findall(rf"^{name}(?:_count)?(?:{{(.*)}})? ", text, re.MULTILINE)
        assert series, f"{name} has no series at the start"
        assert {label for one in series for label in re.findall(r'(\w+)="', one)} == set(re.findall(r"`(\w+)`", labels))


async def test_every_word_that_a_label_may_be_is_documented_with_its_metric(desk: Desk) -> None:
    text = (await desk.get("/metrics")).body.decode()
    rows = re.findall(r"^\| `(relay_\w+)` \| \w+ \| [^|]* \| (.*) \|$", METRICS.read_text(), re.MULTILINE)
    elsewhere = {"relay_events_total", "relay_requests_refused_total"}  # dispositions and refusals have their tables
    names = {"storefront", "channel", "lane", "le", "version"}

    seen: dict[str, set[str]] = {}
    for name, said in rows:
        for labels in re.findall(rf"^{name}(?:_count)?{{(.*)}} ", text, re.MULTILINE):
            words = {word for label, word in re.findall(r'(\w+)="([^"]*)"', labels) if label not in names}
            seen.setdefault(name, set()).update(words)
            documented = name in elsewhere or "is as below" in said or words <= set(re.findall(r"`(\w+)`", said))
            assert documented, (name, words)
    assert seen["relay_deeds_total"] == set(DOINGS)
    assert seen["relay_orders"] == set(State)


async def test_counters_start_at_zero(desk: Desk) -> None:
    text = (await desk.get("/metrics")).body.decode()
    values = re.findall(r"^relay_\w+_(?:total|count)(?:{.*})? (\S+)$", text, re.MULTILINE)

    assert len(values) > 40
    assert set(values) == {"0.0"}


async def test_what_happens_is_counted(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=429, retry_after=0.1, count=1),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, running), Shop(relay.public_url) as shop:
        desk = Desk(relay, running, shop)
        await shop.send(shopify_order(1001))
        await desk.attempts(2)
        await shop.post("/webhooks/shop", b"{}")
        text = (await desk.get("/metrics")).body.decode()

    for line in (
        'relay_events_total{disposition="queued",storefront="shop"} 1.0',
        'relay_requests_refused_total{status="401",storefront="shop",type="bad-signature"} 1.0',
        'relay_attempts_total{channel="main",outcome="throttled"} 1.0',
        'relay_attempts_total{channel="main",outcome="sent"} 1.0',
        'relay_channel_throttles_total{channel="main"} 1.0',
        'relay_orders{channel="main",lane="new",state="sent"} 1.0',
        'relay_accepted_to_sent_seconds_count{channel="main",lane="new"} 1.0',
        "relay_unexpected_errors_total 0.0",
    ):
        assert line in text.splitlines()


async def test_no_label_has_a_value_that_a_stranger_chose(desk: Desk) -> None:
    for path in ("/webhooks/stranger", "/stranger", "/webhooks/shop/stranger"):
        await desk.shop.post(path, b"{}", {"X-Shopify-Topic": "stranger"})

    assert "stranger" not in (await desk.get("/metrics")).body.decode()


# -- documents ---------------------------------------------------------------------------------------------------------


def _problems(*modules: Any) -> set[tuple[str, str]]:
    """Status and type of every refusal in the source."""
    source = "".join(inspect.getsource(module) for module in modules)
    found = set(re.findall(r'Problem\(\s*(\d{3}),\s*"([a-z-]+)"', source))
    return found | {("503", name) for name in re.findall(r'_come_again\(\s*"([a-z-]+)"', source)}


def _documented(after: str, before: str) -> set[tuple[str, str]]:
    section = HTTP.read_text().partition(after)[2].partition(before)[0]
    return set(re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", section, re.MULTILINE))


def test_every_refusal_of_the_public_listener_is_documented() -> None:
    no_room = {("503", refusal.name) for refusal in REFUSALS.values()}

    assert _documented("On the public listener:", "On the private") == _problems(ingest, listener) | no_room


def test_every_refusal_of_the_private_listener_is_documented() -> None:
    others = {("404", "unknown-path"), ("405", "http")}  # what aiohttp's router raises

    assert (
        _documented("On the private listener:", "\x00")
        == _problems(acting, asked, gate, looking, previewing, sessions, watching) | others
    )


def test_every_refusal_of_the_private_listener_is_declared_for_its_document() -> None:
    declared = {
        (str(refusal.status), refusal.name)
        for refusal in vars(refusals).values()
        if isinstance(refusal, refusals.Refusal)
    }

    assert declared == _documented("On the private listener:", "\x00")


def test_every_endpoint_is_documented() -> None:
    text = HTTP.read_text()

    assert [route.path for route in ROUTES if f"`{route.method} {route.path}" not in text] == []


async def test_the_documented_answers_are_what_a_storefront_gets(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, _), Shop(relay.public_url) as shop:
        answers = [await shop.send(shopify_order(1001, 1), webhook_id="w1")]
        await relay.happenings.until(lambda: bool(relay.happenings.of(AttemptMade)))  # else the next state is merged
        answers += [
            await shop.send(shopify_order(1001, 1), webhook_id="w1"),
            await shop.send(shopify_order(1001, 3)),
            await shop.send(shopify_order(1001, 2)),
        ]
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=429, retry_after=100),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, _), Shop(relay.public_url) as shop:
        answers.append(await shop.send(shopify_order(1002, 1)))
        await relay.happenings.until(lambda: bool(relay.happenings.of(AttemptMade)))
        answers.append(await shop.send(shopify_order(1002, 2)))
        answers.append(await shop.send(b"{}", topic="carts/update"))
        answers.append(await shop.send(b"{}"))
    by_status = {answer.json["status"]: answer.body.decode() for answer in reversed(answers)}

    assert list(by_status) == ["quarantined", "ignored", "merged", "queued", "stale", "duplicate"]
    assert [status for status, body in by_status.items() if f"`{body}`" not in HTTP.read_text()] == []


async def test_the_documented_refusal_is_what_a_wrong_sale_gets(desk: Desk) -> None:
    line = SALE["lineItems"][0] | {"quantity": -1}
    bearer = {"Authorization": f"Bearer {TILL_SECRET}"}
    answer = await desk.shop.post("/orders", manual_sale(1, lineItems=[line]), bearer)

    assert answer.json == json.loads(_examples()[3])


def _examples() -> list[str]:
    return re.findall(r"```json\n(.*?)```", HTTP.read_text(), re.DOTALL)


def _shape(value: Any) -> Any:
    """Keys and kinds; a table of names is like its first entry, a list like its first item."""
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


async def test_the_documented_status_and_timeline_have_the_shape_of_the_real_ones(tmp_path: Path) -> None:
    storefronts = {"shop": {"kind": "shopify", "channel": "main", "secrets": ["shop-secret-5d1f"]}}
    async with relay_running(tmp_path, storefronts=storefronts) as (relay, jetti), Shop(relay.public_url) as shop:
        desk = Desk(relay, jetti, shop)
        await shop.send(shopify_order(1001))
        await desk.attempts(1)
        real = [(await desk.get(path)).json for path in ("/api/status", "/api/orders/1")]
        real.insert(0, await _replay_of_a_dead_letter(desk))

    assert [_shape(answer) for answer in real] == [_shape(json.loads(example)) for example in _examples()[:3]]


async def _replay_of_a_dead_letter(desk: Desk) -> Any:
    await desk.shop.send(b"[]")
    replay = (await desk.post(REPLAY, all=True, **WHO)).json["replay"]
    return replay | {"selection": replay["selection"] | {"code": "unmappable"}}


def test_every_disposition_is_explained() -> None:
    text = HTTP.read_text()

    assert [d.value for d in Disposition if f"`{d.value}`" not in text and f'"status":"{d.value}"' not in text] == []
