"""Thin storefronts, from the signed webhook over the storefront's API to Jetti's endpoint, over real sockets."""

import asyncio
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from relay.clock import SystemClock
from relay.core import instant
from relay.core.breaker import Circuit
from relay.core.delivery import Lane, State
from relay.core.events import AttemptMade, CircuitMoved
from relay.core.order import Order
from relay.doctor import examine
from relay.sandbox import RunningSandbox, SandboxSettings, sandbox
from relay.store import Revival
from relay.store.places import of_event
from tests.fakes import MADE_AT, Answer, Shop, fetched
from tests.fixtures import sample
from tests.running import (
    UNLIMITED,
    RunningRelay,
    ServeProcess,
    command,
    relay_running,
    settings_from,
    tables_for,
    written,
)
from tests.storefront_apis import (
    BIGCOMMERCE_STORE,
    BIGCOMMERCE_TOKEN,
    SQUARESPACE_TOKEN,
    Allowance,
    ApiFault,
    StorefrontApis,
    storefront_apis,
)

BIG: dict[str, Any] = json.loads(sample("bigcommerce-order.json"))
SQUARE: dict[str, Any] = json.loads(sample("squarespace-order.json"))
SECRET = "hush-or-be-heard-5d1f"
HEX = "ab" * 32
FETCH = "fetch:shop"
WAIT_S = 0.15
FAST = {"rate": 1000, "burst": 10, "wait_s": WAIT_S, "retry": {"base_s": 0.05, "cap_s": 0.2}}
_made = count(1_795_000_000)
MADE_ON = formatdate((instant.parse(MADE_AT) or 0) / instant.SECOND)
"""The same as BigCommerce writes it."""


@dataclass
class Kind:
    """How one kind of thin storefront speaks, and what its API has."""

    table: Callable[[str], Mapping[str, Any]]
    """Of the API's address."""
    path: Callable[[int], str]
    """Of an order in the API."""
    put: Callable[..., None]
    """An order as of a minute becomes what the API has."""
    hook: Callable[[int], tuple[bytes, Mapping[str, str]]]
    """A webhook that never was before."""
    requests: int
    """That an order takes."""
    cancelled: Mapping[str, Any]
    ignored: Mapping[str, Any]


def put_big(apis: StorefrontApis, number: int, minute: int, **changes: Any) -> None:
    at = f"Sat, 21 Nov 2026 19:{minute:02}:07 +0000"
    made = {"id": number, "date_created": MADE_ON, "date_modified": at, "customer_message": f"minute {minute}"}
    order = BIG["order"] | made | changes
    addresses = BIG["shipping_addresses"]
    apis.put_bigcommerce(order, products=BIG["products"], shipping_addresses=addresses)


def put_square(apis: StorefrontApis, number: int, minute: int, **changes: Any) -> None:
    at = f"2026-11-21T19:{minute:02}:07Z"
    notes = [{"label": "Note", "value": f"minute {minute}"}]
    made = {"id": f"sq-{number}", "createdOn": MADE_AT, "modifiedOn": at, "formSubmission": notes}
    apis.put_squarespace(SQUARE | made | changes)


def hook_of_big(number: int) -> tuple[bytes, Mapping[str, str]]:
    data = {"type": "order", "id": number}
    made = {"producer": f"stores/{BIGCOMMERCE_STORE}", "hash": f"h{number}", "created_at": next(_made), "data": data}
    return json.dumps({"scope": "store/order/updated", "store_id": "1", **made}).encode(), {"X-Relay-Secret": SECRET}


def hook_of_square(number: int) -> tuple[bytes, Mapping[str, str]]:
    made = {"id": f"hook-{next(_made)}", "topic": "order.update", "createdOn": "2026-11-21T19:00:00Z"}
    body = json.dumps({**made, "websiteId": "w", "subscriptionId": "s", "data": {"orderId": f"sq-{number}"}}).encode()
    return body, {"Squarespace-Signature": hmac.new(bytes.fromhex(HEX), body, "sha256").hexdigest()}


