"""Cancelling through Jetti's API: which sale it is, what the answers come to, and one order's way through it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.cancelling import Canceller, SalesApi
from relay.clock import SystemClock
from relay.core.cancelling import Found, Wanted, bared, cancelled, found
from relay.core.outcome import Answer, Cancelled, ChannelWrong, Failed, NotYet, Refused, Result, Throttled, cause_of
from relay.destination import async_headers, session, sync_headers
from relay.sandbox import Endpoint, Fault, RunningSandbox, SandboxSettings, sandbox
from tests.builders import NOW
from tests.fakes import manual_sale
from tests.running import UNLIMITED

WANTED = Wanted("5001", 7)
SALE = {"id": 31, "externalId": "5001", "channelId": 7, "cancelled": False, "cancellationStatus": "none"}


def looked(*sales: Any, status: int = 200) -> Any:
    return found(Answer(status, json.dumps(sales).encode()), WANTED, now=NOW)


def told(outcome: Any) -> tuple[type[Any], str]:
    cause = cause_of(outcome)
    return type(outcome), "" if cause is None else cause.code


# -- which sale it is ------------------------------------------------------------------------------------------------


def test_the_sale_that_was_asked_for_is_the_one_to_cancel() -> None:
    assert looked(SALE) == Found(31)


@pytest.mark.parametrize("form", [{"externalId": 5001}, {"channelId": "7"}, {"id": "31"}, {"cancelled": None}])
def test_ids_may_be_numbers_or_text(form: dict[str, Any]) -> None:
    assert looked(SALE | form) == Found(31)


def test_a_sale_whose_channel_is_not_shown_is_the_one_that_was_asked_for() -> None:
    assert looked({key: value for key, value in SALE.items() if key != "channelId"}) == Found(31)


@pytest.mark.parametrize("mark", [{"cancelled": True}, {"cancellationStatus": "full"}])
def test_what_is_cancelled_already_needs_no_call(mark: dict[str, Any]) -> None:
    assert looked(SALE | mark) == Cancelled(200)


def test_a_partly_cancelled_sale_is_cancelled_as_a_whole() -> None:
    assert looked(SALE | {"cancellationStatus": "partial"}) == Found(31)


def test_a_sale_that_is_not_there_may_come_later() -> None:
    outcome = looked()
    assert told(outcome) == (NotYet, "sale_not_found")
    assert "'5001' on channel 7" in str(outcome)
    assert "by hand" in str(outcome)


@pytest.mark.parametrize("other", [{"externalId": "5002"}, {"channelId": 8}, {"externalId": None}])
def test_another_sale_is_never_cancelled(other: dict[str, Any]) -> None:
    assert told(looked(SALE | other)) == (ChannelWrong, "lookup_mismatch")


def test_a_sale_is_found_among_others() -> None:
    assert looked(SALE | {"id": 30, "externalId": "5002"}, SALE) == Found(31)


def test_of_several_sales_with_one_id_a_person_decides() -> None:
    assert told(looked(SALE, SALE | {"id": 32})) == (Refused, "several_sales")
    assert looked(SALE | {"cancelled": True}, SALE | {"id": 32}) == Found(32)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'[{"id": 1', b'["5001"]', b"\xff", b"[" * 100_000])
def test_an_answer_that_is_no_list_of_sales_is_tried_again(body: bytes) -> None:
    assert told(found(Answer(200, body), WANTED, now=NOW)) == (Failed, "lookup_unreadable")


@pytest.mark.parametrize("id_", [None, "", "x", "1/../2", -1, 1.5, True, {}])
def test_a_sale_without_a_usable_id_is_not_cancelled(id_: object) -> None:
    assert told(looked(SALE | {"id": id_})) == (Failed, "lookup_unreadable")


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, ChannelWrong), (403, ChannelWrong), (404, ChannelWrong), (302, ChannelWrong), (429, Throttled),
     (500, Failed), (504, Failed), (422, Refused)],
)  # fmt: skip
def test_a_look_up_is_judged_like_other_answers(status: int, expected: type[Any]) -> None:
    assert type(looked(status=status)) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, Cancelled), (204, Cancelled), (401, ChannelWrong), (403, ChannelWrong), (405, ChannelWrong), (404, Failed),
     (409, Refused), (422, Refused), (429, Throttled), (500, Failed), (504, Failed)],
)  # fmt: skip
def test_a_cancel_call_is_judged_like_other_answers_but_that_a_sale_that_is_gone_says_nothing_of_the_channel(
    status: int, expected: type[Any]
) -> None:
    assert type(cancelled(Answer(status, b""), now=NOW)) is expected


def test_a_problem_code_that_asking_again_cannot_mend_ends_it_whatever_its_status() -> None:
    answer = Answer(500, b'{"title": "api.sales.cancel.shipped", "detail": "It is shipped."}')
    assert told(cancelled(answer, now=NOW)) == (Failed, "api.sales.cancel.shipped")
    permanent = frozenset({"api.sales.cancel.shipped"})
    assert told(cancelled(answer, now=NOW, permanent_codes=permanent)) == (Refused, "api.sales.cancel.shipped")


def test_of_a_look_up_nothing_personal_is_kept() -> None:
    answer = Answer(200, json.dumps([SALE | {"customer": {"email": "ada@example.com"}}]).encode())
    assert json.loads(bared(answer).excerpt) == [SALE]
    assert bared(Answer(500, b"why")).excerpt == "why"


# -- over the wire ---------------------------------------------------------------------------------------------------


class Jetti:
    """A sandbox, and a canceller of one of its channels."""

    def __init__(self, running: RunningSandbox, canceller: Canceller) -> None:
        self.sandbox = running
        self._canceller = canceller
        self.left = 0
        self.long_at, self.long_s = 0, 0.0
        """Which request has to wait for its permit, and for how long."""

    async def _leave(self) -> None:
        self.left += 1
        if self.left == self.long_at:
            await SystemClock().sleep(self.long_s)

    async def cancel(self, order: str = "1") -> Result:
        return await self._canceller.cancel(order, self._leave)

    async def fault(self, **fault: Any) -> None:
        await self.sandbox.impose(Fault(**fault))

    def cancels(self, order: str = "1") -> int:
        sale = self.sandbox.account.sale(order)
        assert sale is not None
        return sale.cancels


@asynccontextmanager
async def jetti(
    settings: SandboxSettings = UNLIMITED, *, token: str = UNLIMITED.token, timeout_s: float = 20.0, sales: int = 2
) -> AsyncIterator[Jetti]:
    """An account with sales ``1``, ``2`` …"""
    async with sandbox(settings) as running, session(4) as connections:
        headers = async_headers(settings.webhook_hash)
        for number in range(1, sales + 1):
            address = f"{running.url}/webhooks/custom-channels/manual-sale.json"
            async with connections.post(address, data=manual_sale(number), headers=headers) as answer:
                assert answer.status == 200
        api = SalesApi(running.url, 1, sync_headers(token), timeout_s, token.encode())
        yield Jetti(running, Canceller(api, connections, SystemClock()))


async def test_a_sale_is_looked_up_and_cancelled_each_request_with_a_permit() -> None:
    async with jetti() as at:
        result = await at.cancel()
        assert (result.outcome, result.status, at.left, at.cancels("1"), at.cancels("2")) == (
            Cancelled(200),
            200,
            2,
            1,
            0,
        )


async def test_a_call_that_has_to_wait_for_its_permit_has_its_whole_time_afterwards() -> None:
    """A channel that rests for a minute makes no failure of what is in flight."""
    async with jetti(timeout_s=0.5) as at:
        at.long_at, at.long_s = 2, 1.0
        assert ((await at.cancel()).outcome, at.cancels()) == (Cancelled(200), 1)


async def test_a_sale_that_is_cancelled_already_is_not_cancelled_again() -> None:
    async with jetti() as at:
        results = [await at.cancel() for _ in range(3)]
        assert [result.outcome for result in results] == [Cancelled(200)] * 3
        assert (at.left, at.cancels()) == (4, 1)


async def test_a_sale_with_the_same_id_on_another_channel_is_not_cancelled() -> None:
    settings = SandboxSettings(async_rate=None, sync_rate=None, channel_id=2, other_channels={1: "another-hash"})
    async with jetti(settings) as at:
        assert told((await at.cancel()).outcome) == (NotYet, "sale_not_found")
        assert at.cancels() == 0


@pytest.mark.parametrize("order", ["ä & b=c#?[]/%", "a b", "é" * 200])
async def test_any_id_is_looked_up_as_it_is(order: str) -> None:
    async with jetti() as at, session(1) as connections:
        body = json.dumps(json.loads(manual_sale(3)) | {"externalId": order}).encode()
        address = f"{at.sandbox.url}/webhooks/custom-channels/manual-sale.json"
        async with connections.post(address, data=body, headers=async_headers(UNLIMITED.webhook_hash)):
            pass
        assert (await at.cancel(order)).outcome == Cancelled(200)
        assert (at.cancels(order), at.cancels("1")) == (1, 0)


async def test_a_call_that_worked_and_was_answered_too_late_is_not_repeated() -> None:
    async with jetti(timeout_s=0.5) as at:
        await at.fault(on=Endpoint.CANCEL, hang_s=2, worked=True, count=1)
        assert told((await at.cancel()).outcome) == (Failed, "timeout")
        assert (await at.cancel()).outcome == Cancelled(200)
        assert at.cancels() == 1


async def test_a_504_for_a_call_that_worked_is_not_repeated() -> None:
    async with jetti() as at:
        await at.fault(on=Endpoint.CANCEL, status=504, worked=True, count=1)
        assert told((await at.cancel()).outcome) == (Failed, "api.errors.unknown")
        assert (await at.cancel()).outcome == Cancelled(200)
        assert at.cancels() == 1


async def test_without_an_answer_to_the_look_up_there_is_no_call() -> None:
    async with jetti(timeout_s=0.5) as at:
        await at.fault(on=Endpoint.API, hang_s=2, count=1)
        assert told((await at.cancel()).outcome) == (Failed, "timeout")
        assert (at.left, at.cancels()) == (1, 0)


async def test_a_wrong_token_is_the_channels_fault_and_is_not_in_what_is_kept() -> None:
    async with jetti(token="wrong-token-81ff") as at:
        result = await at.cancel()
        assert type(result.outcome) is ChannelWrong
        assert "wrong-token-81ff" not in repr(result)


async def test_beyond_the_accounts_limit_it_is_throttled_and_the_call_waits_for_another_time() -> None:
    async with jetti(SandboxSettings(sync_rate=1.0)) as at:
        results = [await at.cancel("1"), await at.cancel("2")]
        assert [type(result.outcome) for result in results] == [Throttled, Throttled]
        assert at.cancels("1") + at.cancels("2") == 0


async def test_nobody_there_is_no_connection() -> None:
    async with jetti() as at:
        await at.fault(refuse_s=5)
        assert told((await at.cancel()).outcome) == (Failed, "connect")


async def test_a_cancel_that_is_broken_off_makes_nothing_up() -> None:
    async with jetti() as at:
        await at.fault(on=Endpoint.CANCEL, hang_s=5, count=1)
        task = asyncio.create_task(at.cancel())
        await SystemClock().sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert at.cancels() == 0
