"""Tables as an operator writes them: read key by key, everything that is wrong told at once."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from relay.core import sale as sales
from relay.core.recipe import Fault

_LIST_MAX = 1000
"""Entries of one list."""


class Table:
    """One table. A value of the wrong kind is a fault and reads as if it were not there."""

    def __init__(self, given: object, key: str, faults: list[Fault]) -> None:
        self._key = key
        self.faults = faults
        self._asked: set[str] = set()
        self._values: Mapping[str, object] = {}
        if isinstance(given, Mapping):
            # None is what a model has for a key that was not written; TOML itself has none.
            self._values = {str(name): value for name, value in given.items() if value is not None}
        else:
            faults.append(Fault(key, "expected a table"))

    def key(self, name: str) -> str:
        """A key's whole name."""
        return f"{self._key}.{name}" if self._key else name

    def wrong(self, name: str, message: str) -> None:
        """A fault of one key."""
        self.faults.append(Fault(self.key(name), message))

    def value(self, name: str) -> object:
        """Whatever is there."""
        self._asked.add(name)
        return self._values.get(name)

    def flag(self, name: str) -> bool | None:
        """``true`` or ``false``."""
        value = self.value(name)
        if value is None or isinstance(value, bool):
            return value
        self.wrong(name, "expected true or false")
        return None

    def text(self, name: str, *, characters_max: int) -> str | None:
        """Printable text, not empty."""
        value = self.value(name)
        return None if value is None else self._text(name, value, characters_max)

    def texts(self, name: str, *, characters_max: int = 255) -> tuple[str, ...]:
        """One text, or a list of them."""
        value = self.value(name)
        if value is None:
            return ()
        many = value if isinstance(value, list | tuple) else [value]
        if not many or len(many) > _LIST_MAX:
            self.wrong(name, f"expected 1 to {_LIST_MAX} entries; leave the key out if it is not to matter")
            return ()
        found = (self._text(name, one, characters_max) for one in many)
        return tuple(text for text in found if text is not None)

    def identifier(self, name: str) -> str | None:
        """An id, in text or as a whole number."""
        value = self.value(name)
        if value is None:
            return None
        found = None if isinstance(value, float) else sales.identifier(value)
        if found is None:
            self.wrong(name, "expected an id of 1 to 255 printable characters, or a whole number")
        return found

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        """One of some words."""
        value = self.value(name)
        if value is None or value in choices:
            return None if value is None else str(value)
        self.wrong(name, f"expected one of {', '.join(choices)}")
        return None

    def finish(self) -> None:
        """Every key that was never asked for is unknown."""
        for name in self._values:
            if name not in self._asked:
                near = get_close_matches(name.lower(), sorted(self._asked), n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(self._asked))}"
                self.wrong(name, f"is not a known key; {hint}")

    def _text(self, name: str, value: object, characters_max: int) -> str | None:
        if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= characters_max:
            return value
        self.wrong(name, f"expected text of 1 to {characters_max} printable characters")
        return None