KINDS = {
    "bigcommerce": Kind(
        lambda url: {
            "kind": "bigcommerce",
            "secrets": [SECRET],
            "store_hash": BIGCOMMERCE_STORE,
            "api_token": BIGCOMMERCE_TOKEN,
            "api_url": url,
        },
        lambda number: f"/stores/{BIGCOMMERCE_STORE}/v2/orders/{number}",
        put_big,
        hook_of_big,
        3,
        {"status_id": 5},
        {"status_id": 0},
    ),
    "squarespace": Kind(
        lambda url: {"kind": "squarespace", "secrets": [HEX], "api_token": SQUARESPACE_TOKEN, "api_url": url,
                     "form_submission": True},
        lambda number: f"/1.0/commerce/orders/sq-{number}",
        put_square,
        hook_of_square,
        1,
        {"fulfillmentStatus": "CANCELED"},
        {"testmode": True},
    ),
}  # fmt: skip


@dataclass
class Stage:
    """A thin storefront, its API, a relay and Jetti."""

    kind: Kind
    apis: StorefrontApis
    relay: RunningRelay
    jetti: RunningSandbox
    shop: Shop

    async def hook(self, number: int) -> Answer:
        return await announce(self.shop, self.kind, number)

    def put(self, number: int, minute: int, **changes: Any) -> None:
        self.kind.put(self.apis, number, minute, **changes)

    def fetches(self, number: int) -> int:
        """How often the order was asked for."""
        return self.apis.requested[self.kind.path(number)]

    async def order(self, number: int) -> Order:
        (order,) = await self.relay.store.find(self.external_id(number))
        return order

    def external_id(self, number: int) -> str:
        return self.kind.path(number).rpartition("/")[2]

    def minutes(self, number: int) -> list[int]:
        """Which states of the order Jetti was sent."""
        return minutes_at(self.jetti, self.external_id(number))

    def attempts(self, outcome: str, channel: str = FETCH) -> list[AttemptMade]:
        made = self.relay.happenings.of(AttemptMade)
        return [attempt for attempt in made if (attempt.outcome, attempt.channel) == (outcome, channel)]

    async def until(self, happened: Callable[[], bool], seconds: float = 10.0) -> None:
        await self.relay.happenings.until(happened, seconds)

    async def rests(self, number: int, state: State) -> Order:
        """The order, once it has come to a state."""
        async with asyncio.timeout(10):
            while (order := await self.order(number)).state is not state or order.lease is not None:
                await SystemClock().sleep(0.01)
        return order


def minutes_at(imitated: RunningSandbox, external_id: str) -> list[int]:
    requests = imitated.journal.after(0, 100_000)
    sales = [(r.payload or b"").decode() for r in requests if r.external_id == external_id]
    return [next(minute for minute in range(59, -1, -1) if f"minute {minute}" in sale) for sale in sales]


async def announce(shop: Shop, kind: Kind, number: int, hook: tuple[bytes, Mapping[str, str]] | None = None) -> Answer:
    body, headers = hook or kind.hook(number)
    return await shop.post("/webhooks/shop", body, {"Content-Type": "application/json", **headers})


@asynccontextmanager
async def stage(
    tmp_path: Path,
    kind: Kind = KINDS["bigcommerce"],
    *,
    fetch: Mapping[str, Any] | None = None,
    apis: StorefrontApis | None = None,
    jetti: SandboxSettings = UNLIMITED,
    channels: Mapping[str, Any] | None = None,
    **keys: Any,
) -> AsyncIterator[Stage]:
    async with storefront_apis(apis) as running:
        running.bigcommerce_quota.quota = running.bigcommerce_quota.quota if apis else 100_000
        running.squarespace_quota.quota = running.squarespace_quota.quota if apis else 100_000
        table = {"channel": "main", **kind.table(running.url), "fetch": FAST | dict(fetch or {}), **keys}
        storefronts = {"shop": table}
        async with (
            relay_running(tmp_path, storefronts=storefronts, jetti=jetti, channels=channels) as (relay, imitated),
            Shop(relay.public_url) as shop,
        ):
            yield Stage(kind, running, relay, imitated, shop)


both = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@both
async def test_an_orders_life_from_its_first_webhook_to_its_cancellation(kind: Kind, tmp_path: Path) -> None:
    async with stage(tmp_path, kind) as at:
        at.put(1, 1)
        new = await at.hook(1)
        assert (new.status, new.json["status"], new.json["order"], new.json["revision"]) == (
            200, "queued", at.external_id(1), 1,
        )  # fmt: skip
        assert at.fetches(1) == 0, "nothing is fetched inside the request"
        await at.until(lambda: len(at.attempts("sent", "main")) == 1)
        assert (await at.order(1)).lane is Lane.NEW
        at.put(1, 5)
        assert (await at.hook(1)).json["status"] == "queued"
        await at.until(lambda: len(at.attempts("sent", "main")) == 2)
        at.put(1, 9, **kind.cancelled)
        await at.hook(1)
        await at.until(lambda: len(at.attempts("sent", "main")) == 3)
        order = await at.rests(1, State.SENT)
        sales = [json.loads(r.payload or b"") for r in at.jetti.journal.after(0, 100)]
        timeline = await at.relay.store.timeline(order.id)

    assert at.relay.happenings.defects == []
    assert (at.minutes(1), at.fetches(1)) == ([1, 5, 9], 3)
    assert [sale["saleDefaults"].get("cancelled", False) for sale in sales] == [False, False, True]
    assert (order.channel, order.revision, order.attempts) == ("main", 6, 1)
    assert timeline is not None
    assert [of_event(event, timeline).name for event in timeline.events] == ["superseded", "delivered"] * 3
    assert [attempt.outcome for attempt in timeline.attempts] == ["fetched", "sent"] * 3


@both
async def test_an_order_is_fetched_once_for_however_many_hooks_wait(kind: Kind, tmp_path: Path) -> None:
    async with stage(tmp_path, kind, fetch={"wait_s": 1.5}) as at:
        at.put(1, 1)
        answers = [await at.hook(1) for _ in range(20)]
        repeated = kind.hook(1)
        first, again = [await announce(at.shop, kind, 1, repeated) for _ in range(2)]
        await at.rests(1, State.SENT)

    assert [answer.json["status"] for answer in answers] == ["queued"] + ["merged"] * 19
    assert (first.json["status"], again.json["status"]) == ("merged", "duplicate")
    assert (at.fetches(1), sum(at.apis.requested.values()), at.minutes(1)) == (1, kind.requests, [1])


