"""Orders that ``accept_when`` does not want yet: seen, released by a later event, by a person or by another rule, and
discarded. Over real sockets, with real processes where a process matters."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.clock import SystemClock
from relay.core.delivery import Lane, State
from relay.core.events import AttemptMade, EventFound, HeldWanted, PersonActed, StoreTrouble, Unexpected, Warned
from relay.core.instant import Instant
from relay.core.mapping import Maker
from relay.core.order import Order
from relay.core.sources.native import Native
from relay.releaser import Releaser, Rule
from relay.sandbox import RunningSandbox, sandbox
from relay.store import HeldPlace, Release, Revived, Store, StoreFailed, Taken
from relay.store.memory import MemoryStore
from tests.builders import NOW, STARTS, accept, at, id_of, moved_to, take, upsert
from tests.fakes import Answer, Happenings, Shop, answered, fetched, manual_sale, shopify_order
from tests.running import (
    SHOP,
    UNLIMITED,
    Finished,
    RunningRelay,
    ServeProcess,
    command,
    relay_running,
    tables_for,
    written,
)
from tests.simulated import LoopClock, simulate

PAID = "financial_status == 'paid'"
WHO = {"by": "ada", "why": "paid by bank transfer"}


def shops(accept_when: str | None = PAID) -> dict[str, Any]:
    return {"shop": SHOP if accept_when is None else SHOP | {"accept_when": accept_when}}


def unpaid(number: int, minute: int = 0, **changes: Any) -> bytes:
    return shopify_order(number, minute, financial_status="pending", **changes)


def paid(number: int, minute: int = 0) -> bytes:
    return shopify_order(number, minute, financial_status="paid")


def notes(jetti: RunningSandbox, number: int) -> list[str]:
    """Of what Jetti was sent of an order, in its order."""
    sent = [json.loads(r.payload or b"") for r in jetti.journal.after(0, 1000) if r.external_id == str(number)]
    return [sale["saleDefaults"]["notes"] for sale in sent]


def flat(text: str) -> str:
    """Without line breaks: what was wrapped, as it was written."""
    return " ".join(text.split())


@dataclass(frozen=True, slots=True)
class Desk:
    relay: RunningRelay
    jetti: RunningSandbox
    shop: Shop
    folder: Path

    async def get(self, path: str) -> Any:
        answer = await fetched(self.relay.private_url + path)
        assert answer.status == 200, answer.body
        return answer.json

    async def post(self, path: str, **content: Any) -> Answer:
        headers = {"Content-Type": "application/json"}
        url = self.relay.private_url + path
        return await answered(self.shop.session.post(url, data=json.dumps(content), headers=headers))

    async def command(self, *words: str) -> Finished:
        url = ("--url", self.relay.private_url, "--config", str(self.folder / "relay.toml"))
        return await command(*words, *url, folder=self.folder)

    async def hold(self, *numbers: int, minute: int = 0) -> None:
        """Send unpaid orders, and return when they are held."""
        found = self.relay.happenings
        before = len(found.of(EventFound))
        for number in numbers:
            await self.shop.send(unpaid(number, minute))
        await found.until(lambda: len(found.of(EventFound)) >= before + len(numbers))

    async def sent(self, count: int) -> None:
        await self.relay.happenings.until(lambda: len(self.relay.happenings.of(AttemptMade)) >= count)

    def notes(self, number: int) -> list[str]:
        """Of what Jetti was sent of an order."""
        return notes(self.jetti, number)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with relay_running(tmp_path, storefronts=shops()) as (relay, jetti), Shop(relay.public_url) as shop:
        yield Desk(relay, jetti, shop, tmp_path)
        assert relay.happenings.defects == []


# -- released by a later event, and by a person ------------------------------------------------------------------------


async def test_an_unpaid_order_is_held_until_it_is_paid(desk: Desk) -> None:
    await desk.hold(1)
    (known,) = (await desk.get("/api/orders?reference=1"))["orders"]
    await desk.shop.send(paid(1, 5))
    await desk.sent(1)

    assert (known["state"], known["cause"]["code"], known["released_at"]) == ("held", "not_wanted", None)
    assert known["held_since"] is not None
    assert desk.notes(1) == ["minute 5"]
    (after,) = (await desk.get("/api/orders?reference=1"))["orders"]
    assert (after["state"], after["held_since"]) == ("sent", None)


async def test_what_a_person_releases_is_delivered_and_who_and_why_is_on_record(desk: Desk) -> None:
    await desk.hold(1)
    answer = await desk.post("/api/held/release", orders=[1], **WHO)
    await desk.sent(1)

    assert answer.json == {"released": {"orders": [1], "events": []}, "left": {"orders": [], "events": []}}
    assert desk.notes(1) == ["minute 0"]
    (deed,) = (await desk.get("/api/deeds"))["deeds"]
    assert (deed["by"], deed["what"], deed["about"], deed["why"]) == ("ada", "release", "order:1", WHO["why"])
    assert [told.what for told in desk.relay.happenings.of(PersonActed)] == ["release"]


async def test_a_released_order_stays_released_although_a_later_event_is_still_unpaid(desk: Desk) -> None:
    await desk.hold(1)
    await desk.post("/api/channels/main/pause", by="ada", why="a migration")
    await desk.post("/api/held/release", orders=[1], **WHO)
    await desk.shop.send(unpaid(1, 7))
    await SystemClock().sleep(0.5)  # the inspector looks at it
    (waits,) = (await desk.get("/api/orders?reference=1"))["orders"]
    await desk.post("/api/channels/main/resume", by="ada")
    await desk.sent(1)

    assert (waits["state"], waits["held_since"], waits["released_at"] is not None) == ("waiting", None, True)
    assert desk.notes(1) == ["minute 7"]


async def test_an_order_that_is_not_held_or_not_there_is_left(desk: Desk) -> None:
    await desk.shop.send(paid(1))
    await desk.sent(1)
    answer = await desk.post("/api/held/release", orders=[1, 99], **WHO)

    assert answer.json["left"]["orders"] == [1, 99]
    assert (await desk.get("/api/deeds"))["deeds"] == []


async def test_a_release_while_events_arrive_sends_the_order_once_it_has_settled(desk: Desk) -> None:
    """Whatever interleaving comes of it: the person's word counts, and no event after it holds the order again."""
    numbers = range(1, 21)
    await desk.hold(*numbers)
    ids = {row["external_id"]: row["id"] for row in (await desk.get("/api/held"))["held"]}

    async def one(number: int) -> Answer:
        sending = asyncio.create_task(desk.shop.send(unpaid(number, 9)))
        await asyncio.sleep(0.002 * (number % 5))  # noqa: TID251 - at different moments of it
        answer = await desk.post("/api/held/release", orders=[ids[str(number)]], **WHO)
        await sending
        return answer

    answers = await asyncio.gather(*map(one, numbers))
    assert [answer.json["left"]["orders"] for answer in answers] == [[]] * len(numbers)
    await desk.relay.happenings.until(lambda: all("minute 9" in desk.notes(number) for number in numbers))
    assert (await desk.get("/api/held"))["groups"] == []


