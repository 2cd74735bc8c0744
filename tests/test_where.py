"""Where is order 1001? A real relay and a sandbox; asked over the API, on the command line and in a real browser."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from relay.clock import SystemClock
from relay.core.events import AttemptMade, EventFound
from relay.sandbox import Fault, RunningSandbox, SandboxSettings
from tests.browser import browsing, sitting
from tests.fakes import Answer, Shop, answered, fetched, shopify_order
from tests.running import SHOP, Finished, RunningRelay, command, relay_running
from tests.test_console import PERSONAL

TOKEN = "private-token-77d1"


@dataclass(frozen=True, slots=True)
class Desk:
    """Someone who asks."""

    relay: RunningRelay
    jetti: RunningSandbox
    shop: Shop
    folder: Path

    async def get(self, path: str) -> Any:
        answer = await fetched(f"{self.relay.private_url}/api/{path}")
        assert answer.status == 200, answer.body
        return answer.json

    async def post(self, path: str, **content: Any) -> Answer:
        headers = {"Content-Type": "application/json"}
        url = f"{self.relay.private_url}/api/{path}"
        return await answered(self.shop.session.post(url, data=json.dumps(content), headers=headers))

    async def command(self, *words: str) -> Finished:
        return await command(*words, "--url", self.relay.private_url, folder=self.folder)

    async def where(self, order_id: int = 1) -> Any:
        return (await self.get(f"orders/{order_id}"))["where"]

    async def pause(self) -> None:
        assert (await self.post("channels/main/pause", by="Ann", why="Jetti is being migrated")).status == 200

    async def until(self, kind: type, count: int) -> None:
        happenings = self.relay.happenings
        await happenings.until(lambda: len(happenings.of(kind)) >= count)


@asynccontextmanager
async def asking(folder: Path, *faults: Fault, **tables: Any) -> AsyncIterator[Desk]:
    jetti = SandboxSettings(async_rate=None, faults=faults)
    async with (
        relay_running(folder, jetti=jetti, **tables) as (relay, imitated),
        Shop(relay.public_url) as shop,
    ):
        yield Desk(relay, imitated, shop, folder)
        assert relay.happenings.defects == []


# -- where it is -------------------------------------------------------------------------------------------------------


async def test_an_order_behind_others_leaves_when_it_was_said_to(tmp_path: Path) -> None:
    async with asking(tmp_path, channels={"main": {"sync_rate": 5, "burst": 1}}) as desk:
        for number in range(1, 22):
            await desk.shop.send(shopify_order(number))
        asked_at = SystemClock().monotonic()
        where, found = await desk.where(21), await desk.get("orders?reference=%2321")
        await desk.until(AttemptMade, 21)
        took_s = SystemClock().monotonic() - asked_at

    assert where["place"] == "waiting"
    assert where["words"] == f"Waits to be sent behind {where['ahead']} orders, about 4 s at 5/s."
    assert 15 <= where["ahead"] <= 20
    assert where["expected_s"] == pytest.approx(where["ahead"] / 5)
    assert took_s == pytest.approx(where["expected_s"], abs=1.5)
    assert found["orders"][0]["why"].startswith("Waits to be sent behind ")


async def test_an_order_of_a_paused_channel_says_who_paused_it_and_why(tmp_path: Path) -> None:
    async with asking(tmp_path) as desk:
        await desk.pause()
        for number in (1, 2, 3):
            await desk.shop.send(shopify_order(number))
        where = await desk.where(3)

    assert where["words"].startswith("Waits to be sent behind 2 orders; channel main is paused by Ann since ")
    assert where["words"].endswith(" UTC: Jetti is being migrated.")
    assert (where["ahead"], where["expected_s"], where["at_least"]) == (2, None, False)


async def test_an_order_of_a_halted_channel_says_since_when_and_for_what(tmp_path: Path) -> None:
    async with asking(tmp_path, Fault(wrong_hash=True)) as desk:
        await desk.shop.send(shopify_order(1))
        await desk.until(AttemptMade, 1)
        where = await desk.where()

    assert where["place"] == "sleeping"
    assert "; then it waits its turn; channel main is halted since " in where["words"]
    assert " UTC: 401 api." in where["words"]
    assert where["at"] is not None


async def test_an_order_that_failed_says_when_it_is_tried_again(tmp_path: Path) -> None:
    async with asking(tmp_path, Fault(status=500), channels={"main": {"retry": {"base_s": 30, "cap_s": 30}}}) as desk:
        await desk.shop.send(shopify_order(1))
        await desk.until(AttemptMade, 1)
        found = await desk.get("orders/1")

    assert found["where"]["words"].startswith("Retry 1 at ")
    assert "; then it waits its turn; nothing gets through channel main since " in found["where"]["words"]
    assert found["where"]["words"].endswith(f" UTC: 500 api.errors.unknown: {found['attempts'][0]['message']}")
    assert found["where"]["at"] == found["order"]["due_at"]


async def test_an_order_in_flight_says_since_when(tmp_path: Path) -> None:
    async with asking(tmp_path, Fault(latency_s=2)) as desk:
        await desk.shop.send(shopify_order(1))
        async with asyncio.timeout(5):
            while (where := await desk.where())["place"] != "in flight" or "since" not in where["words"]:
                await SystemClock().sleep(0.02)
        await desk.until(AttemptMade, 1)
        after = await desk.where()

    assert where["words"].startswith("In flight since ")
    assert where["words"].endswith(" UTC: revision 1 is being sent.")
    assert after["words"].startswith("Delivered at ")


async def test_an_order_that_is_not_paid_is_held_for_that(tmp_path: Path) -> None:
    storefronts = {"shop": {**SHOP, "accept_when": "financial_status == 'paid'"}}
    async with asking(tmp_path, storefronts=storefronts) as desk:
        await desk.shop.send(shopify_order(1, financial_status="pending"))
        await desk.until(EventFound, 1)
        where = await desk.where()

    assert where["place"] == "held"
    assert where["words"].startswith("Held since ")
    assert "accept_when" in where["words"]


# -- what happened to it -----------------------------------------------------------------------------------------------


async def test_every_revision_says_what_superseded_it_and_every_attempt_what_it_came_to(tmp_path: Path) -> None:
    async with asking(tmp_path) as desk:
        await desk.shop.send(shopify_order(1), webhook_id="one")
        await desk.until(AttemptMade, 1)
        await desk.pause()
        for minute in (1, 2):
            await desk.shop.send(shopify_order(1, minute), topic="orders/updated")
        await desk.shop.send(shopify_order(1), webhook_id="one")
        await desk.post("orders/1/reveal", by="ada", why="the customer calls")
        found = await desk.get("orders/1")

    lines = [(line["kind"], line["number"], line["what"], line["revision"], line["came_to"]) for line in
             found["timeline"]]  # fmt: skip
    assert lines == [
        ("event", 1, "orders/create", 1, "delivered"), ("attempt", 1, "attempt", 1, "sent 200"),
        ("event", 2, "orders/updated", 2, "superseded"), ("event", 3, "orders/updated", 3, "waiting"),
        ("event", 4, "orders/create", None, "duplicate"), ("deed", 1, "reveal", None, "ada"),
    ]  # fmt: skip
    words = [line["words"] for line in found["timeline"]]
    assert words[0].startswith("became revision 1; Jetti took it at ")
    assert words[2].startswith("became revision 2; superseded by revision 3 of event 3 at ")
    assert words[3:] == [
        "became revision 3 in place of revision 2, the newest", "the same webhook as event 1", "the customer calls",
    ]  # fmt: skip
    assert [event["superseded_by"] for event in found["events"]] == [None, 3, None, None]
    assert [event["why"] for event in found["events"]] == [words[0], *words[2:5]]
    assert [line["at"] for line in found["timeline"]] == sorted(line["at"] for line in found["timeline"])


async def test_an_order_that_was_released_with_others_says_by_whom_and_why(tmp_path: Path) -> None:
    storefronts = {"shop": {**SHOP, "accept_when": "financial_status == 'paid'"}}
    async with asking(tmp_path, storefronts=storefronts) as desk:
        for number in range(1, 8):
            await desk.shop.send(shopify_order(number, financial_status="pending"))
        await desk.until(EventFound, 7)
        await desk.post("held/release", all=True, by="ada", why="the gateway was down")
        await desk.until(AttemptMade, 7)
        told_of = [(await desk.get(f"orders/{number}"))["timeline"] for number in (2, 7)]
        deeds = (await desk.get("deeds?about=order:7"))["deeds"]

    for lines in told_of:
        assert [(line["kind"], line["came_to"], line["words"]) for line in lines][1] == (
            "deed", "ada", "the gateway was down",
        )  # fmt: skip
        assert [line["kind"] for line in lines] == ["event", "deed", "attempt"]
    assert [deed["about"].endswith("order:5 and 2 more") for deed in deeds] == [True]


# -- one answer --------------------------------------------------------------------------------------------------------


async def test_the_api_the_command_and_the_console_give_the_same_answer(tmp_path: Path) -> None:
    async with asking(tmp_path, Fault(status=422, title="api.errors.unknown", external_id="1")) as desk:
        await desk.shop.send(shopify_order(1))
        await desk.until(AttemptMade, 1)
        await desk.pause()
        for number in (2, 3, 4):
            await desk.shop.send(shopify_order(number))
        found = [await desk.get(f"orders/{order_id}") for order_id in (1, 4)]
        said = [await desk.command("order", name) for name in ("#1", "4")]
        async with browsing() as browser, sitting(browser) as someone:
            shown, listed = [], []
            for order_id in (1, 4):
                await someone.page.goto(f"{desk.relay.private_url}/console/#/orders/{order_id}")
                await expect(someone.page.locator("h1")).to_contain_text(f"#{order_id}")
                shown.append(await someone.page.locator("#place").inner_text())
                listed.append(await someone.page.locator("#timeline").inner_text())
            assert await someone.serious() == []
            assert someone.complaints == []

    sentences = [one["where"]["words"] for one in found]
    assert sentences[0].startswith("Needs a person since ")
    assert sentences[1].startswith("Waits to be sent behind 2 orders; channel main is paused by Ann since ")
    assert shown == sentences
    for one, printed, listing in zip(found, said, listed, strict=True):
        assert flat(printed.out).startswith(
            f"{one['order']['reference']} of shop, id {one['order']['external_id']} {one['where']['words']}"
        )
        assert max(len(line) for line in printed.out.splitlines()) <= 80
        for line in one["timeline"]:
            assert line["words"] in flat(listing)
            assert whole(line["words"]) in whole(printed.out) or len(line["words"]) > 20


def flat(text: str) -> str:
    return " ".join(text.split())


def whole(text: str) -> str:
    return "".join(text.split())


async def test_of_several_orders_that_may_be_meant_the_command_says_where_each_is(tmp_path: Path) -> None:
    storefronts = {"shop": SHOP, "other": {**SHOP, "external_id_prefix": "o-"}}
    async with asking(tmp_path, storefronts=storefronts) as desk, Shop(desk.shop.url, storefront="other") as other:
        await desk.shop.send(shopify_order(1))
        await other.send(shopify_order(1))
        await desk.until(AttemptMade, 2)
        said = await desk.command("order", "1")
        one = await desk.command("order", "order:2")
        both = json.loads((await desk.command("order", "#1", "--json")).out)

    assert flat(said.out).startswith("1 may be any of 2 orders; one by itself: order-relay order order:ID")
    for name in ("order:1", "order:2", "shop", "other", "Delivered at"):
        assert name in flat(said.out)
    assert max(len(line) for line in said.out.splitlines()) <= 80
    assert flat(one.out).startswith("#1 of other, id 1 Delivered at ")
    assert [timeline["order"]["id"] for timeline in both] == [2, 1]


# -- what is answered, masked ------------------------------------------------------------------------------------------


async def test_who_signed_in_sees_what_was_answered_masked_until_they_say_why(tmp_path: Path) -> None:
    fault = Fault(status=422, title="buyer@private.example is no address")
    async with asking(tmp_path, fault, private={"token": TOKEN}) as desk:
        await desk.shop.send(shopify_order(1))
        await desk.until(AttemptMade, 1)
        api, session = f"{desk.relay.private_url}/api", desk.shop.session
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        plain = (await fetched(f"{api}/orders/1", bearer)).json
        asked = (await fetched(f"{api}/orders/1?masked=true", bearer)).json
        body = json.dumps({"by": "ada", "token": TOKEN})
        as_json = {"Content-Type": "application/json"}
        signed_in = await answered(session.post(f"{api}/session", data=body, headers=as_json))
        cookie = {"Cookie": signed_in.headers["Set-Cookie"].partition(";")[0], "X-CSRF-Token": signed_in.json["csrf"]}
        masked = (await fetched(f"{api}/orders/1", cookie)).json
        why = json.dumps({"by": "ada", "why": "the customer calls"})
        revealed = await answered(session.post(f"{api}/orders/1/reveal", data=why, headers=as_json | cookie))

    (excerpt,) = [attempt["excerpt"] for attempt in plain["attempts"]]
    assert PERSONAL.search(excerpt)
    for one in (asked, masked):
        (hidden,) = [attempt["excerpt"] for attempt in one["attempts"]]
        assert json.loads(hidden)["status"] == 422
        assert not PERSONAL.search(hidden)
    assert revealed.json["answers"] == [excerpt]