async def test_hooks_during_the_fetch_bring_another_and_never_an_older_state(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        at.put(1, 1)
        at.apis.impose(ApiFault(latency_s=0.4, path="/1"))
        await at.hook(1)
        await _asked(at, 1)
        at.put(1, 7)
        hooks = [(await at.hook(1)).json["status"] for _ in range(3)]
        order = await at.rests(1, State.SENT)

    assert hooks == ["queued", "merged", "merged"]
    assert (at.fetches(1), at.minutes(1)) == (2, [7])
    assert order.attempts == 1
    assert at.relay.happenings.defects == []


async def _asked(at: Stage, number: int, times: int = 1) -> None:
    async with asyncio.timeout(10):
        while at.fetches(number) < times:
            await SystemClock().sleep(0.005)


async def test_a_hook_during_delivery_is_fetched_after_it_and_delivered_after_it(tmp_path: Path) -> None:
    slow = SandboxSettings(async_rate=None, sync_rate=None, latency_s=0.5)
    async with stage(tmp_path, jetti=slow) as at:
        at.put(1, 1)
        await at.hook(1)
        await at.until(lambda: len(at.attempts("fetched")) == 1)
        async with asyncio.timeout(5):
            while (await at.order(1)).lease is None:
                await SystemClock().sleep(0.005)
        at.put(1, 4)
        answer = await at.hook(1)
        moved = await at.order(1)
        await at.until(lambda: len(at.attempts("sent", "main")) == 2)
        overlaps = at.jetti.journal.overlaps

    assert (answer.json["status"], moved.channel, moved.lease is not None) == ("queued", FETCH, True)
    assert (at.minutes(1), at.fetches(1), overlaps) == ([1, 4], 2, 0)


async def test_a_hook_that_comes_while_the_order_waits_for_jetti_is_fetched_before_it_is_sent(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.relay.relay.dispatchers["main"].pause("anna", "a look")
        at.put(1, 1)
        await at.hook(1)
        await at.until(lambda: len(at.attempts("fetched")) == 1)
        before = await at.order(1)
        at.put(1, 6)
        answer = await at.hook(1)
        away = await at.order(1)
        await at.until(lambda: len(at.attempts("fetched")) == 2)
        back = await at.order(1)
        await at.relay.relay.dispatchers["main"].resume("anna", "seen")
        await at.rests(1, State.SENT)

    assert (before.channel, before.state, before.lane) == ("main", State.WAITING, Lane.NEW)
    assert answer.json["status"] == "merged"
    assert (away.channel, away.state, away.urgency) == (FETCH, State.SLEEPING, before.urgency)
    assert (back.channel, back.state, back.lane, back.urgency) == ("main", State.WAITING, Lane.NEW, before.urgency)
    assert at.minutes(1) == [6], "the older state was never sent"


async def test_what_changes_nothing_for_jetti_is_fetched_and_not_sent(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        at.put(1, 1)
        await at.hook(1)
        await at.rests(1, State.SENT)
        await at.hook(1)
        await at.until(lambda: len(at.attempts("fetched")) == 2)
        await at.rests(1, State.SENT)
        await at.hook(1)
        await at.until(lambda: len(at.attempts("fetched")) == 3)
        order = await at.rests(1, State.SENT)
        timeline = await at.relay.store.timeline(order.id)

    assert (at.fetches(1), at.minutes(1)) == (3, [1])
    assert timeline is not None
    assert [of_event(event, timeline).name for event in timeline.events][-1] == "unchanged"


async def test_a_state_older_than_what_is_known_is_stale_and_the_newest_goes_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        at.put(1, 9)
        await at.hook(1)
        await at.rests(1, State.SENT)
        at.put(1, 3)
        await at.hook(1)
        await at.until(lambda: len(at.attempts("fetched")) == 2)
        order = await at.rests(1, State.SENT)
        timeline = await at.relay.store.timeline(order.id)

    assert at.minutes(1) == [9]
    assert timeline is not None
    assert [of_event(event, timeline).name for event in timeline.events][-1] == "stale"


@both
async def test_an_order_that_is_not_wanted_is_ignored_until_it_is(kind: Kind, tmp_path: Path) -> None:
    async with stage(tmp_path, kind) as at:
        at.put(1, 1, **kind.ignored)
        await at.hook(1)
        ignored = await at.rests(1, State.IGNORED)
        at.put(1, 2)
        await at.hook(1)
        await at.rests(1, State.SENT)
        assert await at.relay.store.dead_letters() == []
        at.put(1, 3, **kind.ignored)
        await at.hook(1)
        again = await at.rests(1, State.IGNORED)

    assert ignored.cause is not None
    assert ignored.cause.code == "ignored"
    assert at.minutes(1) == [2]
    assert again.cause is not None
    assert "Jetti has revision" in again.cause.message


async def test_an_order_that_is_gone_is_a_dead_letter_and_its_replay_fetches_it_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.hook(1)
        dead = await at.rests(1, State.DEAD)
        assert dead.cause is not None
        assert (dead.cause.code, dead.event_id) == ("order_gone", None)
        at.put(1, 1)
        dispatcher = at.relay.relay.dispatchers[FETCH]
        for revived in await at.relay.store.revive(Revival([dead.id], SystemClock().now(), {})):
            dispatcher.offer(revived.waiting)
        await at.rests(1, State.SENT)

    assert at.minutes(1) == [1]


async def test_a_document_that_is_another_orders_is_a_dead_letter_that_says_so_and_is_kept(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        other = BIG["order"] | {"id": 77}
        at.apis.impose(ApiFault(200, body=json.dumps(other).encode(), path="/1"))
        at.put(1, 1)
        await at.hook(1)
        dead = await at.rests(1, State.DEAD)
        raw = (await fetched(f"{at.relay.private_url}/api/orders/{dead.id}?raw=true")).json

    assert dead.cause is not None
    assert dead.cause.code == "other_order"
    assert "77" in dead.cause.message
    assert raw["body"]["order"]["id"] == 77


async def test_what_is_no_order_is_a_dead_letter_with_reasons(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        at.put(1, 1, status_id="open")
        await at.hook(1)
        dead = await at.rests(1, State.DEAD)
        timeline = await at.relay.store.timeline(dead.id)

    assert dead.cause is not None
    assert dead.cause.code == "not_understood"
    assert timeline is not None
    assert timeline.events[-1].reasons[0].pointer == "/order/status_id"


@both
async def test_promise_7_an_outage_of_the_api_costs_no_orders_and_no_attempts(kind: Kind, tmp_path: Path) -> None:
    breaker = {"failures": 3, "probe_s": 0.05, "probe_cap_s": 0.1}
    async with stage(tmp_path, kind, fetch={"breaker": breaker}) as at:
        at.apis.impose(ApiFault(503, times=12))
        for number in range(1, 9):
            at.put(number, 1)
            await at.hook(number)
        await at.until(lambda: len(at.attempts("sent", "main")) == 8)
        orders = [await at.rests(number, State.SENT) for number in range(1, 9)]

    moves = [(moved.channel, moved.after) for moved in at.relay.happenings.of(CircuitMoved)]
    assert moves == [(FETCH, Circuit.OPEN), (FETCH, Circuit.CLOSED)]
    assert {order.attempts for order in orders} == {1}
    assert at.apis.answers[503] == 12


async def test_one_order_that_fails_alone_does_not_stop_the_others(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        at.apis.impose(ApiFault(500, times=10_000, path="/13"))
        for number in range(10, 20):
            at.put(number, 1)
            await at.hook(number)
        await at.until(lambda: len(at.attempts("sent", "main")) == 9)
        await at.until(lambda: len(at.attempts("failed")) >= 3)
        alone = await at.order(13)

    assert at.relay.happenings.of(CircuitMoved) == []
    assert (alone.channel, alone.attempts > 0) == (FETCH, True)


async def test_a_throttle_of_the_api_is_waited_out_and_no_attempt_counts(tmp_path: Path) -> None:
    apis = StorefrontApis(bigcommerce_quota=Allowance(12, 1.0))
    async with stage(tmp_path, apis=apis) as at:
        for number in range(1, 9):
            at.put(number, 1)
            await at.hook(number)
        await at.until(lambda: len(at.attempts("sent", "main")) == 8, 30.0)
        orders = [await at.rests(number, State.SENT) for number in range(1, 9)]

    assert 0 < at.apis.answers[429] < 40, "it goes on asking while it is to rest"
    assert {order.attempts for order in orders} == {1}
    assert at.relay.happenings.of(CircuitMoved) == []


async def test_promise_6_every_request_to_the_api_keeps_the_pace(tmp_path: Path) -> None:
    times: list[float] = []
    clock = SystemClock()

    class Timed(StorefrontApis):
        async def answer_bigcommerce(self, request: Any) -> Any:
            times.append(clock.monotonic())
            return await super().answer_bigcommerce(request)

    apis = Timed(bigcommerce_quota=Allowance(100_000, 1.0))
    async with stage(tmp_path, apis=apis, fetch={"rate": 20, "burst": 1, "in_flight_max": 8}) as at:
        for number in range(1, 11):
            at.put(number, 1)
            await at.hook(number)
        await at.until(lambda: len(at.attempts("sent", "main")) == 10, 20.0)

    assert len(times) == 30
    most = max(sum(1 for at in times if start <= at < start + 1.0) for start in times)
    assert most <= 21
    assert [later - earlier for earlier, later in pairwise(times)] != []


async def test_a_wrong_token_halts_and_a_mended_file_and_a_resume_go_on(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("wrong-token-1\n")
    table = {key: value for key, value in KINDS["bigcommerce"].table("x").items() if key != "api_token"}
    kind = Kind(
        lambda url: table | {"api_token_file": str(token), "api_url": url},
        *(getattr(KINDS["bigcommerce"], name) for name in ("path", "put", "hook", "requests", "cancelled", "ignored")),
    )
    async with stage(tmp_path, kind) as at:
        for number in (1, 2, 3):
            at.put(number, 1)
            await at.hook(number)
        await at.until(lambda: len(at.relay.happenings.of(CircuitMoved)) == 1)
        status = (await fetched(f"{at.relay.private_url}/api/status")).json["channels"][FETCH]
        assert (status["state"], status["mode"], status["circuit_cause"]["status"]) == ("halted", "fetch", 401)
        assert await at.relay.store.dead_letters() == []
        token.write_text(BIGCOMMERCE_TOKEN + "\n")
        resumed = await at.shop.session.post(
            f"{at.relay.private_url}/api/channels/fetch%3Ashop/resume",
            json={"by": "anna", "why": "a new token"},
            headers={"Content-Type": "application/json"},
        )
        assert resumed.status == 200, await resumed.text()
        await at.until(lambda: len(at.attempts("sent", "main")) == 3)

    moves = [(moved.channel, moved.after) for moved in at.relay.happenings.of(CircuitMoved)]
    assert moves == [(FETCH, Circuit.HALTED), (FETCH, Circuit.CLOSED)]


@dataclass
class Served:
    """A relay in a process of its own, in front of an imitated API and Jetti."""

    apis: StorefrontApis
    jetti: RunningSandbox
    process: ServeProcess
    kind: Kind = field(default_factory=lambda: KINDS["bigcommerce"])

    async def hook(self, number: int) -> Answer:
        async with Shop(self.process.url) as shop:
            return await announce(shop, self.kind, number)

    async def until_sent(self, numbers: set[int]) -> None:
        async with asyncio.timeout(20):
            while {int(r.external_id) for r in self.jetti.journal.after(0, 10_000)} < numbers:
                await SystemClock().sleep(0.02)


@asynccontextmanager
async def served(tmp_path: Path, **fetch: Any) -> AsyncIterator[Served]:
    kind = KINDS["bigcommerce"]
    async with storefront_apis() as apis, sandbox(UNLIMITED) as imitated:
        apis.bigcommerce_quota.quota = 100_000
        table = {"channel": "main", **kind.table(apis.url), "fetch": FAST | fetch}
        tables = tables_for(imitated.url, tmp_path, storefronts={"shop": table})
        async with await ServeProcess(written(tmp_path, tables)).start() as process:
            yield Served(apis, imitated, process)


async def test_killed_between_the_answer_and_the_fetch_every_order_is_fetched_by_the_next_process(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, wait_s=1.5) as at:
        for number in range(1, 6):
            put_big(at.apis, number, 1)
            assert (await at.hook(number)).status == 200
        await at.process.kill()
        assert at.apis.requests == []
        await at.process.start()
        await at.until_sent(set(range(1, 6)))

    assert {minute for n in range(1, 6) for minute in minutes_at(at.jetti, str(n))} == {1}


async def test_killed_during_a_fetch_the_order_is_fetched_again(tmp_path: Path) -> None:
    async with served(tmp_path, wait_s=0) as at:
        put_big(at.apis, 1, 1)
        at.apis.impose(ApiFault(latency_s=30.0, path="/1"))
        await at.hook(1)
        async with asyncio.timeout(10):
            while not at.apis.requests:
                await SystemClock().sleep(0.01)
        await at.process.kill()
        put_big(at.apis, 1, 2)
        await at.process.start()
        await at.until_sent({1})

    assert minutes_at(at.jetti, "1") == [2]


# -- what is seen of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "status", "ok", "says"),
    [
        (BIGCOMMERCE_TOKEN, None, True, "takes api_token"),
        ("wrong-token-1", None, False, "refuses api_token (401)"),
        (BIGCOMMERCE_TOKEN, 404, False, "check api_url and store_hash"),
        (BIGCOMMERCE_TOKEN, 403, True, "only tried by fetching an order"),
    ],
)
async def test_check_tries_the_token_without_reading_an_order(
    token: str, status: int | None, ok: bool, says: str, tmp_path: Path
) -> None:
    async with storefront_apis() as apis, sandbox(UNLIMITED) as imitated:
        if status is not None:
            apis.impose(ApiFault(status))
        table = {"channel": "main", **KINDS["bigcommerce"].table(apis.url), "api_token": token}
        settings = settings_from(tmp_path, tables_for(imitated.url, tmp_path, storefronts={"shop": table}))
        (found,) = [finding for finding in await examine(settings, tmp_path) if finding.what == "storefronts.shop"]

    assert (found.ok, says in found.said) == (ok, True), found
    assert token not in found.said
    assert apis.requests == [f"/stores/{BIGCOMMERCE_STORE}/v2/order_statuses"]


async def test_check_says_that_an_api_cannot_be_reached(tmp_path: Path) -> None:
    table = {"channel": "main", **KINDS["squarespace"].table("http://127.0.0.1:1")}
    async with sandbox(UNLIMITED) as imitated:
        settings = settings_from(tmp_path, tables_for(imitated.url, tmp_path, storefronts={"shop": table}))
        (found,) = [finding for finding in await examine(settings, tmp_path) if finding.what == "storefronts.shop"]

    assert not found.ok
    assert found.said.startswith("the storefront's API cannot be reached at http://127.0.0.1:1: Connect call failed")
    assert found.said.endswith(". Check api_url; is it running?")


async def test_the_commands_show_a_fetched_order_whole_and_count_it_where_it_is_delivered(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        at.put(1, 1)
        await at.hook(1)
        await at.rests(1, State.SENT)
        timeline, state = [
            await command(*words, "--url", at.relay.private_url, folder=tmp_path)
            for words in (("order", at.external_id(1)), ("status",))
        ]

    assert re.search(r" 1  store/order/\w+ +1  ", timeline.out), timeline.out
    of_main, of_fetch = state.out.split("fetch:shop (fetch)")
    assert re.search(r"^  delivered +1 order$", of_main, re.MULTILINE), state.out
    assert "delivered" not in of_fetch


async def test_a_halted_fetch_names_the_storefronts_token(tmp_path: Path) -> None:
    async with stage(tmp_path, api_token="wrong-token-1") as at:
        at.put(1, 1)
        await at.hook(1)
        await at.until(lambda: len(at.attempts("channel_wrong")) >= 1)
        metrics = (await fetched(f"{at.relay.private_url}/metrics")).body.decode()
        shown = await command("status", "--url", at.relay.private_url, folder=tmp_path)

    words = " ".join(shown.out.split())
    assert "fetch:shop (fetch): halted" in words, shown
    assert "Correct storefronts.shop.api_token (this needs a restart, unless it is in a file)" in words
    assert "order-relay resume fetch:shop" in words
    assert 'relay_circuit{channel="fetch:shop",circuit="halted"} 1.0' in metrics
    assert 'relay_orders{channel="fetch:shop",lane="new",state="sleeping"} 1.0' in metrics
