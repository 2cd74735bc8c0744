"""One trace from webhook to delivery: a real relay, its sandbox, the real OpenTelemetry, and a collector of ours."""

import hmac
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.clock import SystemClock
from relay.core.delivery import State
from relay.core.events import AttemptMade, EventAccepted, EventFound, ExportMoved, RequestRefused, Warned
from relay.core.trace import LINKS_MAX, STATE_MAX, Trace, again, kept, links, read
from relay.sandbox import Fault, RunningSandbox, sandbox
from tests.fakes import ORDER, SHOP_SECRET, TILL_SECRET, Answer, Shop, manual_sale, shopify_order, signed
from tests.fixtures import sample
from tests.otlp import Collector, Span, collector
from tests.running import (
    SHOP,
    TILL,
    UNLIMITED,
    RunningRelay,
    ServeProcess,
    clean_environ,
    command,
    relay_running,
    tables_for,
    written,
)
from tests.storefront_apis import SQUARESPACE_TOKEN, ApiFault, storefront_apis

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = f"00-{OTHER_TRACE}-b7ad6b7169203331-01"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
QUICK = {"main": {"retry": {"base_s": 0.02, "cap_s": 0.05}, "breaker": {"failures": 50}}}


@dataclass
class World:
    """A relay that makes traces, its neighbours, and who collects them."""

    relay: RunningRelay
    jetti: RunningSandbox
    shop: Shop
    collector: Collector = field(repr=False)

    async def send(self, number: int, minute: int = 0, /, **headers: str) -> Answer:
        """A webhook with these headers besides its own."""
        body = shopify_order(number, minute)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = signed(body, webhook_id=f"hook-{number}-{minute}") | named
        return await self.shop.post("/webhooks/shop", body, sent)

    async def act(self, what: str) -> None:
        """Pause or resume the channel."""
        await act(self.relay.private_url, what)

    async def attempts(self, count: int) -> list[AttemptMade]:
        """The attempts, once there are so many."""
        happenings = self.relay.happenings
        await happenings.until(lambda: len(happenings.of(AttemptMade)) >= count)
        return happenings.of(AttemptMade)

    @property
    def shown(self) -> list[str | None]:
        """What Jetti was shown, in the order of the requests."""
        return [received.traceparent for received in self.jetti.journal.after(0, 100)]


async def act(private_url: str, what: str) -> None:
    said = json.dumps({"by": "test", "why": "to see"}).encode()
    async with Shop(private_url) as desk:
        answer = await desk.post(f"/api/channels/main/{what}", said, {"Content-Type": "application/json"})
    assert answer.status == 200, answer.body


@asynccontextmanager
async def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, channels: Any = QUICK, storefronts: Any = None, **tracing: Any
) -> AsyncIterator[World]:
    for name, value in SOON.items():
        monkeypatch.setenv(name, value)
    async with collector() as collecting:
        asked = {"enabled": True, "endpoint": collecting.url} | tracing
        asked = {name: value for name, value in asked.items() if value is not None}
        running = relay_running(tmp_path, channels=channels, storefronts=storefronts, tracing=asked)
        async with running as (relay, jetti), Shop(relay.public_url) as shop:
            yield World(relay, jetti, shop, collecting)
            assert relay.happenings.defects == []


def place(span: Span) -> tuple[str, str]:
    return span.trace_id, span.span_id


# -- W3C Trace Context -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [""],
        [PARENT, PARENT],
        [PARENT.upper()],
        [PARENT[:-1]],
        [PARENT + "-more"],
        [PARENT.replace("00-", "ff-", 1)],
        [PARENT.replace(TRACE, "0" * 32)],
        [PARENT.replace(SPAN, "0" * 16)],
        [PARENT.replace("-", "_")],
        [PARENT.replace(TRACE, TRACE[:-1] + "g")],
        ["cc" + PARENT[2:] + "more"],
        ["é" * 55],
    ],
)
def test_what_is_no_traceparent_names_no_place(parents: list[str]) -> None:
    assert read(parents) is None


