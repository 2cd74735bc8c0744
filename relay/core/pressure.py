"""How near the limits are beyond which new events are refused, and whom that concerns.

Three things can run out: room in the commit queue, room on the disk, room in a channel's backlog. How near each is, is
a number from 0 to 1, and each storefront has a share of its own from which it is refused: those that send a refused
webhook again give way (0.8 unless configured otherwise), so that what is left is for those that never do (1.0).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

REOPEN = 0.95
"""A storefront that is refused is let in again below this share of its threshold, so that it does not flap."""


class Limit(StrEnum):
    """What runs out."""

    QUEUE = "queue"
    DISK = "disk"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True)
class Pressure:
    """How near one limit is."""

    limit: Limit
    level: float
    """0: far away; 1: reached."""
    words: str
    """How much there is, and how much there may be, for a person."""
    channel: str | None = None
    """Whose backlog it is."""

    def refuses(self, refuse_at: float, *, already: bool = False) -> bool:
        """Whether a storefront is refused from here on; ``already``: it is at present."""
        return self.level >= refuse_at * (REOPEN if already else 1.0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a storefront's events are not taken at present."""

    name: str
    """Last part of the problem's type."""
    words: str
    """For the storefront: figures are for the operator."""


REFUSALS = {
    Limit.QUEUE: Refusal("busy", "too many events wait for their commit; send the event again later"),
    Limit.DISK: Refusal("disk-full", "the relay's disk is nearly full; send the event again later"),
    Limit.BACKLOG: Refusal("backlog-full", "too many orders wait already; send the event again later"),
}


def of_queue(share: float) -> Pressure:
    """``share``: how much of the commit queue is in use, 0 to 1."""
    return Pressure(Limit.QUEUE, min(1.0, share), f"{share:.0%} of the commit queue is in use (public.queue_max)")


def of_disk(free_bytes: int, reserve_bytes: int) -> Pressure:
    """Reached when as much is free as is to be kept: 0.8 is a quarter more than that. No reserve, no pressure."""
    level = min(1.0, reserve_bytes / free_bytes) if free_bytes > 0 else float(reserve_bytes > 0)
    kept = f"{_bytes(reserve_bytes)} are to stay free (store.disk_free_min_bytes)"
    words = f"{_bytes(free_bytes)} of the store's disk are free, {kept}"
    return Pressure(Limit.DISK, level, words)


def of_backlog(channel: str, orders: int, most: int) -> Pressure:
    """``orders``: how many wait for the channel, those between two attempts included."""
    waiting = "1 order waits" if orders == 1 else f"{orders:,} orders wait"
    kind, _, storefront = channel.partition(":")
    key = f"storefronts.{storefront}.{kind}" if storefront else f"channels.{channel}"
    words = f"{waiting} for channel {channel}, {most:,} may ({key}.backlog_max)"
    return Pressure(Limit.BACKLOG, min(1.0, orders / most), words, channel)


def concerning(channels: Iterable[str], pressures: Iterable[Pressure]) -> list[Pressure]:
    """Those that a storefront feels which leads to the channels."""
    about = (None, *channels)
    return [pressure for pressure in pressures if pressure.channel in about]


def refusing(
    pressures: Iterable[Pressure], refuse_at: float, *, already: frozenset[Limit] = frozenset()
) -> list[Pressure]:
    """Those for which a storefront is refused, the nearest to its limit first; ``already``: those it is refused for
    at present."""
    found = [p for p in pressures if p.refuses(refuse_at, already=p.limit in already)]
    return sorted(found, key=lambda pressure: -pressure.level)


def _bytes(count: int) -> str:
    """``268.4 MB``."""
    size, unit = float(count), "bytes"
    for unit_above in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, unit_above
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
