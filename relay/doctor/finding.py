"""What is said of one thing that was looked at."""

from dataclasses import dataclass

from relay.core.comparison import Difference


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    said: str
    warning: bool = False
    """It may be meant, and is worth a look."""
    differences: tuple[Difference, ...] = ()
    """Of a test that fails."""


def fine(what: str, said: str) -> Finding:
    """As it should be."""
    return Finding(what, True, said)


def doubtful(what: str, said: str) -> Finding:
    """It may be meant, and is worth a look."""
    return Finding(what, True, said, warning=True)


def wrong(what: str, said: str) -> Finding:
    """It has to be mended."""
    return Finding(what, False, said)