@pytest.mark.parametrize("parent", [PARENT, f" {PARENT}\t", "cc" + PARENT[2:], f"cc{PARENT[2:]}-what-will-be"])
def test_a_traceparent_is_read_and_also_one_of_a_later_version(parent: str) -> None:
    trace = read([parent])
    assert trace == Trace(TRACE, SPAN, True)
    assert trace.parent == PARENT


def test_of_the_flags_only_the_first_counts() -> None:
    assert [read([PARENT[:-2] + flags]) for flags in ("00", "02", "03")] == [
        Trace(TRACE, SPAN, False),
        Trace(TRACE, SPAN, False),
        Trace(TRACE, SPAN, True),
    ]


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([], ""),
        (["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (["rojo=1", " congo=2 , ,", ""], "rojo=1,congo=2"),
        (["tenant@vendor=x:y;z"], "tenant@vendor=x:y;z"),
        (["rojo=1,congo"], ""),
        (["Rojo=1"], ""),
        (["rojo=1\r\nX: y"], ""),
        (["rojo=é"], ""),
        ([",".join(f"a{n}=1" for n in range(33))], ""),
        (["a=" + "x" * 256, "b=" + "x" * (STATE_MAX - 261)], "a=" + "x" * 256 + ",b=" + "x" * (STATE_MAX - 261)),
        (["a=" + "x" * 256, "b=" + "x" * (STATE_MAX - 260)], ""),
    ],
)
def test_a_tracestate_goes_on_as_it_came_or_not_at_all(states: list[str], state: str) -> None:
    trace = read([PARENT], states)
    assert trace is not None
    assert trace.state == state
    assert trace.headers == ({"traceparent": PARENT} | ({"tracestate": state} if state else {}))
    assert again(kept(trace) or "") == trace


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_is_sent_is_read_without_a_fault(parent: str, state: str) -> None:
    found = read([parent], [state])
    assert found is None or len(found.parent) == 55


def test_what_is_kept_is_bounded_and_what_is_damaged_is_no_place() -> None:
    assert kept(None) is None
    assert kept(Trace(TRACE, SPAN, True)) == PARENT
    assert [again(text) for text in ("", "x", PARENT[:-3])] == [None, None, None]


def test_links_name_each_other_trace_once_and_only_so_many() -> None:
    above = Trace(TRACE, SPAN, True)
    others = [Trace(f"{n:032x}", SPAN, True) for n in range(1, 50)]
    assert links(above, [above, above.below("1" * 16), others[0], others[0]]) == (others[0],)
    assert links(above, others) == tuple(others[:LINKS_MAX])
    assert links(None, []) == ()


# -- one trace -------------------------------------------------------------------------------------------------------


