"""How long to wait, and for how long to try."""

from hypothesis import given
from hypothesis import strategies as st

from relay.core import instant
from relay.core.retry import RetryPolicy
from tests.builders import DAY_S, NOW

POLICIES = st.builds(
    RetryPolicy,
    base_s=st.floats(0.01, 100),
    factor=st.floats(1, 100),
    cap_s=st.floats(0.01, 86_400),
    max_age_s=st.floats(0, 10 * DAY_S),
)
JITTER = st.floats(0, 1)


@given(POLICIES, st.integers(1, 10**9), JITTER)
def test_the_delay_is_never_negative_and_never_above_the_cap(policy: RetryPolicy, attempts: int, jitter: float) -> None:
    delay_s = instant.seconds_between(NOW, policy.next_due(NOW, attempts, jitter=jitter))
    assert 0 <= delay_s <= policy.cap_s + 1e-6
    assert delay_s <= policy.delay_max_s(attempts) + 1e-6


@given(POLICIES, st.integers(1, 200))
def test_the_bound_never_shrinks(policy: RetryPolicy, attempts: int) -> None:
    assert policy.delay_max_s(attempts) <= policy.delay_max_s(attempts + 1)


@given(POLICIES, st.integers(1, 200), JITTER, JITTER)
def test_the_jitter_is_full(policy: RetryPolicy, attempts: int, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert policy.next_due(NOW, attempts, jitter=0.0) == NOW
    assert policy.next_due(NOW, attempts, jitter=low) <= policy.next_due(NOW, attempts, jitter=high)
    assert policy.next_due(NOW, attempts, jitter=1.0) == instant.after(NOW, policy.delay_max_s(attempts))


def test_by_default_the_bounds_are_1_2_4_seconds_and_so_on_up_to_5_minutes() -> None:
    bounds = [RetryPolicy().delay_max_s(attempts) for attempts in range(1, 12)]
    assert bounds == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


STOPWATCH = st.integers(0, 20 * 86_400 * instant.SECOND)


def exhausted(policy: RetryPolicy, attempts: int, *, failing_s: float) -> bool:
    """Whether an order is given up that failed first when the stopwatch said 0, now that it says so many seconds."""
    return policy.exhausted(attempts, failing_us=0, running_us=round(failing_s * instant.SECOND))


@given(POLICIES, st.integers(1, 300), STOPWATCH, STOPWATCH)
def test_an_order_is_given_up_exactly_if_it_was_tried_often_and_long(
    policy: RetryPolicy, attempts: int, failing_us: int, ran_us: int
) -> None:
    long = ran_us >= policy.max_age_s * instant.SECOND
    given_up = policy.exhausted(attempts, failing_us=failing_us, running_us=failing_us + ran_us)
    assert given_up == (attempts >= 8 and long)


def test_no_order_is_given_up_that_was_hardly_tried() -> None:
    assert not exhausted(RetryPolicy(), 7, failing_s=50 * DAY_S)
    assert exhausted(RetryPolicy(), 8, failing_s=50 * DAY_S)


def test_by_default_an_order_is_tried_for_a_day() -> None:
    assert not exhausted(RetryPolicy(), 300, failing_s=DAY_S - 0.001)
    assert exhausted(RetryPolicy(), 300, failing_s=DAY_S)
