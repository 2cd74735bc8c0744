"""Where an order is and why: every place there is, as a person is told."""

from dataclasses import replace
from typing import Any

import pytest

from relay.core import instant
from relay.core.breaker import Breaker, Circuit
from relay.core.condition import Condition, Pause, RateForNow
from relay.core.delivery import Lane, State
from relay.core.order import Lease, Order, cancelling, fetching
from relay.core.outcome import Cause, Trouble
from relay.core.pace import Tempo
from relay.core.whereabouts import COUNTED_MAX, Road, Whereabouts, whereabouts

NOW = instant.of(instant.moment(1_795_288_926_000_000))  # 2026-11-21T19:22:06Z
EARLIER, LATER = instant.after(NOW, -66), instant.after(NOW, 12)
TIMEOUT = Cause("timeout", "no answer within 30 s")
DOWN = Cause("http_503", "Jetti answered 503", 503)
WRONG = Cause("api.errors.unauthorized", "The hash is wrong.", 401)
OPEN = Road(Condition(), 10.0)
ORDER = Order(
    id=1, storefront="shop", external_id="1001", channel="main", reference="#1001", version=None, revision=2,
    event_id=2, cancelled_at=None, delivered_revision=0, delivered_digest=None, state=State.WAITING, lane=Lane.NEW,
    due_at=EARLIER, urgency=EARLIER, accepted_at=EARLIER, since=EARLIER,
)  # fmt: skip
PAUSED = replace(OPEN, condition=Condition(pause=Pause("Ann", "Jetti is being migrated", EARLIER)))
HALTED = replace(OPEN, condition=Condition(breaker=Breaker(Circuit.HALTED, EARLIER, WRONG)))
CUT_OFF = replace(OPEN, condition=Condition(breaker=Breaker(Circuit.OPEN, EARLIER, TIMEOUT)))
RESTING = replace(OPEN, condition=Condition(tempo=Tempo(0.5, NOW, LATER, Cause("http_429", "too fast", 429))), rate=5.0)
FAILING = replace(OPEN, trouble=Trouble("failed", DOWN, EARLIER, 3))
SLOWED = Road(Condition(rate_for_now=RateForNow(2.0, "Ann", "stocktaking", EARLIER, LATER)), 2.0, then=10.0)
THROTTLED = replace(OPEN, trouble=Trouble("throttled", Cause("http_429", "too fast", 429), EARLIER, 3))


def told(road: Road | None = OPEN, ahead: int | None = None, **order: Any) -> Whereabouts:
    return whereabouts(replace(ORDER, **order), road, ahead=ahead, now=NOW)


