"""How near the limits are, and whom that concerns."""

import pytest

from relay.core.pressure import REFUSALS, Limit, Pressure, concerning, of_backlog, of_disk, of_queue, refusing

MB = 1_000_000
RESERVE = 256 * MB
COMES_AGAIN, NEVER_AGAIN = 0.8, 1.0


@pytest.mark.parametrize(
    ("free", "level"),
    [(100 * RESERVE, 0.01), (2 * RESERVE, 0.5), (RESERVE * 5 // 4, 0.8), (RESERVE, 1.0), (RESERVE // 2, 1.0), (0, 1.0)],
)
def test_the_disk_is_full_when_as_much_is_free_as_is_to_be_kept(free: int, level: float) -> None:
    assert of_disk(free, RESERVE).level == pytest.approx(level)


@pytest.mark.parametrize("free", [0, 1, RESERVE])
def test_a_disk_without_a_reserve_is_never_full(free: int) -> None:
    assert of_disk(free, 0).level == 0.0


@pytest.mark.parametrize(("orders", "level"), [(0, 0.0), (80, 0.8), (100, 1.0), (250, 1.0)])
def test_a_backlog_is_full_when_as_many_wait_as_may(orders: int, level: float) -> None:
    assert of_backlog("main", orders, 100).level == level


def test_the_queue_is_as_full_as_it_is() -> None:
    assert [of_queue(share).level for share in (0.0, 0.5, 1.0, 1.5)] == [0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("level", "comes_again", "never_again"),
    [(0.79, False, False), (0.8, True, False), (0.99, True, False), (1.0, True, True)],
)
def test_those_that_send_it_again_are_refused_first(level: float, comes_again: bool, never_again: bool) -> None:
    pressure = Pressure(Limit.DISK, level, "")

    assert (pressure.refuses(COMES_AGAIN), pressure.refuses(NEVER_AGAIN)) == (comes_again, never_again)


@pytest.mark.parametrize("refuse_at", [0.05, 0.5, 0.8, 1.0])
def test_who_is_refused_is_let_in_again_a_little_below_the_threshold(refuse_at: float) -> None:
    just_below = Pressure(Limit.BACKLOG, refuse_at * 0.96, "")
    below = Pressure(Limit.BACKLOG, refuse_at * 0.94, "")

    assert not just_below.refuses(refuse_at)
    assert just_below.refuses(refuse_at, already=True)
    assert not below.refuses(refuse_at, already=True)


def test_a_storefront_feels_the_disk_and_its_own_channels_backlog_only() -> None:
    disk, mine, other = of_disk(1, 1), of_backlog("main", 1, 1), of_backlog("trial", 1, 1)

    assert concerning(["main"], [disk, mine, other]) == [disk, mine]


def test_of_two_reasons_the_nearer_limit_comes_first() -> None:
    disk, backlog = Pressure(Limit.DISK, 0.85, ""), Pressure(Limit.BACKLOG, 0.9, "")

    assert refusing([disk, backlog], COMES_AGAIN) == [backlog, disk]
    assert refusing([disk, backlog], NEVER_AGAIN) == []


def test_one_limits_refusal_makes_no_other_one_stickier() -> None:
    pressures = [Pressure(Limit.DISK, 0.78, ""), Pressure(Limit.BACKLOG, 0.78, "")]

    assert refusing(pressures, COMES_AGAIN, already=frozenset({Limit.DISK})) == pressures[:1]


def test_the_words_have_what_there_is_and_what_there_may_be_and_the_key() -> None:
    assert of_disk(212_345_678, 268_435_456).words == (
        "212.3 MB of the store's disk are free, 268.4 MB are to stay free (store.disk_free_min_bytes)"
    )
    assert of_disk(1_500_000_000_000, 999).words.startswith("1.5 TB of the store's disk are free, 999 bytes are to")
    assert of_backlog("main", 9_876_543, 10_000_000).words == (
        "9,876,543 orders wait for channel main, 10,000,000 may (channels.main.backlog_max)"
    )
    assert of_backlog("main", 1, 20).words == "1 order waits for channel main, 20 may (channels.main.backlog_max)"
    assert of_backlog("fetch:bc", 1, 20).words.endswith("20 may (storefronts.bc.fetch.backlog_max)")
    assert of_queue(0.834).words == "83% of the commit queue is in use (public.queue_max)"


def test_a_storefront_is_told_no_figures() -> None:
    assert {limit: refusal.name for limit, refusal in REFUSALS.items()} == {
        Limit.QUEUE: "busy", Limit.DISK: "disk-full", Limit.BACKLOG: "backlog-full",
    }  # fmt: skip
    assert not any(character.isdigit() for refusal in REFUSALS.values() for character in refusal.words)
