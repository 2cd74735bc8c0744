"""What is wrong with a configuration, and how those who find it say so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic_core import PydanticCustomError

SECRET, NOT_SET, NOT_SHOWN = "(secret)", "(not set)", "(not shown)"
"""In the place of a value."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and what to do. Never holds a secret."""

    key: str
    """``channels.main.sync_rate``, or the name of the file when it cannot be read."""
    value: str
    """The value found, as written in Python, or words in brackets where it is secret or absent."""
    message: str
    remedy: str
    origin: str = ""
    """The environment variable the value came from; empty for the file."""

    def __str__(self) -> str:
        value = f" = {self.value}" if self.value else ""
        origin = f"  (from {self.origin})" if self.origin else ""
        remedy = self.remedy.replace("\n", "\n      ")
        return f"{self.key}{value}{origin}\n    {self.message}\n    Remedy: {remedy}"


class ConfigError(Exception):
    """The configuration cannot be used; ``str()`` is fit for a terminal."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(*problems)
        self.problems = list(problems)

    def __str__(self) -> str:
        count = "one problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return "\n\n  ".join([f"The configuration cannot be used: {count}.", *map(str, self.problems)])


def wrong(message: str, remedy: str) -> PydanticCustomError:
    """What a value is refused with; without a remedy, what its key takes is the remedy."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "remedy": remedy})


def refuse(problems: Sequence[Problem]) -> None:
    """Raise what a whole table is refused for; the keys are relative to it."""
    if problems:
        raise PydanticCustomError("problems", "the table contradicts itself", {"problems": tuple(problems)})


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    return next(iter(get_close_matches(word.lower(), list(known), n=1)), None)
