"""Is it the channel that is wrong, or this one order?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.suspects import _MOST, Suspects

TOOK, REFUSED = "took", "refused"


@pytest.mark.parametrize(
    ("happened", "own_fault"),
    [
        pytest.param([], False, id="refused for the first time"),
        pytest.param([(REFUSED, 1, 5)], False, id="refused again, and nothing was taken since"),
        pytest.param([(TOOK, 2, 5)], False, id="others were taken before, and not since"),
        pytest.param([(REFUSED, 1, 5), (TOOK, 2, 5)], False, id="what was taken since had been begun before"),
        pytest.param([(REFUSED, 1, 5), (TOOK, 2, 6)], True, id="what was begun after the refusal was taken"),
        pytest.param([(REFUSED, 1, 5), (TOOK, 2, 6), (TOOK, 3, 4)], True, id="answers may come in any order"),
        pytest.param([(REFUSED, 1, 5), (TOOK, 2, 6), (REFUSED, 1, 9)], True, id="and so is every further refusal"),
        pytest.param([(REFUSED, 1, 5), (TOOK, 1, 6)], False, id="it was taken itself since: it is beyond suspicion"),
        pytest.param([(REFUSED, 2, 5), (TOOK, 3, 6)], False, id="another was refused, and it is another's fault"),
    ],
)
def test_whether_a_refusal_is_the_orders_own_fault(happened: list[tuple[str, int, int]], own_fault: bool) -> None:
    suspects = Suspects()
    for what, order_id, number in happened:
        if what == TOOK:
            suspects.took(order_id, number)
        else:
            suspects.refused(order_id, number)
    assert suspects.refused(1, 10) is own_fault


@given(st.lists(st.integers(1, 20)))
def test_while_nothing_is_taken_it_is_never_the_orders_own_fault(order_ids: list[int]) -> None:
    suspects = Suspects()
    assert not any(suspects.refused(order_id, number) for number, order_id in enumerate(order_ids, 1))


def test_no_more_suspects_are_remembered_than_a_bound_and_the_longest_known_is_forgotten_first() -> None:
    suspects = Suspects()
    for order_id in range(_MOST + 1):
        suspects.refused(order_id, 1)
    suspects.took(-1, 2)
    assert suspects.refused(_MOST, 3)
    assert not suspects.refused(0, 3)


def test_a_refusal_that_another_order_met_before_anything_was_taken_was_the_channels() -> None:
    """Wrong, mended, and wrong again: the first to meet it again is an order that had met it before, and that fails
    for another reason, so that it was not taken in between."""
    suspects = Suspects()
    suspects.refused(1, 5)
    suspects.refused(2, 6)
    suspects.took(2, 7)
    suspects.took(3, 8)
    assert not suspects.refused(1, 20)