async def test_one_trace_goes_from_the_webhook_over_a_retry_to_the_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, monkeypatch, service_name="shop-relay") as at:
        await at.jetti.impose(Fault(status=503, count=1))
        answer = await at.send(1001, traceparent=PARENT, tracestate="rojo=1")
        await at.attempts(2)
        first, second = await at.collector.of("deliver", 2)
        (webhook,), (commit,) = await at.collector.of("webhook"), await at.collector.of("commit")
        sales = await at.collector.of("sale", 2)

    spans = [webhook, commit, *sales, first, second]
    assert {span.trace_id for span in spans} == {TRACE}
    assert {span.service for span in spans} == {"shop-relay"}
    assert {span.state for span in spans} == {"rojo=1"}
    assert len({span.span_id for span in spans}) == len(spans) == len(at.collector.spans)
    assert webhook.parent_id == SPAN
    assert {span.parent_id for span in (commit, *sales, first, second)} == {webhook.span_id}
    assert [span.kind for span in spans] == ["SERVER", "INTERNAL", "INTERNAL", "INTERNAL", "CLIENT", "CLIENT"]
    assert at.shown == [f"00-{TRACE}-{span.span_id}-01" for span in (first, second)]

    assert webhook.attributes == {
        "http.request.method": "POST",
        "http.route": "/webhooks/{storefront}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/webhooks/shop",
        "order_relay.storefront": "shop",
        "order_relay.topic": "orders/create",
        "order_relay.disposition": "queued",
        "order_relay.event.id": answer.json["event"],
        "order_relay.event.bytes": len(shopify_order(1001)),
        "order_relay.order": "1001",
        "order_relay.revision": 1,
    }
    endpoint = at.relay.settings.channels["main"].async_url
    common = {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": at.jetti.port,
        "url.full": endpoint,
        "order_relay.channel": "main",
        "order_relay.storefront": "shop",
        "order_relay.order": "1001",
        "order_relay.revision": 1,
    }
    assert common.items() <= first.attributes.items()
    assert common.items() <= second.attributes.items()
    told = ("http.response.status_code", "order_relay.outcome", "order_relay.attempts", "order_relay.state")
    assert [first.attributes[name] for name in told] == [503, "failed", 1, "sleeping"]
    assert [second.attributes[name] for name in told] == [200, "sent", 2, "sent"]
    assert (first.is_error, second.is_error) == (True, False)
    assert first.attributes["error.type"]
    assert webhook.began_ns <= commit.began_ns <= commit.ended_ns <= webhook.ended_ns
    assert webhook.ended_ns <= sales[0].ended_ns <= first.began_ns <= first.ended_ns <= second.began_ns
    assert second.ended_ns - webhook.began_ns < 30e9


async def test_the_trace_goes_on_after_the_relay_was_killed_between_accepting_and_delivering(tmp_path: Path) -> None:
    async with collector() as collecting, sandbox(UNLIMITED) as jetti:
        tables = tables_for(jetti.url, tmp_path, tracing={"enabled": True})
        environ = SOON | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collecting.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=from-the-environment",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=from-the-environment",
        }
        async with ServeProcess(written(tmp_path, tables), environ) as relay:
            await act(relay.private_url, "pause")
            async with Shop(relay.url) as shop:
                body = shopify_order(7)
                sent = signed(body, webhook_id="hook") | {"traceparent": PARENT, "tracestate": "rojo=1"}
                assert (await shop.post("/webhooks/shop", body, sent)).status == 200
            (webhook,) = await collecting.of("webhook")
            assert await relay.kill() < 0
            await relay.start()
            await act(relay.private_url, "resume")
            (delivered,) = await collecting.of("deliver")
            assert await relay.terminate() == 0
        (received,) = jetti.journal.after(0, 10)

    assert (delivered.trace_id, delivered.parent_id, delivered.state) == (TRACE, webhook.span_id, "rojo=1")
    assert received.traceparent == f"00-{TRACE}-{delivered.span_id}-01"
    assert {span.service for span in collecting.spans} == {"from-the-environment"}
    assert {headers["x-key"] for headers in collecting.headers} == {"from-the-environment"}
    lines = [line for line in relay.log_lines if line["event"] in ("event", "attempt")]
    assert [line["trace_id"] for line in lines] == [TRACE, TRACE]


async def test_a_delivery_goes_on_with_its_newest_event_and_links_those_that_were_merged_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, monkeypatch) as at:
        await at.act("pause")
        await at.send(1, 1, traceparent=OTHER)
        await at.send(1, 2)
        await at.send(1, 3, traceparent=PARENT)
        await at.send(1, 0, traceparent=PARENT.replace("4", "5"))  # stale: no part of it
        await at.act("resume")
        (delivered,) = await at.collector.of("deliver")
        webhooks = {span.attributes.get("order_relay.revision"): span for span in await at.collector.of("webhook", 4)}
        await at.send(1, 4)  # what was delivered before is none of this one's
        _, last = await at.collector.of("deliver", 2)

    assert (delivered.trace_id, delivered.parent_id) == (TRACE, webhooks[3].span_id)
    assert delivered.links == (place(webhooks[2]), place(webhooks[1]))
    assert webhooks[1].trace_id == OTHER_TRACE
    assert last.links == ()
    assert last.trace_id not in {span.trace_id for span in webhooks.values()}


