"""How moments and durations are written: one form each, in UTC."""

import re

from relay.core import instant
from relay.core.instant import Instant
from relay.core.sources import moment

_AGO = re.compile(r"(\d{1,6})\s*(s|min|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_ISO = re.compile(r"\d{4}-(\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")


def short(text: str) -> str:
    """Every ``2026-11-21T19:22:06.382483Z`` of a text as ``11-21 19:22:06``."""
    return _ISO.sub(r"\1 \2", text)


def since(moment: str, now: str) -> str:
    """``20:31 UTC``, with month and day if that is not today."""
    return f"{moment[11:16]} UTC" if moment[:10] == now[:10] else f"{moment[5:16].replace('T', ' ')} UTC"


def age(seconds: float) -> str:
    """In the unit that fits, whole seconds at the least."""
    return instant.lasting(seconds)


def seconds_of(text: str) -> float | None:
    """A duration: ``90s``, ``30m``, ``2h``, ``1d``. ``None`` for anything else."""
    found = _AGO.fullmatch(text.strip())
    return None if found is None else float(int(found[1]) * _SECONDS[found[2]])


def moment_of(text: str, now: Instant) -> str | None:
    """A moment, as it is asked for: ``2h`` ago, or ``2026-11-21T19:00``, which is UTC unless it says otherwise."""
    text = text.strip()
    if ago := _AGO.fullmatch(text):
        found: Instant | None = instant.after(now, -int(ago[1]) * _SECONDS[ago[2]])
    else:
        found = moment(text)
    return None if found is None or found < 0 else instant.iso(found)