async def test_all_of_a_storefront_are_released_page_by_page_behind_new_orders(desk: Desk) -> None:
    await desk.post("/api/channels/main/pause", by="ada", why="to look at what waits")
    await desk.hold(*range(1, 104))
    now = (await desk.get("/api/held"))["now"]
    wanted = {"all": True, "storefront": "shop", "until": now, **WHO}
    first = (await desk.post("/api/held/release", **wanted)).json
    rest = (await desk.post("/api/held/release", **wanted, after=first["next"])).json
    none = await desk.post("/api/held/release", **wanted)
    status = await desk.get("/api/status")

    assert (len(first["released"]["orders"]), len(rest["released"]["orders"]), rest["next"]) == (100, 3, None)
    assert (none.status, none.type) == (404, "no-held-orders")
    assert status["channels"]["main"]["waiting"] == {"new": 0, "update": 0, "replay": 103}
    deeds = [deed["about"] for deed in (await desk.get("/api/deeds"))["deeds"] if deed["what"] == "release"]
    assert deeds[1] == "all of storefront shop: order:1, order:2, order:3, order:4, order:5 and 95 more"


@pytest.mark.parametrize(
    ("path", "content", "status", "kind"),
    [
        ("release", {}, 422, "selects-everything"),
        ("release", {"storefront": "shop"}, 422, "selects-everything"),
        ("release", {"orders": [1], "all": True}, 422, "mixed-selection"),
        ("release", {"orders": [1], "why": " "}, 422, "invalid-request"),
        ("release", {"all": True, "until": "soon"}, 422, "invalid-request"),
        ("release", {"all": True, "after": [-1, 0]}, 422, "invalid-request"),
        ("release", {"all": True, "storefront": "other"}, 404, "no-held-orders"),
        ("discard", {"orders": []}, 422, "nothing-named"),
        ("discard", {"orders": [1], "why": ""}, 422, "invalid-request"),
    ],
)
async def test_what_is_not_said_clearly_is_refused(
    desk: Desk, path: str, content: Mapping[str, Any], status: int, kind: str
) -> None:
    await desk.hold(1)
    answer = await desk.post(f"/api/held/{path}", **(WHO | dict(content)))

    assert (answer.status, answer.type) == (status, kind)
    assert [group["count"] for group in (await desk.get("/api/held"))["groups"]] == [1]


