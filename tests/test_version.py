"""Which of two states of one order is the newer."""

import pytest

from relay.core import instant
from relay.core import version as versions

EARLY, LATE = (instant.parse(f"2026-11-21T{hour}:00:00Z") or 0 for hour in ("10", "11"))
NINES = instant.parse("9999-12-31T23:59:59.999999Z")


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        (EARLY, LATE, True),
        (LATE, EARLY, False),
        (EARLY, EARLY, False),
        (versions.of_sequence(1), versions.of_sequence(2), True),
        (versions.of_sequence(2), versions.of_sequence(2), False),
        (versions.of_sequence(3), versions.of_sequence(2), False),
        # Of a time and a number neither is older, so that what arrives later is newer.
        (EARLY, versions.of_sequence(0), False),
        (versions.of_sequence(0), EARLY, False),
        (NINES, versions.of_sequence(0), False),
    ],
)
def test_times_and_numbers_are_each_compared_among_themselves(version: int, than: int, older: bool) -> None:
    assert versions.is_older(version, than) is older


def test_no_time_is_a_number_and_no_number_a_time() -> None:
    assert NINES is not None
    assert versions.of_time(NINES) == NINES
    assert versions.of_time(NINES + 1) is None
    assert versions.of_time(-1) is None
    assert versions.of_sequence(0) == NINES + 1
    assert versions.of_sequence(-1) is None
    assert versions.of_sequence(versions.SEQUENCE_MAX + 1) is None
    assert (versions.of_sequence(versions.SEQUENCE_MAX) or 0) < 2**63, "what a store's column holds"
    assert (versions.time_of(EARLY), versions.time_of(versions.of_sequence(5)), versions.time_of(None)) == (
        EARLY,
        None,
        None,
    )


def test_a_person_is_told_which_of_the_two_it_is() -> None:
    assert versions.shown(versions.of_sequence(42) or 0) == "number 42"
    assert versions.shown(EARLY) == "2026-11-21T10:00:00.000Z"