@pytest.mark.parametrize(
    ("road", "ahead", "order", "words", "expected_s"),
    [
        (OPEN, 214, {}, "Waits to be sent behind 214 orders, about 21 s at 10/s.", 21.4),
        (OPEN, 1, {}, "Waits to be sent behind 1 order, about 1 s at 10/s.", 0.1),
        (OPEN, 0, {}, "Waits to be sent next, at 10/s.", 0),
        (OPEN, None, {}, "Waits to be sent since 19:21:00 UTC.", None),
        (replace(OPEN, rate=1 / 3), 40, {}, "Waits to be sent behind 40 orders, about 2 min at 0.333/s.", 120),
        (THROTTLED, 30, {}, "Waits to be sent behind 30 orders, about 3 s at 10/s.", 3),
        (
            OPEN, 214, {"lane": Lane.UPDATE},
            "Waits to be sent behind 214 orders, at least 21 s at 10/s, as new orders go first.", 21.4,
        ),
        (OPEN, 0, {"lane": Lane.REPLAY}, "Waits to be sent next, at 10/s.", 0),
        (
            OPEN, COUNTED_MAX + 1, {},
            "Waits to be sent behind more than 100,000 orders, more than 2.8 h at 10/s.", 10_000,
        ),
        (
            OPEN, 30, {"attempts": 2, "cause": TIMEOUT},
            "Retry 2 waits behind 30 orders, about 3 s at 10/s. The last attempt: timeout: no answer within 30 s.", 3,
        ),
        (
            RESTING, 30, {},
            ("Waits to be sent behind 30 orders, about 18 s at 5/s; channel main rests until 19:22:18 UTC: "
            "http_429: too fast."),
            18,
        ),
        (SLOWED, 20, {}, "Waits to be sent behind 20 orders, about 10 s at 2/s.", 10),
        (
            SLOWED, 104, {},
            "Waits to be sent behind 104 orders, about 20 s at 2/s until 19:22:18 UTC, then at 10/s.", 20,
        ),
        (
            replace(SLOWED, condition=replace(SLOWED.condition, tempo=RESTING.condition.tempo)), 30, {},
            ("Waits to be sent behind 30 orders, about 15 s at 2/s until 19:22:18 UTC, then at 10/s; channel main "
            "rests until 19:22:18 UTC: http_429: too fast."),
            15,
        ),
        (
            PAUSED, 30, {},
            ("Waits to be sent behind 30 orders; channel main is paused by Ann since 19:21:00 UTC: "
            "Jetti is being migrated."),
            None,
        ),
        (
            HALTED, 0, {},
            ("Waits to be sent next; channel main is halted since 19:21:00 UTC: 401 api.errors.unauthorized: "
            "The hash is wrong."),
            None,
        ),
        (
            CUT_OFF, 2, {},
            ("Waits to be sent behind 2 orders; channel main is not sent to, its circuit is open since 19:21:00 UTC: "
            "timeout: no answer within 30 s."),
            None,
        ),
        (
            FAILING, 2, {},
            ("Waits to be sent behind 2 orders; nothing gets through channel main since 19:21:00 UTC: "
            "http_503: Jetti answered 503."),
            None,
        ),
        (
            None, 2, {},
            ("Waits to be sent behind 2 orders; no channel main is configured any more: configure the channel again; "
            "a newer webhook of an order moves it to its storefront's channel."),
            None,
        ),
        (
            OPEN, 2, {"channel": fetching("shop")},
            "Waits to be fetched behind 2 orders, at least 1 s at 10/s.", 0.2,
        ),
        (
            None, 0, {"channel": cancelling("main")},
            ("Waits to be cancelled next; no channel cancel:main is configured any more: give channels.main its token "
            "and channel_id again; or cancel them at Jetti by hand, and discard them."),
            None,
        ),
    ],
)  # fmt: skip
def test_what_waits_says_behind_how_many_and_for_how_long_or_why_nobody_knows(
    road: Road | None, ahead: int | None, order: dict[str, Any], words: str, expected_s: float | None
) -> None:
    found = told(road, ahead, **order)
    assert (found.place, found.words) == ("waiting", words)
    assert found.expected_s == pytest.approx(expected_s) if expected_s is not None else found.expected_s is None
    assert found.ahead == (None if ahead is None else min(ahead, COUNTED_MAX))


@pytest.mark.parametrize(
    ("road", "ahead", "order", "at_least"),
    [
        (OPEN, 3, {}, False),
        (OPEN, 3, {"lane": Lane.UPDATE}, True),
        (OPEN, COUNTED_MAX, {}, False),
        (OPEN, COUNTED_MAX + 1, {}, True),
        (OPEN, 3, {"channel": cancelling("main")}, True),
    ],
)
def test_it_is_at_least_where_more_may_go_first(road: Road, ahead: int, order: dict[str, Any], at_least: bool) -> None:
    assert told(road, ahead, **order).at_least == at_least


ASLEEP = {"state": State.SLEEPING, "due_at": LATER}