async def test_each_sale_of_a_request_has_a_span_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, monkeypatch) as at:
        sales = b"[" + b",".join(manual_sale(number) for number in (1, 2, 3)) + b"]"
        headers = {"Authorization": f"Bearer {TILL_SECRET}", "traceparent": PARENT, "Content-Type": "application/json"}
        assert (await at.shop.post("/orders", sales, headers)).status == 202
        webhooks = await at.collector.of("webhook", 3)
        delivered = await at.collector.of("deliver", 3)

    assert {span.parent_id for span in webhooks} == {SPAN}
    assert {(s.attributes["order_relay.order"], s.span_id) for s in webhooks} == {
        (s.attributes["order_relay.order"], s.parent_id) for s in delivered
    }
    assert {(s.attributes["http.route"], s.attributes["http.response.status_code"]) for s in webhooks} == {
        ("/orders", 202)
    }


@pytest.mark.parametrize("parent", ["", "nonsense", PARENT.upper(), PARENT.replace(TRACE, "0" * 32)])
async def test_a_malformed_traceparent_costs_nothing_but_the_trace(
    parent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, monkeypatch) as at:
        assert (await at.send(1, traceparent=parent, tracestate="rojo=1")).status == 200
        (webhook,), (delivered,) = await at.collector.of("webhook"), await at.collector.of("deliver")

    assert webhook.trace_id == delivered.trace_id != TRACE
    assert (webhook.parent_id, webhook.state, delivered.parent_id) == ("", "", webhook.span_id)


async def test_an_order_from_before_traces_were_made_begins_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relay_running(tmp_path) as (relay, _), Shop(relay.public_url) as shop:
        await act(relay.private_url, "pause")
        body = shopify_order(1)
        await shop.post("/webhooks/shop", body, signed(body, webhook_id="hook") | {"traceparent": PARENT})
    async with world(tmp_path, monkeypatch) as at:
        await at.act("resume")
        (delivered,), (sale,) = await at.collector.of("deliver"), await at.collector.of("sale")

    assert delivered.parent_id == ""
    assert delivered.trace_id != TRACE
    assert (sale.trace_id, sale.parent_id) == place(delivered)


# -- what is recorded ------------------------------------------------------------------------------------------------


async def recorded(at: World, **headers: str) -> tuple[bool, str]:
    """Whether a webhook's trace is recorded, and the flags that Jetti is shown."""
    await at.send(1, **headers)
    (made,) = await at.attempts(1)
    assert made.trace is not None
    return made.trace.sampled, (at.shown[0] or "")[-2:]


UNSAMPLED = PARENT[:-2] + "00"


@pytest.mark.parametrize(
    ("trust", "ratio", "parent", "flags"),
    [
        (False, 1, UNSAMPLED, "01"),
        (False, 0, PARENT, "00"),
        (True, 1, UNSAMPLED, "00"),
        (True, 0, PARENT, "01"),
        (True, 0, "", "00"),
        (True, 1, "", "01"),
    ],
)
async def test_the_relay_decides_what_is_recorded_unless_its_storefronts_are_trusted(
    trust: bool, ratio: float, parent: str, flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, monkeypatch, trust_parent=trust, sample_ratio=ratio) as at:
        assert await recorded(at, traceparent=parent) == (flags == "01", flags)
        if parent:
            assert (at.shown[0] or "").split("-")[1] == TRACE
        if flags == "01":
            await at.collector.of("deliver")
    assert bool(at.collector.spans) is (flags == "01")


