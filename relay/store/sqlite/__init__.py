"""The store on one disk: SQLite with a write-ahead log, ``synchronous=FULL``, and one writer.

All writes go through the writer thread and its one connection (see :mod:`relay.store.group` and :mod:`.writer`);
readers have their own connections and see the last commit.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import local
from typing import TypeVar

import zstandard

from relay.core.backlog import Waiting
from relay.core.condition import Condition
from relay.core.delivery import HeadStarts, Lane, State
from relay.core.events import Observer
from relay.core.instant import Instant
from relay.core.order import Arrival, Order
from relay.core.trace import LINKS_MAX, Trace
from relay.store import (
    EVERYTHING,
    Advanced,
    Cutoffs,
    DeadGroup,
    DeadPlace,
    DeadTally,
    Deed,
    Discarding,
    Event,
    EventSearch,
    EventsPage,
    HeldGroup,
    HeldPlace,
    KeptEvent,
    LostEvent,
    OrdersPage,
    Receipt,
    Release,
    Released,
    Replay,
    Revival,
    Revived,
    Search,
    SearchPlace,
    Selection,
    Sender,
    Settled,
    Settlement,
    Size,
    StoreFailed,
    SweepPlace,
    Swept,
    Taken,
    Tally,
    Timeline,
)
from relay.store.group import GroupCommit
from relay.store.ledger import begun
from relay.store.sqlite import reading, searching, sweeping
from relay.store.sqlite.commands import (
    AdvanceReplay,
    BeginReplay,
    Keep,
    NoteReplay,
    Probe,
    Record,
    Shrink,
    Sweep,
    Take,
    Understand,
    Wake,
)
from relay.store.sqlite.opening import connect, migrate, own, why_not
from relay.store.sqlite.rows import bodies, unpacked
from relay.store.sqlite.writer import Writer

__all__ = ["SqliteStore"]

T = TypeVar("T")

_BODY = "SELECT body FROM bodies WHERE event_id = ?"
_SALE = "SELECT sale FROM sales WHERE order_id = ?"


class SqliteStore:
    """See :class:`relay.store.Store`. Made by :meth:`open`."""

    def __init__(
        self, path: Path, lock: int, writer: sqlite3.Connection, *, queue_max: int, observe: Observer | None = None
    ) -> None:
        self._lock = lock
        self._path = path
        self._writer = writer
        self._writing = Writer(path, writer)
        self._group = GroupCommit(self._writing.transact, queue_max=queue_max, observe=observe)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-reader")
        self._reading = local()
        self._opened: list[sqlite3.Connection] = []

    @classmethod
    async def open(cls, path: Path, *, queue_max: int = 2048, observe: Observer | None = None) -> "SqliteStore":
        """Own the store at ``path``, made or migrated as needed. ``observe`` is told of every commit.

        Raises :class:`StoreOwned` when another process owns it, :class:`StoreFailed` when it cannot be opened.
        """
        path = await asyncio.to_thread(path.resolve)  # one lock for one file, by whatever name it is opened
        with ExitStack() as undo:
            lock = own(path)
            undo.callback(os.close, lock)
            try:
                writer = connect(path)
                undo.callback(writer.close)
                migrate(writer)
                store = cls(path, lock, writer, queue_max=queue_max, observe=observe)
            except (sqlite3.Error, OSError) as error:
                raise StoreFailed(why_not(path, error)) from error
            undo.pop_all()
            return store

    # -- what changes something: a command for the writer ----------------------------------------------------------

    async def accept(self, arrival: Arrival, *, share: float = 1.0) -> Receipt:
        receipt: Receipt = await self._group.ask(arrival, share=share)
        return receipt

    async def take(self, channel: str, candidates: Sequence[int]) -> Taken | None:
        taken: Taken | None = await self._group.ask(Take(channel, candidates))
        return taken

    async def settle(self, settlement: Settlement) -> Settled | None:
        settled: Settled | None = await self._group.ask(settlement)
        return settled

    async def wake(self, channel: str, now: Instant, limit: int, *, beyond: Instant | None = None) -> Sequence[Waiting]:
        woken: Sequence[Waiting] = await self._group.ask(Wake(channel, now, limit, beyond))
        return woken

    async def keep(self, channel: str, condition: Condition, deed: Deed | None = None) -> None:
        await self._group.ask(Keep(channel, condition, deed))

    async def revive(self, revival: Revival) -> Sequence[Revived]:
        revived: Sequence[Revived] = await self._group.ask(revival)
        return revived

    async def discard(self, discarding: Discarding) -> tuple[Sequence[int], Sequence[int]]:
        discarded: tuple[Sequence[int], Sequence[int]] = await self._group.ask(discarding)
        return discarded

    async def release(self, release: Release) -> Released:
        released: Released = await self._group.ask(release)
        return released

    async def understood(self, event_id: int, arrival: Arrival, deed: Deed | None = None) -> Receipt | None:
        receipt: Receipt | None = await self._group.ask(Understand(event_id, arrival, deed))
        return receipt

    async def record(self, deed: Deed) -> None:
        await self._group.ask(Record(deed))

    async def begin_replay(self, selection: Selection, deed: Deed) -> Replay:
        selected = begun(selection, deed, replay_id=0, total=0).selection
        total = await self._read(lambda reader: reading.count_dead(reader, selected))
        replay: Replay = await self._group.ask(BeginReplay(selection, deed, total))
        return replay

    async def advance_replay(
        self, replay_id: int, *, limit: int, now: Instant, head_starts: Mapping[str, HeadStarts]
    ) -> Advanced | None:
        def read(reader: sqlite3.Connection) -> Sequence[int]:
            replay = reading.replay(reader, replay_id)
            return [] if replay is None else reading.dead_above(reader, replay.order_id, replay.selection, limit + 1)

        found = await self._read(read)
        advance = AdvanceReplay(replay_id, found[:limit], now, head_starts)
        advanced: tuple[Replay, Sequence[Revived]] | None = await self._group.ask(advance)
        return None if advanced is None else Advanced(*advanced, more=len(found) > limit)

    async def note_replay(
        self, replay_id: int, *, event_id: int, revived: int, left: int, ended_at: Instant | None
    ) -> Replay | None:
        replay: Replay | None = await self._group.ask(NoteReplay(replay_id, event_id, revived, left, ended_at))
        return replay

    async def sweep(self, cutoffs: Cutoffs, place: SweepPlace, *, limit: int) -> Swept:
        found = await self._read(lambda reader: sweeping.find(reader, cutoffs, place, max(1, limit)))
        if found.nothing:
            return Swept(found.place)
        swept: Swept = await self._group.ask(Sweep(cutoffs, found))
        return swept

    async def shrink(self, most_bytes: int) -> int:
        returned: int = await self._group.ask(Shrink(most_bytes))
        if returned:
            # The file is smaller only when the log is in it. Beside the writer, and not in its way.
            await self._read(lambda reader: reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall(), at_once=False)
        return returned

    async def probe(self) -> None:
        await self._group.ask(Probe())

    def failure(self) -> str | None:
        return self._group.failure

    async def close(self) -> None:
        await self._group.close()
        self._readers.shutdown(wait=True)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with suppress(sqlite3.Error):  # the log is complete either way, and is replayed at the next opening
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for connection in (*self._opened, self._writer):
            connection.close()
        os.close(self._lock)

    # -- look-ups --------------------------------------------------------------------------------------------------

    async def look(self, order_id: int) -> Taken | None:
        def read(reader: sqlite3.Connection) -> Taken | None:
            order = reading.order(reader, self._writing.order, order_id)
            if order is None or order.lease is not None or order.event_id is None:
                return None
            if order.state not in (State.WAITING, State.SLEEPING):
                return None
            found = bodies(reader, [order.event_id])
            return Taken(order, *found[order.event_id]) if order.event_id in found else None

        return await self._read(read)

    async def head(self, channel: str, limit: int) -> Sequence[Waiting]:
        # Leases come and go while we read; counted and left out by one view of them, a full backlog never looks like
        # one that ends here.
        return await self._read(lambda reader: reading.head(reader, channel, limit, frozenset(self._writing.leases)))

    async def ahead_of(self, place: Waiting, channel: str, limit: int) -> int:
        leased = frozenset(self._writing.leases)
        return await self._read(lambda reader: reading.ahead_of(reader, place, channel, limit, leased))

    async def sleepers_due(self, channel: str) -> tuple[Instant, Instant] | None:
        return await self._read(lambda reader: reading.sleepers_due(reader, channel))

    async def conditions(self) -> Mapping[str, Condition]:
        return await self._read(reading.conditions)

    async def replays(self, limit: int = 20, *, running: bool = False, after: int | None = None) -> Sequence[Replay]:
        return await self._read(lambda reader: reading.replays(reader, limit, running=running, after=after))

    async def replay(self, replay_id: int) -> Replay | None:
        return await self._read(lambda reader: reading.replay(reader, replay_id))

    async def deeds(self, limit: int = 100, *, after: int | None = None, about: str | None = None) -> Sequence[Deed]:
        return await self._read(lambda reader: reading.deeds(reader, limit, after, about))

    async def tally(self) -> Tally:
        return await self._read(reading.tally)

    async def dead_tally(self) -> DeadTally:
        return await self._read(reading.dead_tally)

    async def storefronts(self) -> Mapping[str, Sender]:
        return await self._read(reading.storefronts)

    async def oldest_due(self) -> Mapping[tuple[str, Lane], Instant]:
        return await self._read(reading.oldest_due)

    async def find(self, reference: str, limit: int = 20) -> Sequence[Order]:
        return await self._read(lambda reader: reading.find(reader, self._writing.order, reference, limit))

    async def search(self, wanted: Search, *, limit: int = 20, after: SearchPlace | None = None) -> OrdersPage:
        return await self._read(lambda reader: searching.search(reader, self._writing.order, wanted, limit, after))

    async def event(self, event_id: int) -> KeptEvent | None:
        return await self._read(lambda reader: searching.event(reader, event_id))

    async def events(self, wanted: EventSearch, *, limit: int = 100, after: int | None = None) -> EventsPage:
        return await self._read(lambda reader: searching.events(reader, wanted, limit, after))

    async def timeline(self, order_id: int, limit: int = 1000) -> Timeline | None:
        return await self._read(lambda reader: reading.timeline(reader, self._writing.order, order_id, limit))

    async def traces(self, order: Order, limit: int = LINKS_MAX) -> Sequence[Trace]:
        return await self._read(lambda reader: reading.traces(reader, order, limit))

    async def dead_letters(
        self, limit: int = 100, selection: Selection = EVERYTHING, *, after: DeadPlace | None = None
    ) -> Sequence[Order | Event]:
        return await self._read(lambda r: reading.dead_letters(r, self._writing.order, limit, selection, after))

    async def dead_groups(self) -> Sequence[DeadGroup]:
        return await self._read(reading.dead_groups)

    async def held_groups(self) -> Sequence[HeldGroup]:
        return await self._read(reading.held_groups)

    async def held(
        self, limit: int = 100, *, storefront: str | None = None, after: HeldPlace | None = None,
        until: Instant | None = None,
    ) -> Sequence[Order]:  # fmt: skip
        return await self._read(lambda r: reading.held(r, self._writing.order, limit, storefront, after, until))

    async def held_whole(self, storefront: str, *, after: HeldPlace | None, limit: int) -> Sequence[Taken]:
        def read(reader: sqlite3.Connection) -> Sequence[Taken]:
            orders = reading.held(reader, self._writing.order, limit, storefront, after, None)
            found = bodies(reader, [order.event_id for order in orders if order.event_id is not None])
            return [Taken(order, *found.get(order.event_id or 0, ("", b""))) for order in orders]

        return await self._read(read)

    async def lost(self, *, after: int, limit: int, selection: Selection = EVERYTHING) -> Sequence[LostEvent]:
        return await self._read(lambda reader: reading.lost(reader, after, limit, selection))

    async def lost_events(self, limit: int = 10_000) -> int:
        return await self._read(lambda reader: reading.count_lost(reader, limit))

    async def body(self, event_id: int) -> bytes | None:
        return await self._read(lambda reader: _unpacked(reader, _BODY, event_id))

    async def sale(self, order_id: int) -> bytes | None:
        return await self._read(lambda reader: _unpacked(reader, _SALE, order_id))

    async def size(self) -> Size | None:
        def read(reader: sqlite3.Connection) -> Size:
            (pages,) = reader.execute("PRAGMA freelist_count").fetchone()
            (page_size,) = reader.execute("PRAGMA page_size").fetchone()
            disk = os.statvfs(self._path)
            return Size(
                store=self._path.stat().st_size,
                wal=_size_of(self._path.with_name(self._path.name + "-wal")),
                unused=pages * page_size,
                disk_free=disk.f_bavail * disk.f_frsize,
            )

        return await self._read(read)

    # -- the readers' threads --------------------------------------------------------------------------------------

    async def _read(self, read: Callable[[sqlite3.Connection], T], *, at_once: bool = True) -> T:
        """``at_once``: in one snapshot."""
        look = self._at_once if at_once else self._plainly
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, look, read)
        except (sqlite3.Error, OSError, zstandard.ZstdError) as error:
            raise StoreFailed(f"{self._path}: {error}") from error

    def _at_once(self, read: Callable[[sqlite3.Connection], T]) -> T:
        reader = self._reader()
        if reader.in_transaction:  # the last look failed so badly that it could not even be ended
            reader.execute("ROLLBACK")
        reader.execute("BEGIN")
        try:
            return read(reader)
        finally:
            with suppress(sqlite3.Error):  # what made it fail may have ended it already; nothing was written
                reader.execute("ROLLBACK")

    def _plainly(self, read: Callable[[sqlite3.Connection], T]) -> T:
        return read(self._reader())

    def _reader(self) -> sqlite3.Connection:
        reader: sqlite3.Connection | None = getattr(self._reading, "connection", None)
        if reader is None:
            reader = self._reading.connection = connect(self._path, read_only=True)
            self._opened.append(reader)
        return reader


def _unpacked(reader: sqlite3.Connection, query: str, key: int) -> bytes | None:
    row = reader.execute(query, (key,)).fetchone()
    return None if row is None else unpacked(row[0])


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
