"""The window is the backlog's head, whatever is offered, taken, lost and read in whatever order."""

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.core.backlog import Backlog, Waiting


def drained(backlog: Backlog) -> list[Waiting]:
    """What the window would give from here on."""
    copy = deepcopy(backlog)
    taken = []
    while (head := copy.most_urgent()) is not None:
        taken.append(head)
    return taken


def filled(backlog: Backlog, store: list[Waiting]) -> None:
    asked = backlog.begin_refill()
    backlog.refill(sorted(store)[:asked], asked=asked)


def test_a_window_that_was_never_filled_asks_for_it_and_holds_nothing() -> None:
    backlog = Backlog(8)
    backlog.offer(Waiting(1, 1))
    assert backlog.most_urgent() is None, "who knows what else the store has"
    assert backlog.needs_refill


def test_what_was_offered_before_the_first_filling_comes_with_it() -> None:
    backlog = Backlog(8)
    backlog.offer(Waiting(1, 1))
    filled(backlog, [Waiting(1, 1), Waiting(0, 2)])
    assert drained(backlog) == [Waiting(0, 2), Waiting(1, 1)]


def test_what_was_offered_while_the_store_was_read_is_judged_by_the_new_horizon() -> None:
    backlog = Backlog(2)
    asked = backlog.begin_refill()
    backlog.offer(Waiting(5, 5))
    backlog.offer(Waiting(30, 6))
    backlog.refill([Waiting(10, 1), Waiting(20, 2)], asked=asked)
    assert drained(backlog) == [Waiting(5, 5), Waiting(10, 1)]


def test_fewer_places_than_asked_for_are_all_there_are() -> None:
    backlog = Backlog(4)
    filled(backlog, [Waiting(1, 1)])
    assert not backlog.needs_refill
    backlog.offer(Waiting(10**18, 2))
    assert drained(backlog) == [Waiting(1, 1), Waiting(10**18, 2)]


def test_a_window_asks_for_more_when_a_quarter_is_left() -> None:
    backlog = Backlog(8)
    filled(backlog, [Waiting(number, number) for number in range(100)])
    for _ in range(5):
        backlog.most_urgent()
        assert not backlog.needs_refill
    backlog.most_urgent()
    assert (len(backlog), backlog.needs_refill) == (2, True)
    backlog.begin_refill()
    assert not backlog.needs_refill, "it was asked for already"
    backlog.abandon_refill()
    assert backlog.needs_refill


def test_what_a_full_window_drops_is_asked_for_again() -> None:
    backlog = Backlog(2)
    filled(backlog, [])
    for number in (3, 1, 2):
        backlog.offer(Waiting(number, number))
    assert drained(backlog) == [Waiting(1, 1), Waiting(2, 2)]
    backlog.most_urgent()
    backlog.most_urgent()
    assert backlog.needs_refill


def test_an_order_is_in_the_window_once() -> None:
    backlog = Backlog(8)
    filled(backlog, [Waiting(1, 1)])
    backlog.offer(Waiting(1, 1))
    assert drained(backlog) == [Waiting(1, 1)]


@pytest.mark.parametrize("place", [Waiting(0, 2), Waiting(9, 2)])
def test_an_order_that_came_back_to_another_place_is_only_there(place: Waiting) -> None:
    backlog = Backlog(8)
    filled(backlog, [Waiting(2, 2), Waiting(5, 5)])
    backlog.offer(place)
    assert drained(backlog) == sorted([place, Waiting(5, 5)])


def test_an_order_that_came_back_beyond_the_horizon_is_left_to_the_store() -> None:
    backlog = Backlog(2)
    filled(backlog, [Waiting(number, number) for number in range(5)])
    backlog.offer(Waiting(7, 0))
    assert drained(backlog) == [Waiting(1, 1)]


def test_what_another_node_accepted_is_never_overtaken_by_what_this_one_still_holds() -> None:
    backlog = Backlog(4)
    filled(backlog, [Waiting(100, 100), *(Waiting(number, number) for number in range(3)), Waiting(200, 200)])
    for _ in range(3):
        backlog.most_urgent()
    store = [Waiting(100, 100), Waiting(200, 200), *(Waiting(number, number) for number in range(10, 20))]
    filled(backlog, store)  # ten that this node was never offered
    for expected in sorted(store)[:4]:
        assert backlog.most_urgent() == expected
    backlog.offer(Waiting(50, 50))
    assert drained(backlog) == [], "14 to 19 are more urgent than 50, and only the store has them"
    assert backlog.needs_refill


@given(st.lists(st.builds(Waiting, st.integers(-9, 9), st.integers(1, 30)), unique_by=lambda w: w.order_id))
def test_places_are_ordered_by_urgency_and_then_by_age(places: list[Waiting]) -> None:
    assert sorted(places) == sorted(places, key=lambda place: (place.urgency, place.order_id))