async def test_a_held_order_is_discarded_and_its_next_event_is_asked_about_again(desk: Desk) -> None:
    await desk.hold(1)
    answer = await desk.post("/api/held/discard", orders=[1, 2], **WHO)
    (known,) = (await desk.get("/api/orders?reference=1"))["orders"]
    await desk.hold(1, minute=4)

    assert (answer.json["discarded"]["orders"], answer.json["left"]["orders"]) == ([1], [2])
    assert (known["state"], known["held_since"]) == ("discarded", None)
    assert known["why"].endswith(f" UTC: by ada: {WHO['why']}.")
    assert [group["count"] for group in (await desk.get("/api/held"))["groups"]] == [1]


# -- the report --------------------------------------------------------------------------------------------------------


async def test_held_orders_have_an_age_in_the_report_the_status_and_the_metrics(desk: Desk) -> None:
    await desk.hold(1)
    await SystemClock().sleep(0.3)
    await desk.hold(2, 3)
    await desk.hold(1, minute=3)  # it is as old as before
    report, status = await desk.get("/api/held?limit=2"), await desk.get("/api/status")
    metrics = (await fetched(desk.relay.private_url + "/metrics")).body.decode()

    (group,) = report["groups"]
    assert (group["storefront"], group["count"]) == ("shop", 3)
    assert [order["reference"] for order in report["held"]] == ["#1", "#2"]
    assert report["held"][0]["held_s"] == group["oldest_age_s"] > 0.3
    assert [(one["storefront"], one["count"]) for one in status["held"]] == [("shop", 3)]
    assert status["ready"] is True
    assert 'relay_held_orders{storefront="shop"} 3.0' in metrics.splitlines()
    (age_s,) = re.findall(r'relay_oldest_held_age_seconds{storefront="shop"} (\S+)', metrics)
    assert 0.3 < float(age_s) < 60


async def test_the_metrics_go_back_to_zero(desk: Desk) -> None:
    await desk.hold(1)
    await fetched(desk.relay.private_url + "/metrics")
    await desk.post("/api/held/discard", orders=[1], **WHO)
    metrics = (await fetched(desk.relay.private_url + "/metrics")).body.decode().splitlines()

    assert 'relay_held_orders{storefront="shop"} 0.0' in metrics
    assert 'relay_oldest_held_age_seconds{storefront="shop"} 0.0' in metrics


# -- the commands ------------------------------------------------------------------------------------------------------


async def test_the_list_says_how_many_for_how_long_and_until_when(desk: Desk) -> None:
    none = await desk.command("held", "list")
    await desk.hold(1001, 1002)
    await desk.shop.send(unpaid(1002, 5, cancelled_at="2026-11-21T00:06:07-05:00"), topic="orders/cancelled")
    await desk.relay.happenings.until(lambda: len(desk.relay.happenings.of(EventFound)) == 3)
    found, status = await desk.command("held", "list"), await desk.command("status")
    one = json.loads((await desk.command("held", "list", "--limit", "1", "--json")).out)
    unknown = await desk.command("held", "list", "--storefront", "sjop")

    assert (none.code, none.out) == (0, "no order is held\n")
    assert (found.code, found.err) == (0, "")
    said = flat(found.out)
    assert "2 shop" in said
    assert PAID in said
    assert all(f"#{number} {number} shop main" in said for number in (1001, 1002))
    assert "cancelled; not true of it yet" in said
    assert max(map(len, found.out.splitlines())) <= 80
    assert "held: 2 of shop (oldest " in flat(status.out)
    assert [order["external_id"] for order in one["held"]] == ["1001"]
    assert (unknown.code, "no storefront 'sjop'; there are: shop" in flat(unknown.err)) == (1, True)


