"""How moments and durations are written: one form each, in UTC."""

import re

_ISO = re.compile(r"\d{4}-(\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")


def short(text: str) -> str:
    """Every ``2026-11-21T19:22:06.382483Z`` of a text as ``11-21 19:22:06``."""
    return _ISO.sub(r"\1 \2", text)


def since(moment: str, now: str) -> str:
    """``20:31 UTC``, with month and day if that is not today."""
    return f"{moment[11:16]} UTC" if moment[:10] == now[:10] else f"{moment[5:16].replace('T', ' ')} UTC"


def age(seconds: float) -> str:
    """In the unit that fits."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