async def test_where_the_configuration_is_silent_the_variable_says_what_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with world(tmp_path, monkeypatch) as at:
        assert await recorded(at) == (False, "00")


async def test_who_has_not_proved_who_they_are_makes_no_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, monkeypatch) as at:
        body = shopify_order(1)
        for path, headers in (
            ("/webhooks/shop", signed(body, secret="wrong")),
            ("/webhooks/nobody", signed(body)),
            ("/orders", {"Authorization": "Bearer wrong"}),
        ):
            assert (await at.shop.post(path, body, headers | {"traceparent": PARENT})).status in (401, 404)
        assert [refused.trace for refused in at.relay.happenings.of(RequestRefused)] == [None] * 3
        token = {"Authorization": f"Bearer {TILL_SECRET}", "traceparent": PARENT, "Content-Type": "application/json"}
        assert (await at.shop.post("/api/channels/1/manual-sale.json", b'{"x": 1}', token)).status == 422
        (refused,) = await at.collector.of("webhook")

    assert (refused.trace_id, refused.is_error, refused.attributes["error.type"]) == (TRACE, False, "invalid-sale")
    assert refused.attributes["http.route"] == "/api/channels/{id}/manual-sale.json"
    assert len(at.collector.spans) == 1


async def test_spans_hold_no_personal_data_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, monkeypatch, headers="x-key=collectors-key-51") as at:
        await at.jetti.impose(Fault(status=422, title="api.errors.invalid", count=1))
        await at.send(1001)
        await at.send(1002)
        await at.collector.of("deliver", 2)

    sent = b"".join(at.collector.bodies)
    personal = {ORDER["email"], ORDER["shipping_address"]["last_name"], ORDER["shipping_address"]["address1"]}
    secrets = {SHOP_SECRET, UNLIMITED.webhook_hash, "collectors-key-51"}
    assert [word for word in personal | secrets if word.encode() in sent] == []
    assert {headers["x-key"] for headers in at.collector.headers} == {"collectors-key-51"}


# -- a collector that is not there -----------------------------------------------------------------------------------


async def test_a_collector_that_is_not_there_is_one_line_and_costs_nothing(tmp_path: Path) -> None:
    async with sandbox(UNLIMITED) as jetti:
        refused = {"enabled": True, "endpoint": "http://127.0.0.1:9", "headers": "x-key=collectors-key-51"}
        environ = SOON | {"OTEL_BSP_MAX_QUEUE_SIZE": "16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
        environ |= {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.3"}
        relay = ServeProcess(written(tmp_path, tables_for(jetti.url, tmp_path, tracing=refused)), environ)
        async with relay, Shop(relay.url) as shop:
            answers = [await shop.send(shopify_order(number)) for number in range(1, 61)]
            assert {answer.status for answer in answers} == {200}
            clock = SystemClock()
            began = clock.monotonic()
            while jetti.journal.last_seq < 60 or not any(line["event"] == "tracing" for line in relay.log_lines):
                assert clock.monotonic() < began + 20
                await clock.sleep(0.05)
            await clock.sleep(1.5)  # a few more exports fail
            assert await relay.terminate() == 0

    (line,) = [line for line in relay.log_lines if line["event"] == "tracing"]
    assert line["level"] == "warning"
    assert line["why"].startswith("127.0.0.1:9: ")
    assert "collectors-key-51" not in relay.log
    assert [line for line in relay.log_lines if line["event"] == "library"] == []
    assert "opentelemetry" not in relay.log.replace(line["why"], "")


async def test_a_collector_that_refuses_and_then_takes_is_told_of_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, monkeypatch, headers="x-key=collectors-key-51") as at:
        at.collector.status = 400
        happenings = at.relay.happenings
        await at.send(1)
        await happenings.until(lambda: bool(happenings.of(ExportMoved)))
        await at.send(2)
        await at.attempts(2)
        at.collector.status = 200
        await at.send(3)
        await happenings.until(lambda: len(happenings.of(ExportMoved)) > 1)
        began, ended = happenings.of(ExportMoved)

    assert (began.failing, ended.failing) == (True, False)
    assert "400" in began.why
    assert ended.lost >= 1


async def test_stopping_does_not_wait_for_a_collector_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SystemClock()
    async with world(tmp_path, monkeypatch) as at:
        at.collector.status = 503
        await at.send(1)
        await at.attempts(1)
        stopping = clock.monotonic()
    assert clock.monotonic() - stopping < 5


# -- off, and not there ----------------------------------------------------------------------------------------------


def traces_kept(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "relay.db")) as store:
        return [text for (text,) in store.execute("SELECT trace FROM events WHERE trace IS NOT NULL")]


