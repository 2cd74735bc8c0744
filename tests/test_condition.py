"""What a channel's deliveries depend on besides its backlog: it outlives the process, and versions of it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.breaker import Breaker, Circuit
from relay.core.condition import Condition, Pause, RateForNow, decode, encode
from relay.core.delivery import ChannelNow
from relay.core.outcome import Cause
from relay.core.pace import Tempo
from tests.builders import NOW, at, cause

MICROSECONDS = st.integers(-(2**60), 2**60)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
CAUSES = st.builds(Cause, TEXTS, TEXTS, st.none() | st.integers(100, 599))
IDS = st.lists(st.integers(1, 2**53)).map(tuple)
CONDITIONS = st.builds(
    Condition,
    st.builds(
        Tempo, st.floats(0.01, 1.0), st.none() | MICROSECONDS, st.none() | MICROSECONDS, st.none() | CAUSES,
        st.integers(0, 2**53),
    ),
    st.builds(
        Breaker, st.sampled_from(Circuit), st.none() | MICROSECONDS, st.none() | CAUSES, IDS, IDS, TEXTS,
        st.integers(0, 10**6), st.none() | MICROSECONDS, st.none() | MICROSECONDS,
    ),
    st.none() | st.builds(Pause, TEXTS, TEXTS, MICROSECONDS),
    st.integers(0, 2**60),
    st.none() | st.builds(RateForNow, st.floats(0.01, 100.0), TEXTS, TEXTS, MICROSECONDS, st.none() | MICROSECONDS),
)  # fmt: skip
RESTING = Tempo(0.5, NOW, at(60), cause("http_429", 429), 17)
HALTED = Breaker(Circuit.HALTED, NOW, cause("http_401", 401), waits_from=NOW, probe_at=at(300), probes=9)
PAUSED = Pause("ann", "stocktaking", NOW)
SLOW = RateForNow(2.5, "ann", "Jetti asked for it", NOW, at(60))


@given(CONDITIONS)
def test_what_is_kept_comes_back_as_it_was(condition: Condition) -> None:
    assert decode(encode(condition)) == condition
    assert decode(encode(condition).decode()) == condition


def test_what_another_version_kept_costs_nothing() -> None:
    kept = json.loads(encode(Condition(RESTING, HALTED, PAUSED, 5)))
    newer = {"mood": "good", **kept, "tempo": {**kept["tempo"], "swing": [1, {}]}}
    assert decode(json.dumps(newer)) == Condition(RESTING, HALTED, PAUSED, 5)
    older = {"breaker": {"circuit": "open"}, "pause": None}
    assert decode(json.dumps(older)) == Condition(breaker=Breaker(Circuit.OPEN))
    assert decode("{}") == Condition()


def test_a_condition_without_a_rate_for_now_is_read_as_it_was_meant() -> None:
    kept = json.loads(encode(Condition(RESTING, HALTED, PAUSED, 5)))
    del kept["rate_for_now"]
    assert decode(json.dumps(kept)) == Condition(RESTING, HALTED, PAUSED, 5)


@pytest.mark.parametrize(
    ("said", "share", "used"),
    [
        (None, 1.0, 1.0),
        (2.5, 1.0, 0.25),
        (2.5, 0.5, 0.125),  # a throttle cuts from it
        (40.0, 1.0, 1.0),  # the ceiling is lower by now
        (0.0, 1.0, 0.001),  # nobody can say so; but it must not stand still
    ],
)
def test_what_may_be_used_of_the_ceiling_is_the_throttles_share_of_the_rate_for_now(
    said: float | None, share: float, used: float
) -> None:
    slow = None if said is None else replace(SLOW, rate=said)
    condition = Condition(Tempo(share), rate_for_now=slow)
    assert condition.share(10.0, at(59)) == pytest.approx(used)
    assert condition.share(10.0, at(60)) == share, "it is over"


def test_a_rate_for_now_ends_by_itself_or_by_a_person() -> None:
    condition = Condition(rate_for_now=SLOW)
    assert condition.without_what_is_over(at(59)) == condition
    assert condition.without_what_is_over(at(60)) == Condition()
    for_ever = Condition(rate_for_now=replace(SLOW, until=None))
    assert for_ever.without_what_is_over(at(10**9)) == for_ever
    assert condition.restarted() == condition


@pytest.mark.parametrize(
    ("condition", "stands"),
    [
        (Condition(), False),
        (Condition(tempo=Tempo(share=0.1)), False),
        (Condition(tempo=RESTING), True),
        (Condition(breaker=HALTED), True),
        (Condition(breaker=Breaker(Circuit.OPEN)), True),
        (Condition(breaker=Breaker(failed=(1, 2))), False),
        (Condition(pause=PAUSED), True),
    ],
)
def test_no_order_ages_while_the_channel_is_paused_resting_open_or_halted(condition: Condition, stands: bool) -> None:
    assert condition.stands(NOW) is stands


def test_a_rest_ends() -> None:
    assert not Condition(tempo=RESTING).stands(at(60))


def test_a_restart_forgets_neither_a_halt_nor_a_pause_nor_a_rest_nor_the_rate() -> None:
    again = Condition(RESTING, HALTED, PAUSED, 5).restarted()
    assert again.breaker == HALTED.restarted()
    assert (again.pause, again.running_us) == (PAUSED, 5)
    assert again.tempo == replace(RESTING, cut_at=0), "requests are numbered anew"


def test_what_a_delivery_needs_to_know() -> None:
    assert Condition(running_us=5).around(7.0) == ChannelNow(5, 7.0)
    assert Condition().around() == ChannelNow()


def test_the_stopwatch_runs_only_while_the_channel_is_known_to_work() -> None:
    assert Condition().runs
    assert Condition(breaker=Breaker(refused=(1,), refusal="http_422")).runs
    assert not Condition(breaker=Breaker(failed=(1,))).runs, "something failed, and nothing was taken since"
    assert not Condition(breaker=HALTED).runs
    assert not Condition(pause=PAUSED).runs


@pytest.mark.parametrize("kept", [b"", b"null", b"[]", b"{", b"\xff", b'{"breaker":{"circuit":"half_open"}}'])
def test_what_cannot_be_read_is_taken_for_a_pause_and_a_person_decides(kept: bytes) -> None:
    condition = decode(kept)
    assert condition.pause is not None
    assert "cannot be read" in condition.pause.why
