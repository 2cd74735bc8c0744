"""What just happened, second by second."""

from dataclasses import replace
from pathlib import Path

from relay.api.pulse import KEPT_S, LATEST_MAX, Pulse
from relay.clock import SystemClock
from relay.core.delivery import Lane, State
from relay.core.events import AttemptMade, EventAccepted, RequestRefused
from relay.core.instant import Instant
from relay.core.order import Disposition
from tests.fakes import Shop, fetched, shopify_order
from tests.running import relay_running

ACCEPTED = EventAccepted("shop", "orders/create", Disposition.QUEUED, 1, "1001", "#1001", 1, None, 10, 0.001)
MADE = AttemptMade(
    "main", "shop", 1, "1001", "#1001", 1, Lane.NEW, "sent", 200, "", "", 0.1, 1, 0.2, State.SENT, 0
)  # fmt: skip


class Time(SystemClock):
    """Seconds that pass when they are told to."""

    at = 1_000

    def now(self) -> Instant:
        return self.at * 1_000_000 + 5


def test_every_complete_second_has_its_figures_the_quiet_ones_too() -> None:
    time = Time()
    pulse = Pulse(time, ("shop",))
    pulse(ACCEPTED)
    pulse(ACCEPTED)
    time.at = 1_002
    pulse(MADE)
    pulse(replace(MADE, outcome="failed"))
    pulse(replace(MADE, outcome="fetched"))
    time.at = 1_003
    pulse(ACCEPTED)
    first, seconds = pulse.seconds()

    assert first == 1_000
    assert [(s.accepted, s.delivered, s.not_delivered) for s in seconds] == [(2, 0, 0), (0, 0, 0), (0, 1, 1)]
    assert [s.delivered for s in pulse.seconds(after=1_001)[1]] == [1]
    assert pulse.seconds(after=1_002) == (1_003, [])


def test_it_stays_small_however_long_it_runs() -> None:
    time = Time()
    pulse = Pulse(time)
    for at in range(1_000, 1_000 + 3 * KEPT_S):
        time.at = at
        pulse(ACCEPTED)
    first, seconds = pulse.seconds()

    assert (len(seconds), time.at - first) == (KEPT_S, KEPT_S)
    assert len(pulse._seconds) <= KEPT_S + 1
    assert len(pulse.latest) == LATEST_MAX


def test_a_storefront_says_when_its_last_event_came_and_one_that_is_not_configured_is_no_storefront() -> None:
    time = Time()
    pulse = Pulse(time, ("shop", "till"))
    pulse(ACCEPTED)
    pulse(RequestRefused("shop", 401, "bad-signature", "", 0.001))
    pulse(RequestRefused("unknown", 404, "unknown-storefront", "", 0.001))

    assert (pulse.doors["shop"].last_at, pulse.doors["shop"].accepted, pulse.doors["shop"].refused) == (
        time.now(), 1, 1,
    )  # fmt: skip
    assert (pulse.doors["till"].last_at, set(pulse.doors)) == (None, {"shop", "till"})


async def test_the_pulse_of_a_relay_has_what_was_accepted_and_delivered_and_the_latest_webhooks(
    tmp_path: Path,
) -> None:
    async with relay_running(tmp_path) as (relay, _), Shop(relay.public_url) as shop:
        for number in (1, 2, 3):
            await shop.send(shopify_order(number))
        await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) == 3)
        await SystemClock().sleep(1.1)
        pulse = (await fetched(relay.private_url + "/api/pulse?limit=2")).json

    assert (sum(pulse["accepted"]), sum(pulse["delivered"]), sum(pulse["not_delivered"])) == (3, 3, 0)
    assert [one["reference"] for one in pulse["latest"]] == ["#3", "#2"]
    assert pulse["storefronts"]["shop"]["accepted"] == 3
