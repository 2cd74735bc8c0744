"""The private listener, over real sockets: health, metrics, looking, and who may look. And its reference is true."""

import asyncio
import inspect
import json
import logging
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay import api as api_module
from relay import ingest, listener
from relay.clock import SystemClock
from relay.core.events import AttemptMade, EventFound, Unexpected, Warned
from relay.core.order import Disposition
from relay.sandbox import Fault, RunningSandbox, SandboxSettings
from tests.fakes import SALE, TILL_SECRET, Answer, Shop, Wire, fetched, manual_sale, request, shopify_order
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

    async def attempts(self, count: int) -> None:
        await self.relay.happenings.until(lambda: len(self.relay.happenings.of(AttemptMade)) >= count)


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

    assert channel["orders"]["sleeping"] == 1
    assert 90 < channel["paused_s"] <= channel["drain_s"] <= 101


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/", 404, "unknown-path"), ("/api", 404, "unknown-path"), ("/webhooks/shop", 404, "unknown-path"),
        ("/api/orders", 400, "no-reference"), ("/api/orders?reference=%20", 400, "no-reference"),
        ("/api/orders?reference=%00", 400, "no-reference"), ("/api/orders/1", 404, "unknown-order"),
        ("/api/orders/x", 404, "unknown-order"), ("/api/orders/-1", 404, "unknown-order"),
        ("/api/orders/%C2%B2", 404, "unknown-order"), ("/api/orders/" + "9" * 19, 404, "unknown-order"),
        ("/api/orders/" + "9" * 5000, 404, "unknown-order"), ("/api/orders/%2e%2e", 404, "unknown-order"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
async def test_a_wrong_question_is_a_problem(desk: Desk, path: str, status: int, kind: str) -> None:
    async with Wire(desk.relay.private_url) as wire:
        await wire.write(request(f"GET {path} HTTP/1.1".encode(), headers={}))
        answer = await wire.answer()

    assert answer is not None
    assert (answer.status, answer.type) == (status, kind)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query", ["reference=%ff%fe", "reference=%F0%9F%98%80", "reference='--", "reference=" + "9" * 5000, "reference=%25"]
)
async def test_an_odd_reference_finds_nothing_and_breaks_nothing(desk: Desk, query: str) -> None:
    async with Wire(desk.relay.private_url) as wire:
        await wire.write(request(f"GET /api/orders?{query} HTTP/1.1".encode(), headers={}))
        answer = await wire.answer()

    assert answer is not None
    assert (answer.status, answer.json) == (200, {"orders": []})


@pytest.mark.parametrize("limit", ["0", "x", "-1", "", "9" * 5000, "1e3"])
async def test_an_odd_limit_is_no_error(desk: Desk, limit: str) -> None:
    assert (await desk.get(f"/api/dead-letters?limit={limit}")).status == 200


async def test_a_method_that_is_not_for_this_path_is_405_and_says_which_is(desk: Desk) -> None:
    async with Wire(desk.relay.private_url) as wire:
        await wire.write(request(b"DELETE /api/status HTTP/1.1", headers={}))
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
        'relay_channel_pauses_total{cause="throttled",channel="main"} 1.0',
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
    assert _documented("On the public listener:", "On the private") == _problems(ingest, listener)


def test_every_refusal_of_the_private_listener_is_documented() -> None:
    others = {("404", "unknown-path"), ("405", "http")}  # what aiohttp's router raises

    assert _documented("On the private listener:", "\x00") == _problems(api_module) | others


def test_every_endpoint_is_documented() -> None:
    routes = re.findall(r'add_(get|post)\("(\S+)",', inspect.getsource(api_module.api))
    text = HTTP.read_text()

    assert routes
    assert [route for method, route in routes if f"`{method.upper()} {route}" not in text] == []


async def test_the_documented_answers_are_what_a_storefront_gets(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, _), Shop(relay.public_url) as shop:
        answers = [
            await shop.send(shopify_order(1001, 1), webhook_id="w1"),
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

    assert answer.json == json.loads(_examples()[2])


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

    assert [_shape(answer) for answer in real] == [_shape(json.loads(example)) for example in _examples()[:2]]


def test_every_disposition_is_explained() -> None:
    text = HTTP.read_text()

    assert [d.value for d in Disposition if f"`{d.value}`" not in text and f'"status":"{d.value}"' not in text] == []