async def test_the_timeline_says_since_when_and_how_to_release_it(desk: Desk) -> None:
    await desk.hold(1001)
    said = await desk.command("order", "#1001")
    released = await desk.command("held", "release", "#1001", "--why", "a bank transfer", "--by", "ada")
    await desk.sent(1)
    twice = await desk.command("held", "release", "#1001", "--why", "again")
    unknown = await desk.command("held", "release", "#4711", "--why", "which?")

    assert re.search(
        r"Held since \d\d:\d\d:\d\d UTC: the storefront's accept_when rule is not true of the order yet\. "
        r"Release it: order-relay held release '#1001' --why …",
        flat(said.out),
    )
    assert (released.code, flat(released.out)) == (0, "1 order released, and on the way: order-relay order REFERENCE")
    assert (twice.code, flat(twice.err)) == (1, "error: #1001 is not held: #1001 of shop is delivered")
    assert (unknown.code, "no order '#4711'" in flat(unknown.err)) == (1, True)
    assert desk.notes(1001) == ["minute 0"]


async def test_while_it_waits_the_timeline_says_that_it_was_released(desk: Desk) -> None:
    await desk.hold(1001)
    await desk.command("pause", "main", "--why", "a migration")
    await desk.command("held", "release", "#1001", "--why", "a bank transfer", "--by", "ada")
    said = await desk.command("order", "#1001")

    assert re.search(r"\d\d:\d\d:\d\d release by ada a bank transfer", flat(said.out))


async def test_all_of_a_storefront_are_released_by_one_command(desk: Desk) -> None:
    await desk.hold(*range(1, 106))
    asked = await desk.command("held", "release", "--all", "--why", "the gateway was down")
    said = await desk.command("held", "release", "--all", "--storefront", "shop", "--why", "it was down", "--yes")
    await desk.sent(105)
    again = await desk.command("held", "release", "--all", "--why", "it was down", "--yes")

    assert (asked.code, "this releases 105 held orders" in flat(asked.err)) == (2, True)
    assert (said.code, flat(said.out)) == (
        0, "105 orders released, and waiting in lane replay, behind new orders: order-relay status",
    )  # fmt: skip
    assert (again.code, flat(again.err)) == (1, "error: no order is held")


async def test_a_held_order_is_discarded_by_a_command(desk: Desk) -> None:
    await desk.hold(1001)
    said = await desk.command("held", "discard", "#1001", "--why", "given up", "--by", "ada")
    order = await desk.command("order", "#1001")

    assert (said.code, flat(said.out)) == (
        0, "1 held order discarded; a change of mind: order-relay dead replay '#1001'",
    )  # fmt: skip
    assert " UTC: by ada: given up. when" in flat(order.out)


async def test_an_order_whose_webhook_is_gone_says_so_instead(desk: Desk) -> None:
    await desk.hold(1001)
    store = desk.relay.store
    store._writer.execute("DELETE FROM bodies")  # type: ignore[attr-defined] # housekeeping never does this
    said = await desk.command("held", "release", "#1001", "--why", "a bank transfer")

    assert said.code == 1
    assert "its raw webhook is not kept any more" in flat(said.err)
    assert [group["count"] for group in (await desk.get("/api/held"))["groups"]] == [1]


@pytest.mark.parametrize(
    "words",
    [
        ("release",), ("release", "#1"), ("release", "--why", "x"), ("release", "#1", "--why", " "),
        ("release", "#1", "--all", "--why", "x"), ("release", "--storefront", "shop", "--why", "x"),
        ("discard", "#1"), ("discard", "--why", "x"), ("discard", "#1", "--why", ""),
    ],
)  # fmt: skip
async def test_a_command_that_is_not_said_clearly_does_nothing(desk: Desk, words: tuple[str, ...]) -> None:
    await desk.hold(1)
    said = await desk.command("held", *words)

    assert (said.code, said.out) == (2, "")
    assert (await desk.get("/api/deeds"))["deeds"] == []