async def test_by_default_nothing_is_kept_and_nothing_is_sent(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, jetti), Shop(relay.public_url) as shop:
        body = shopify_order(1)
        headers = signed(body, webhook_id="hook") | {"traceparent": PARENT, "tracestate": "rojo=1"}
        assert (await shop.post("/webhooks/shop", body, headers)).status == 200
        await relay.happenings.until(lambda: bool(relay.happenings.of(AttemptMade)))
        (received,) = jetti.journal.after(0, 10)
        (made,), (accepted,) = relay.happenings.of(AttemptMade), relay.happenings.of(EventAccepted)
    assert (received.traceparent, made.trace, accepted.trace) == (None, None, None)
    assert traces_kept(tmp_path) == []


async def test_what_was_kept_is_not_sent_once_traces_are_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, monkeypatch) as at:
        await at.act("pause")
        await at.send(1, traceparent=PARENT)
    assert [text.split("-")[1] for text in traces_kept(tmp_path)] == [TRACE]
    async with relay_running(tmp_path) as (relay, jetti):
        await act(relay.private_url, "resume")
        await relay.happenings.until(lambda: bool(relay.happenings.of(AttemptMade)))
        (received,) = jetti.journal.after(0, 10)
    assert received.traceparent is None


async def test_opentelemetrys_own_switch_turns_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    async with world(tmp_path, monkeypatch) as at:
        await at.send(1, traceparent=PARENT)
        await at.attempts(1)
        assert at.shown == [None]
        assert any("OTEL_SDK_DISABLED" in warned.what for warned in at.relay.happenings.of(Warned))


async def test_variables_that_ask_for_grpc_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    async with world(tmp_path, monkeypatch, endpoint=None) as at:
        (warned,) = [warned for warned in at.relay.happenings.of(Warned) if "grpc" in warned.what]
    assert "tracing.endpoint" in warned.remedy