@pytest.mark.parametrize(
    ("road", "order", "words"),
    [
        (
            OPEN, {"attempts": 3, "cause": TIMEOUT},
            ("Retry 3 at 19:22:18 UTC, in 12 s; then it waits its turn. The last attempt: timeout: "
            "no answer within 30 s."),
        ),
        (
            HALTED, {"cause": WRONG},
            ("To be tried again at 19:22:18 UTC, in 12 s; then it waits its turn; channel main is halted since "
            "19:21:00 UTC: 401 api.errors.unauthorized: The hash is wrong."),
        ),
        (
            PAUSED, {"due_at": EARLIER, "attempts": 1, "cause": TIMEOUT},
            ("Retry 1 at 19:21:00 UTC; then it waits its turn; channel main is paused by Ann since 19:21:00 UTC: "
            "Jetti is being migrated. The last attempt: timeout: no answer within 30 s."),
        ),
        (
            OPEN, {"channel": fetching("shop")},
            "To be fetched at 19:22:18 UTC, in 12 s; then it waits its turn.",
        ),
        (
            OPEN, {"channel": cancelling("main"), "due_at": instant.after(NOW, 86_400)},
            "To be cancelled at 2026-11-22 19:22:06 UTC, in 24.0 h; then it waits its turn.",
        ),
    ],
)  # fmt: skip
def test_what_sleeps_says_when_it_wakes_and_that_it_then_waits_its_turn(
    road: Road, order: dict[str, Any], words: str
) -> None:
    found = told(road, None, **{**ASLEEP, **order})
    assert (found.place, found.words) == ("sleeping", words)
    assert (found.at, found.expected_s, found.ahead) == (order.get("due_at", LATER), None, None)


@pytest.mark.parametrize(
    ("channel", "revision", "since", "words"),
    [
        ("main", 2, EARLIER, "In flight since 19:21:00 UTC: revision 2 is being sent."),
        ("main", 1, EARLIER, "In flight since 19:21:00 UTC: revision 1 is being sent. Revision 2 goes after it."),
        (fetching("shop"), 2, EARLIER, "In flight since 19:21:00 UTC: revision 2 is being fetched."),
        (cancelling("main"), 2, None, "Revision 2 is about to be cancelled."),
    ],
)
def test_what_is_in_flight_says_since_when(channel: str, revision: int, since: int | None, words: str) -> None:
    found = told(replace(OPEN, in_flight_since=since), lease=Lease(1, revision, channel))
    assert (found.place, found.words, found.since) == ("in flight", words, EARLIER)


@pytest.mark.parametrize(
    ("order", "place", "words"),
    [
        (
            {"state": State.SENT, "delivered_revision": 2}, "delivered",
            "Delivered at 19:21:00 UTC: Jetti has revision 2, the newest.",
        ),
        (
            {"state": State.SENT, "delivered_revision": 2, "channel": cancelling("main")}, "delivered",
            "Delivered at 19:21:00 UTC: Jetti has revision 2, the newest, and has cancelled it.",
        ),
        (
            {"state": State.HELD, "held_since": instant.after(NOW, -3600), "cause": Cause("held", "not paid")}, "held",
            "Held since 18:22:06 UTC: not paid.",
        ),
        (
            {"state": State.HELD, "cancelled_at": NOW, "cause": Cause("held", "not paid.")}, "held",
            "Held and cancelled since 19:21:00 UTC: not paid.",
        ),
        (
            {"state": State.DEAD, "cause": Cause("api.errors.unknown", "No such item.", 422)}, "dead",
            "Needs a person since 19:21:00 UTC: 422 api.errors.unknown: No such item.",
        ),
        (
            {"state": State.DISCARDED, "cause": Cause("discarded", "by ada: entered by hand")}, "discarded",
            "Discarded at 19:21:00 UTC: by ada: entered by hand.",
        ),
        (
            {"state": State.IGNORED, "cause": Cause("ignored", "a test order")}, "ignored",
            "Not wanted at Jetti since 19:21:00 UTC: a test order.",
        ),
    ],
)  # fmt: skip
def test_what_has_come_to_rest_says_why(order: dict[str, Any], place: str, words: str) -> None:
    found = told(None, **order)
    assert (found.place, found.words) == (place, words)
    assert found.since == order.get("held_since", EARLIER)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("road", [OPEN, PAUSED, HALTED, CUT_OFF, RESTING, FAILING, None])
@pytest.mark.parametrize("cause", [None, TIMEOUT, Cause("", "")])
def test_every_place_has_whole_sentences(state: State, road: Road | None, cause: Cause | None) -> None:
    words = told(road, 3, state=state, cause=cause, due_at=LATER).words
    assert words[0].isupper()
    assert words.endswith(".")
    assert "  " not in words
    assert ".." not in words
    assert ": ." not in words
    assert ";." not in words
