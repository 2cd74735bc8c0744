"""Points in time as whole microseconds since 1970-01-01 UTC: exact, ordered, and what every store keeps."""

from datetime import UTC, datetime, timedelta

Instant = int
"""Microseconds since the epoch, UTC. Wall clock: for what is stored, never for what is measured."""

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def of(moment: datetime) -> Instant:
    """An aware datetime as an instant."""
    return (moment - _EPOCH) // _MICROSECOND


def parse(text: str) -> Instant | None:
    """An RFC 3339 or ISO 8601 timestamp with any offset; without an offset it is taken as UTC.

    Digits beyond the microsecond are cut (Shopify's ``X-Shopify-Triggered-At`` has nine). ``None`` when the text
    is no timestamp, which some storefronts' payloads are known to contain.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return of(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except OverflowError:
        return None


def moment(instant: Instant) -> datetime:
    """The instant as an aware datetime, UTC."""
    return _EPOCH + timedelta(microseconds=instant)


def iso(instant: Instant) -> str:
    """The instant as ``2026-11-21T18:41:49.123Z``."""
    return moment(instant).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def after(instant: Instant, seconds: float) -> Instant:
    """The instant so many seconds later."""
    return instant + round(seconds * SECOND)


def seconds_between(earlier: Instant, later: Instant) -> float:
    """Seconds from one instant to the other; negative when they are the other way round."""
    return (later - earlier) / SECOND


def lasting(seconds: float) -> str:
    """How long that is, in the unit that fits: ``under 1 s``, ``45 s``, ``12 min``, ``1.5 h``."""
    if 0 < seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def spoken(instant: Instant, today: Instant) -> str:
    """``19:22:06 UTC``, with its day if that is not the day of ``today``."""
    text = iso(instant)
    return f"{text[11:19]} UTC" if text[:10] == iso(today)[:10] else f"{text[:10]} {text[11:19]} UTC"