# -- over a crash, and over another configuration ----------------------------------------------------------------------


async def test_a_release_survives_a_kill_and_the_rule_is_not_asked_again(tmp_path: Path) -> None:
    async with sandbox(UNLIMITED) as jetti:
        config = written(tmp_path, tables_for(jetti.url, tmp_path, storefronts=shops()))
        async with ServeProcess(config) as relay:
            at_it = ("--url", relay.private_url, "--config", str(config))
            await command("pause", "main", "--why", "so that it cannot leave", *at_it, folder=tmp_path)
            async with Shop(relay.url) as shop:
                await shop.send(unpaid(1001))
                await _until_held(relay.private_url, 1)
                released = await command("held", "release", "1001", "--why", "paid in cash", *at_it, folder=tmp_path)
            await relay.kill()
            await relay.start()
            async with Shop(relay.url) as shop:
                await shop.send(unpaid(1001, 8))
            at_it = ("--url", relay.private_url, "--config", str(config))
            await command("resume", "main", *at_it, folder=tmp_path)
            async with asyncio.timeout(20):
                while not notes(jetti, 1001):
                    await SystemClock().sleep(0.05)
            status = (await fetched(relay.private_url + "/api/status")).json
    assert released.code == 0, released.err
    assert notes(jetti, 1001) == ["minute 8"]
    assert status["held"] == []


async def _until_held(url: str, count: int) -> None:
    async with asyncio.timeout(20):
        while sum(group["count"] for group in (await fetched(url + "/api/held")).json["groups"]) != count:
            await SystemClock().sleep(0.05)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(None, {1, 2, 3}), (f"{PAID} || financial_status == 'authorized'", {2}), ("financial_status == 'voided'", set())],
    ids=["taken away", "loosened", "tightened"],
)
async def test_what_another_rule_wants_is_released_after_a_restart(
    tmp_path: Path, rule: str | None, expected: set[int]
) -> None:
    async with relay_running(tmp_path, storefronts=shops()) as (relay, jetti), Shop(relay.public_url) as shop:
        desk = Desk(relay, jetti, shop, tmp_path)
        await desk.hold(1, 3)
        await shop.send(shopify_order(2, financial_status="authorized"))
        await relay.happenings.until(lambda: len(relay.happenings.of(EventFound)) == 3)
    async with relay_running(tmp_path, storefronts=shops(rule)) as (relay, jetti), Shop(relay.public_url) as shop:
        desk = Desk(relay, jetti, shop, tmp_path)
        await desk.sent(len(expected))
        if expected:
            await relay.happenings.until(lambda: bool(relay.happenings.of(HeldWanted)))
        else:
            await SystemClock().sleep(0.5)
        sent = {number for number in (1, 2, 3) if desk.notes(number)}
        held = {int(order["external_id"]) for order in (await desk.get("/api/held"))["held"]}
        told = [(found.storefront, found.released, found.left) for found in relay.happenings.of(HeldWanted)]
        assert relay.happenings.defects == []

    assert (sent, held) == (expected, {1, 2, 3} - expected)
    assert told == ([("shop", len(expected), 3 - len(expected))] if expected else [])


async def test_what_is_held_of_a_storefront_that_is_gone_stays_held_and_is_warned_of(tmp_path: Path) -> None:
    async with relay_running(tmp_path, storefronts=shops()) as (relay, jetti), Shop(relay.public_url) as shop:
        await Desk(relay, jetti, shop, tmp_path).hold(1)
    async with relay_running(tmp_path, storefronts={"other": SHOP}) as (relay, jetti), Shop(relay.public_url) as shop:
        desk = Desk(relay, jetti, shop, tmp_path)
        said = await desk.command("held", "list")
        warned = [warning.what for warning in relay.happenings.of(Warned)]
        metrics = (await fetched(relay.private_url + "/metrics")).body.decode().splitlines()

    assert "1 order(s) of storefront shop, which is not configured, are held" in warned
    assert "the storefront is configured again" in flat(said.out)
    assert 'relay_held_orders{storefront="shop"} 1.0' in metrics


