"""What the writer can be asked for besides the values of the contract itself (an arrival, a settlement …)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.core.condition import Condition
from relay.core.delivery import HeadStarts
from relay.core.instant import Instant
from relay.core.order import Arrival
from relay.store import Cutoffs, Deed, Selection
from relay.store.sqlite.sweeping import Found


@dataclass(frozen=True, slots=True)
class Take:
    channel: str
    candidates: Sequence[int]


@dataclass(frozen=True, slots=True)
class Wake:
    channel: str
    now: Instant
    limit: int
    beyond: Instant | None


@dataclass(frozen=True, slots=True)
class Keep:
    channel: str
    condition: Condition
    deed: Deed | None


@dataclass(frozen=True, slots=True)
class Record:
    deed: Deed


@dataclass(frozen=True, slots=True)
class Understand:
    event_id: int
    arrival: Arrival
    deed: Deed | None


@dataclass(frozen=True, slots=True)
class BeginReplay:
    selection: Selection
    deed: Deed
    total: int


@dataclass(frozen=True, slots=True)
class AdvanceReplay:
    replay_id: int
    order_ids: Sequence[int]
    """The next that a reader found."""
    now: Instant
    head_starts: Mapping[str, HeadStarts]


@dataclass(frozen=True, slots=True)
class NoteReplay:
    replay_id: int
    event_id: int
    revived: int
    left: int
    ended_at: Instant | None


@dataclass(frozen=True, slots=True)
class Sweep:
    cutoffs: Cutoffs
    found: Found


@dataclass(frozen=True, slots=True)
class Shrink:
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Write the disk, change nothing."""
