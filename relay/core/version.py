"""Which of two states of one order is the newer: by the storefront's clock, or by a number that only grows.

A version is one whole number in every store: an instant, or a sequence number that begins where dates end, in the year
10000. So neither is ever taken for the other: where a storefront changes from the one to the other, the two cannot be
compared, and what arrives later is newer.
"""

from relay.core import instant
from relay.core.instant import Instant

Version = int
"""An instant before the year 10000, or a sequence number, counted from there."""

_YEAR_10000 = 253_402_300_800 * instant.SECOND
SEQUENCE_MAX = 10**18
"""With the offset still within 64 bits."""


def of_time(moment: Instant | None) -> Version | None:
    """A storefront's own time of the change; ``None`` outside 1970 to 9999, which is no date of an order."""
    return moment if moment is not None and 0 <= moment < _YEAR_10000 else None


def of_sequence(number: int) -> Version | None:
    """A storefront's own number of the change; ``None`` for what cannot be one."""
    return _YEAR_10000 + number if 0 <= number <= SEQUENCE_MAX else None


def is_sequence(version: Version) -> bool:
    """Whether it is a number, and no time."""
    return version >= _YEAR_10000


def is_older(version: Version, than: Version) -> bool:
    """Whether the one is certainly older than the other."""
    return is_sequence(version) == is_sequence(than) and version < than


def time_of(version: Version | None) -> Instant | None:
    """When it was; ``None`` where the version only counts."""
    return None if version is None or is_sequence(version) else version


def shown(version: Version) -> str:
    """As a person is told it: ``2026-11-21T18:41:49.000Z``, or ``number 42``."""
    return f"number {version - _YEAR_10000}" if is_sequence(version) else instant.iso(version)