async def test_without_the_extra_it_is_said_how_to_install_it(tmp_path: Path) -> None:
    """The packages are there, and made as if they were not: Python then refuses to import them."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
    environ = {"PYTHONPATH": str(tmp_path)}
    async with sandbox(UNLIMITED) as jetti:
        asked = written(tmp_path, tables_for(jetti.url, tmp_path, tracing={"enabled": True}))
        came_to = await command("serve", "--config", str(asked), folder=tmp_path, environ=environ)
        said = " ".join((came_to.out + came_to.err).split())
        assert came_to.code != 0
        assert "tracing.enabled" in said
        assert "pip install 'order-relay[tracing]'" in said
        silent = written(tmp_path, tables_for(jetti.url, tmp_path), "silent.toml")
        async with ServeProcess(silent, environ) as relay, Shop(relay.url) as shop:
            assert (await shop.send(shopify_order(1))).status == 200


async def test_opentelemetry_is_not_even_imported_where_no_traces_are_made() -> None:
    import asyncio

    code = "import sys, relay.app, relay.cli; print([name for name in sys.modules if name.startswith('opentel')])"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=clean_environ()
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "[]"


# -- fetched, and cancelled ------------------------------------------------------------------------------------------


async def test_the_trace_of_a_webhook_that_only_names_its_order_goes_over_the_fetch_to_jetti(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with storefront_apis() as apis:
        order = json.loads(sample("squarespace-order.json"))
        apis.put_squarespace(order)
        apis.impose(ApiFault(status=500))
        fetch = {"rate": 1000, "burst": 10, "wait_s": 0.05, "retry": {"base_s": 0.02, "cap_s": 0.05}}
        table = {"kind": "squarespace", "channel": "main", "secrets": ["ab" * 32], "api_token": SQUARESPACE_TOKEN}
        thin = {"shop": table | {"api_url": apis.url, "fetch": fetch}}
        async with world(tmp_path, monkeypatch, storefronts=thin) as at:
            body = json.dumps(
                {
                    "id": "note-1",
                    "websiteId": "site",
                    "topic": "order.create",
                    "createdOn": "2026-11-21T12:00:00Z",
                    "data": {"orderId": order["id"]},
                }
            ).encode()
            signature = hmac.digest(bytes.fromhex("ab" * 32), body, "sha256").hex()
            headers = {"Squarespace-Signature": signature, "Content-Type": "application/json", "traceparent": PARENT}
            answer = await at.shop.post("/webhooks/shop", body, headers)
            assert answer.status == 200, answer.body
            (delivered,) = await at.collector.of("deliver")
            first, second = await at.collector.of("fetch", 2)
            (webhook,) = await at.collector.of("webhook")

    assert {span.trace_id for span in at.collector.spans} == {TRACE}
    assert (first.parent_id, second.parent_id) == (webhook.span_id, webhook.span_id)
    assert delivered.parent_id == second.span_id
    assert delivered.links == ()  # the webhook is in the same trace
    assert apis.traceparents == [f"00-{TRACE}-{span.span_id}-01" for span in (first, second)]
    assert at.shown == [f"00-{TRACE}-{delivered.span_id}-01"]
    assert (first.is_error, second.is_error) == (True, False)
    assert second.attributes["server.port"] == int(apis.url.rpartition(":")[2])
    assert "url.full" not in second.attributes


async def test_a_cancel_call_goes_on_with_the_trace_of_the_cancellation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calling = {"shop": {**SHOP, "cancellations": "call"}, "till": TILL}
    channel = {"token": UNLIMITED.token, "channel_id": 1, "cancel_rate": 1000, "cancel_after_s": 0}
    async with world(tmp_path, monkeypatch, storefronts=calling, channels={"main": channel}) as at:
        await at.send(1, traceparent=OTHER)
        await at.attempts(1)
        body = shopify_order(1, 2, cancelled_at="2026-11-21T12:00:00-05:00", cancel_reason="customer")
        headers = signed(body, topic="orders/cancelled", webhook_id="last") | {"traceparent": PARENT}
        assert (await at.shop.post("/webhooks/shop", body, headers)).status == 200
        (cancelled,) = await at.collector.of("cancel")
        _, webhook = await at.collector.of("webhook", 2)

    assert (cancelled.trace_id, cancelled.parent_id) == (TRACE, webhook.span_id)
    assert cancelled.attributes["order_relay.outcome"] == "cancelled"
    assert {span.trace_id for span in at.collector.spans if span.name == "sale"} == {TRACE, OTHER_TRACE}


async def test_what_the_inspector_finds_is_told_with_its_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"shop": {**SHOP, "accept_when": "order.financial_status == 'never'"}}
    async with world(tmp_path, monkeypatch, storefronts=held) as at:
        await at.act("pause")  # so that nobody else looks at it
        await at.send(1, traceparent=PARENT)
        await at.relay.happenings.until(lambda: bool(at.relay.happenings.of(EventFound)))
        (found,) = at.relay.happenings.of(EventFound)
        (order,) = await at.relay.store.find("1")
    assert order.state is State.HELD
    assert found.trace is not None
    assert found.trace.trace_id == TRACE
