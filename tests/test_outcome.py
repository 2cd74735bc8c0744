"""The design, 5.2: what an answer of Jetti's comes to, whatever it answers."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.outcome import (
    EXCERPT_MAX,
    NAMES,
    PERMANENT_CODES,
    Answer,
    Cause,
    ChannelWrong,
    Failed,
    Outcome,
    Refused,
    Sent,
    Throttled,
    cause_of,
    judge,
    name_of,
    pause_s,
)
from tests.builders import NOW, OUTCOMES

MISSING = "api.channels.process_sale.missing"


def problem(**members: object) -> bytes:
    return json.dumps(members).encode()


def judged(status: int, body: bytes = b"", retry_after: str | None = None) -> Outcome:
    return judge(Answer(status, body, retry_after), now=NOW)


# -- by status -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_2xx_is_sent_whatever_it_says(status: int) -> None:
    assert judged(status, problem(title=MISSING), "5") == Sent(status)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_what_is_wrong_with_the_order_is_refused(status: int) -> None:
    outcome = judged(status)
    assert isinstance(outcome, Refused)
    assert (outcome.cause.code, outcome.cause.status) == (f"http_{status}", status)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 415, 300, 301, 302, 303, 304, 307, 308, 399])
def test_what_is_wrong_with_the_channel_is_no_fault_of_the_order(status: int) -> None:
    assert isinstance(judged(status), ChannelWrong)


@pytest.mark.parametrize("status", [408, 500, 501, 502, 503, 504, 520, 599])
def test_what_may_have_worked_or_not_is_tried_again(status: int) -> None:
    assert isinstance(judged(status), Failed)


@pytest.mark.parametrize("status", [0, 100, 402, 406, 418, 423, 451, 600, 999])
def test_what_nothing_is_known_of_is_tried_again(status: int) -> None:
    assert isinstance(judged(status), Failed)


def test_429_is_throttled_with_or_without_a_time() -> None:
    assert judged(429) == Throttled(None, judged(429).cause)  # type: ignore[union-attr]
    outcome = judged(429, retry_after="7")
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s == 7.0


def test_503_is_an_explicit_throttle_if_it_says_when_to_come_back() -> None:
    assert isinstance(judged(503), Failed)
    assert isinstance(judged(503, retry_after="7"), Throttled)


# -- by what the body says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 404, 408, 429, 500, 502, 503, 504])
def test_a_permanent_code_is_refused_whatever_its_status(status: int) -> None:
    outcome = judged(status, problem(title=MISSING, status=500, detail="No such item."), "5")
    assert isinstance(outcome, Refused)
    assert (outcome.cause.code, outcome.cause.message, outcome.cause.status) == (MISSING, "No such item.", status)


def test_the_code_is_read_from_the_types_fragment_where_there_is_no_title() -> None:
    outcome = judged(500, problem(type=f"https://problems.jetti.io/details#{MISSING}"))
    assert isinstance(outcome, Refused)
    assert outcome.cause.code == MISSING


def test_other_codes_may_be_declared_permanent() -> None:
    answer = Answer(500, problem(title="api.sales.create.closed"))
    assert isinstance(judge(answer, now=NOW), Failed)
    assert isinstance(judge(answer, now=NOW, permanent_codes=frozenset({"api.sales.create.closed"})), Refused)
    assert isinstance(judge(answer, now=NOW, permanent_codes=frozenset({"other"})), Failed)


@pytest.mark.parametrize("odd", [None, 7, True, [], {}, {"text": "x"}])
@pytest.mark.parametrize("member", ["type", "detail", "instance", "status"])
def test_a_member_of_the_wrong_type_costs_the_others_nothing(member: str, odd: object) -> None:
    outcome = judged(500, problem(**{"title": MISSING, member: odd}))
    assert isinstance(outcome, Refused)
    assert outcome.cause.code == MISSING


@pytest.mark.parametrize("title", ["Internal Server Error", "", None, 500, "API.x", "apix", "<html>"])
def test_a_title_that_is_no_code_of_jettis_groups_by_status(title: object) -> None:
    outcome = judged(500, problem(title=title, detail="Oh."))
    assert isinstance(outcome, Failed)
    assert (outcome.cause.code, outcome.cause.message) == ("http_500", "Oh.")


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b"null", b"\xff\xfe", b"{", b"[" * 99_999])
def test_a_body_that_is_no_problem_is_judged_by_its_status(body: bytes) -> None:
    outcome = judged(502, body)
    assert isinstance(outcome, Failed)
    assert (outcome.cause.code, outcome.cause.message) == ("http_502", "Jetti answered 502")


def test_codes_messages_and_excerpts_are_bounded() -> None:
    outcome = judged(500, problem(title="api." + "x" * 9999, detail="y" * 9999))
    assert isinstance(outcome, Failed)
    assert (outcome.cause.code, len(outcome.cause.message)) == ("http_500", EXCERPT_MAX)
    assert len(Answer(500, "ž".encode() * 99_999).excerpt) == EXCERPT_MAX


# -- Retry-After -----------------------------------------------------------------------------------------------------


def in_seconds(header: str) -> float | None:
    outcome = judged(429, retry_after=header)
    assert isinstance(outcome, Throttled)
    return outcome.retry_after_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0), (" 120 ", 120.0), ("9" * 5000, 999_999_999.0),
        ("Fri, 27 Nov 2026 12:00:30 GMT", 30.0), ("Fri, 27 Nov 2026 11:59:00 GMT", 0.0),
        ("Fri, 27 Nov 2026 14:00:30 +0200", 30.0), ("Friday, 27-Nov-26 12:00:30 GMT", 30.0),
        ("Fri, 27 Nov 2026 12:00:30 -0000", 30.0),
        ("", None), ("soon", None), ("-5", None), ("1.5", None), ("²", None), ("٣", None), ("1e3", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None), ("Mon, 99999999999 Jan 2026 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +9999999999999999", None), ("Mon, 32 Foo 2026 25:61:61 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_or_nothing(header: str, seconds: float | None) -> None:
    assert in_seconds(header) == seconds


@given(st.integers(-(10**6), 10**8))
def test_a_date_is_as_many_seconds_away_as_it_is_and_never_negative(seconds: int) -> None:
    moment = datetime(2026, 11, 27, 12, tzinfo=UTC) + timedelta(seconds=seconds)
    assert in_seconds(format_datetime(moment, usegmt=True)) == max(0, seconds)


# -- anything --------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(sorted(PERMANENT_CODES)),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["title", "type", "detail", "x"]), inner),
    max_leaves=8,
)
BODIES = st.binary() | JSON.map(lambda value: json.dumps(value).encode())
NUMBERS = st.integers(-1, 10**25).map(str)
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Sunday", ""]), NUMBERS, st.sampled_from(["Jan", "Dec", "Foo"]), NUMBERS, NUMBERS, NUMBERS,
    NUMBERS, st.sampled_from(["GMT", "-0000", "EST", ""]) | NUMBERS.map("+{}".format),
)  # fmt: skip
HEADERS = st.none() | st.text() | NUMBERS | DATES


@given(st.integers(), BODIES, HEADERS)
@example(503, b'{"title": "\\ud800"}', "\ud800")
def test_nothing_that_is_answered_makes_judging_raise(status: int, body: bytes, retry_after: str | None) -> None:
    answer = Answer(status, body, retry_after)
    outcome = judge(answer, now=NOW)
    assert isinstance(outcome, Sent) == (200 <= status < 300)
    assert name_of(outcome) in NAMES
    why = cause_of(outcome)
    assert (why is None) == isinstance(outcome, Sent)
    if why is not None:
        assert why.status == status
        assert 0 < len(why.code) <= 200
        assert 0 < len(why.message) <= EXCERPT_MAX
    assert len(answer.excerpt) <= EXCERPT_MAX
    if isinstance(outcome, Throttled) and outcome.retry_after_s is not None:
        assert outcome.retry_after_s >= 0


def test_every_outcome_has_a_name_and_every_failure_a_cause() -> None:
    assert [name_of(outcome) for outcome in OUTCOMES] == [
        "sent", "unchanged", "refused", "failed", "throttled", "channel_wrong", "cannot_map", "held",
        "not_yet", "cancelled", "fetched", "ignored",
    ]  # fmt: skip
    assert set(map(name_of, OUTCOMES)) == set(NAMES)
    assert [name_of(outcome) for outcome in OUTCOMES if cause_of(outcome) is None] == [
        "sent", "unchanged", "cancelled", "fetched",
    ]  # fmt: skip


@pytest.mark.parametrize(("asked_s", "pause"), [(None, 1.0), (0.0, 0.1), (7.0, 7.0), (1e12, 300.0)])
def test_what_a_throttled_channel_is_asked_to_wait_is_bounded_both_ways(asked_s: float | None, pause: float) -> None:
    assert pause_s(Throttled(asked_s, Cause("http_429", "slower", 429))) == pause