# -- the releaser, in simulated time -----------------------------------------------------------------------------------


class Moody(MemoryStore):
    """Fails so many times, and then works."""

    failures = 0

    async def held_whole(self, storefront: str, *, after: HeldPlace | None, limit: int) -> list[Taken]:
        self._fail()
        return list(await super().held_whole(storefront, after=after, limit=limit))

    async def release(self, release: Release) -> Any:
        self._fail()
        return await super().release(release)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreFailed("the disk is gone")


async def held(store: Store, name: str, *, since: Instant = NOW) -> int:
    receipt = await accept(store, upsert(name), body=manual_sale(int(name)), received_at=since)
    settled = await store.settle(moved_to(await take(store, receipt), State.HELD, now=since))
    assert settled is not None
    return id_of(receipt)


def wants_even(document: Any) -> bool:
    return int(document["externalId"]) % 2 == 0


def looked(store: Store, accept_when: Any, *, busy: bool = False) -> tuple[list[Revived], Happenings, float]:
    """What the releaser released of what is held, what it told, and how long it took, seconds."""
    offered: list[Revived] = []
    told = Happenings()

    async def test() -> float:
        clock = LoopClock()
        began = clock.monotonic()
        rules = {"shop": Rule(Maker(Native(), accept_when=accept_when), "main")}
        await Releaser(store, rules, {"main": STARTS}, offered.append, lambda: busy, clock, told).run()
        return clock.monotonic() - began

    return offered, told, simulate(test())


def filled(store: Store, count: int, **given: Any) -> list[int]:
    async def fill() -> list[int]:
        return [await held(store, str(number), **given) for number in range(1, count + 1)]

    return simulate(fill())


def test_many_are_gone_through_in_small_steps_and_only_those_wanted_are_released() -> None:
    store = MemoryStore()
    ids = filled(store, 100, since=at(-60))
    offered, told, took_s = looked(store, wants_even)

    assert [revived.waiting.order_id for revived in offered] == ids[1::2]
    assert told.of(HeldWanted) == [HeldWanted("shop", 50, 50)]
    assert 0.2 < took_s < 1
    assert looked(store, wants_even)[0] == [], "and what is left is left the next time, too"


def test_it_gives_way_while_much_comes_in() -> None:
    store = MemoryStore()
    filled(store, 100, since=at(-60))

    assert looked(store, wants_even, busy=True)[2] > 4


def test_it_goes_on_after_trouble_with_the_store() -> None:
    store = Moody()
    filled(store, 30, since=at(-60))
    store.failures = 3
    offered, told, _ = looked(store, None)

    assert len(offered) == 30
    assert len(told.of(StoreTrouble)) == 3
    assert told.of(HeldWanted) == [HeldWanted("shop", 30, 0)]


def test_a_rule_that_raises_leaves_its_order_held_and_not_the_others() -> None:
    def rule(document: Any) -> bool:
        return 1 // (int(document["externalId"]) - 2) is not None

    store = MemoryStore()
    ids = filled(store, 3, since=at(-60))
    offered, told, _ = looked(store, rule)

    assert [revived.waiting.order_id for revived in offered] == [ids[0], ids[2]]
    assert len(told.of(Unexpected)) == 1


class Growing(MemoryStore):
    """Another order comes to be held with every look."""

    async def held_whole(self, storefront: str, *, after: HeldPlace | None, limit: int) -> list[Taken]:
        found = await super().held_whole(storefront, after=after, limit=limit)
        await held(self, str(1000 + len(self._orders)), since=at(60))
        return list(found)


def test_what_comes_to_be_held_meanwhile_is_not_chased() -> None:
    store = Growing()
    ids = filled(store, 25, since=at(-60))
    offered, told, _ = looked(store, None)

    assert [revived.waiting.order_id for revived in offered] == ids
    assert told.of(HeldWanted) == [HeldWanted("shop", 25, 0)]


def test_what_is_released_by_a_rule_waits_behind_live_traffic() -> None:
    store = MemoryStore()
    filled(store, 1, since=at(-60))
    looked(store, None)

    async def found() -> Order:
        return (await store.find("1"))[0]

    order = simulate(found())
    assert (order.state, order.lane, order.released_at) == (State.WAITING, Lane.REPLAY, None)