class Window(RuleBasedStateMachine):
    """A store of waiting places, and the window on it.

    A delivery is committed first and offered later, perhaps after the store was read in between; whoever has been
    popped is taken at once, or put back; places may vanish from the store behind the window's back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[int, Waiting] = {}
        self.not_offered: list[Waiting] = []
        self.next_id = 1
        self.asked: int | None = None
        self.answer: list[Waiting] | None = None

    @initialize(limit=st.integers(1, 9), filled_at_once=st.booleans())
    def begin(self, limit: int, filled_at_once: bool) -> None:
        self.limit = limit
        self.backlog = Backlog(limit)
        if filled_at_once:
            filled(self.backlog, [])

    @rule(urgencies=st.lists(st.integers(0, 40), min_size=1, max_size=6), at_once=st.booleans())
    def commit(self, urgencies: list[int], at_once: bool) -> None:
        for urgency in urgencies:
            waiting = Waiting(urgency, self.next_id)
            self.next_id += 1
            self.store[waiting.order_id] = waiting
            self.not_offered.append(waiting)
        if at_once:
            self.offer_what_was_committed()

    @rule()
    def offer_what_was_committed(self) -> None:
        for waiting in self.not_offered:
            self.backlog.offer(waiting)
        self.not_offered.clear()

    @precondition(lambda self: not self.not_offered and self.store)
    @rule(data=st.data(), urgency=st.integers(0, 40))
    def moves(self, data: st.DataObject, urgency: int) -> None:
        """An order is settled behind the window's back, and its next event puts it elsewhere."""
        order_id = data.draw(st.sampled_from(sorted(self.store)))
        self.store[order_id] = Waiting(urgency, order_id)
        self.backlog.offer(self.store[order_id])

    @precondition(lambda self: not self.not_offered and self.store)
    @rule(data=st.data())
    def vanishes(self, data: st.DataObject) -> None:
        del self.store[data.draw(st.sampled_from(sorted(self.store)))]

    @rule(put_back=st.booleans())
    def pop(self, put_back: bool) -> None:
        head = self.backlog.most_urgent()
        if head is None or self.store.get(head.order_id) != head:
            return  # taking it is refused: it waits no more, or not there
        if not self.not_offered:
            assert head == min(self.store.values())
        del self.store[head.order_id]
        self.not_offered = [waiting for waiting in self.not_offered if waiting != head]
        if put_back:
            self.store[head.order_id] = head
            self.backlog.offer(head)

    @precondition(lambda self: self.asked is None)
    @rule()
    def begin_refill(self) -> None:
        self.asked = self.backlog.begin_refill()
        self.answer = None

    @precondition(lambda self: self.asked is not None and self.answer is None)
    @rule()
    def read(self) -> None:
        self.answer = sorted(self.store.values())[: self.asked]

    @precondition(lambda self: self.asked is not None and self.answer is not None)
    @rule()
    def refill(self) -> None:
        assert self.asked is not None
        self.backlog.refill(self.answer or [], asked=self.asked)
        self.asked = None

    @precondition(lambda self: self.asked is not None)
    @rule()
    def abandon_refill(self) -> None:
        self.backlog.abandon_refill()
        self.asked = None

    @invariant()
    def it_is_never_longer_than_its_limit(self) -> None:
        assert len(drained(self.backlog)) == len(self.backlog) <= self.limit

    @invariant()
    def it_is_the_head_of_what_was_offered_with_nothing_missing(self) -> None:
        """So nothing more urgent than the horizon is missing: the horizon is not before the window's last place."""
        if self.not_offered:
            return
        shown = [place for place in drained(self.backlog) if self.store.get(place.order_id) == place]
        assert shown == sorted(self.store.values())[: len(shown)]

    @invariant()
    def it_runs_dry_only_if_the_store_has_or_it_asks(self) -> None:
        shown = drained(self.backlog)
        if not shown and not self.not_offered and self.asked is None:
            assert self.backlog.needs_refill or not self.store

    def teardown(self) -> None:
        """Drained with refills as they are asked for, it gives everything that waits, the most urgent first."""
        if not hasattr(self, "backlog"):
            return
        if self.asked is not None:
            self.backlog.abandon_refill()
        self.offer_what_was_committed()
        expected, given_out = sorted(self.store.values()), []
        for _ in range(4 * self.next_id + 4):
            if self.backlog.needs_refill:
                filled(self.backlog, list(self.store.values()))
            head = self.backlog.most_urgent()
            if head is not None and self.store.get(head.order_id) == head:
                given_out.append(self.store.pop(head.order_id))
        assert given_out == expected


TestAnyInterleaving = Window.TestCase
TestAnyInterleaving.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
