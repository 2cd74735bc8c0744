"""What happened, for whoever has to find out why."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple


class Note(NamedTuple):
    """One thing that happened."""

    at_s: float
    channel: str | None
    order: str | None
    text: str

    def __str__(self) -> str:
        about = " ".join(filter(None, (self.channel, self.order)))
        return f"{self.at_s:12.4f} s  {about:<14} {self.text}"


class History:
    """Everything that happened in one scenario."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def note(self, at_s: float, text: str, channel: str | None = None, order: str | None = None) -> None:
        self.notes.append(Note(at_s, channel, order, text))

    def told(self, channel: str | None, order: str | None, most: int = 60) -> str:
        """The last of what concerns this order, its channel, or everyone."""
        of_order = [note for note in self.notes if order is not None and note.order == order]
        of_channel = [note for note in self.notes if note.order != order and channel in (None, note.channel)]
        of_all = [note for note in self.notes if note.channel is None and note.order is None]
        chosen = {*of_order[-most:], *of_channel[-most:], *of_all[-most // 4 :]}
        return "\n".join(map(str, self._in_order(chosen)))

    def digest(self) -> str:
        """The same for two runs exactly if the same happened in both."""
        text = "\n".join(map(str, self.notes))
        return blake2b(text.encode(), digest_size=8).hexdigest()

    def _in_order(self, chosen: set[Note]) -> Iterable[Note]:
        return (note for note in self.notes if note in chosen)
