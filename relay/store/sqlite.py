"""The store on one disk: SQLite with a write-ahead log, ``synchronous=FULL``, and one writer.

All writes go through the writer thread and its one connection (see :mod:`relay.store.group`); readers have their own
connections and see the last commit. A batch is loaded, changed and saved with a handful of statements however many
requests it holds: each statement gives up and regains the interpreter lock, and that, not the disk, is what would
bound the rate.

Leases are kept in memory: one process owns the store, and what was in flight when it died waits again.
"""

import asyncio
import errno
import fcntl
import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from heapq import merge
from importlib import resources
from itertools import count, islice
from pathlib import Path
from threading import local
from typing import Any, TypeVar

import zstandard

from relay.core.backlog import Waiting
from relay.core.delivery import Lane, State
from relay.core.instant import Instant
from relay.core.order import Arrival, Disposition, Lease, Order
from relay.core.outcome import Cause
from relay.core.sale import Reason
from relay.store import (
    Attempt,
    Event,
    Receipt,
    Settled,
    Settlement,
    StoreFailed,
    StoreOwned,
    Taken,
    Tally,
    Timeline,
)
from relay.store.group import GroupCommit
from relay.store.ledger import Ledger, dedupe_digest, key_of

T = TypeVar("T")
Row = tuple[Any, ...]

_ORDER_COLUMNS = (
    "id", "storefront", "external_id", "channel", "reference", "version", "revision", "event_id", "cancelled_at",
    "delivered_revision", "delivered_digest", "state", "lane", "due_at", "urgency", "accepted_at", "attempts",
    "first_attempt_at", "cause_code", "cause_message", "cause_status", "run",
)  # fmt: skip
_EVENT_COLUMNS = (
    "id", "storefront", "topic", "received_at", "disposition", "order_id", "version", "revision", "duplicate_of",
    "reasons",
)  # fmt: skip
_ATTEMPT_COLUMNS = (
    "revision", "started_at", "duration_s", "outcome", "status", "code", "message", "excerpt",
)  # fmt: skip
_ORDERS = ", ".join(_ORDER_COLUMNS)
_EVENTS = ", ".join(_EVENT_COLUMNS)
_ATTEMPTS = ", ".join(_ATTEMPT_COLUMNS)
_SAVE_ORDER = "ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in _ORDER_COLUMNS[3:])
_BUSY_TIMEOUT_S = 5.0
_ROWS_MAX = 64
"""Rows written by one statement at the most."""


@dataclass(frozen=True, slots=True)
class _Take:
    channel: str
    candidates: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Wake:
    channel: str
    now: Instant
    limit: int


@dataclass(frozen=True, slots=True)
class _Probe:
    """Write the disk, change nothing."""


class SqliteStore:
    """See :class:`relay.store.Store`. Made by :meth:`open`."""

    def __init__(self, path: Path, lock: int, writer: sqlite3.Connection, *, queue_max: int) -> None:
        self._lock = lock
        self._path = path
        self._writer = writer
        self._run = _next_run(self._writer)
        self._event_ids = count(_last_id(self._writer, "events") + 1)
        self._order_ids = count(_last_id(self._writer, "orders") + 1)
        self._tokens = count(1)
        self._leases: dict[int, Lease] = {}
        self._pack = zstandard.ZstdCompressor(level=1).compress
        self._group = GroupCommit(self._transact, queue_max=queue_max)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-reader")
        self._reading = local()
        self._opened: list[sqlite3.Connection] = []

    @classmethod
    async def open(cls, path: Path, *, queue_max: int = 2048) -> "SqliteStore":
        """Own the store at ``path``, made or migrated as needed.

        Raises :class:`StoreOwned` when another process owns it, :class:`StoreFailed` when it cannot be opened.
        """
        path = await asyncio.to_thread(path.resolve)  # one lock for one file, by whatever name it is opened
        with ExitStack() as undo:
            lock = _own(path)
            undo.callback(os.close, lock)
            try:
                writer = _connect(path)
                undo.callback(writer.close)
                _migrate(writer)
                store = cls(path, lock, writer, queue_max=queue_max)
            except (sqlite3.Error, OSError) as error:
                raise StoreFailed(_why_not(path, error)) from error
            undo.pop_all()
            return store

    # -- what changes something: a command for the writer ----------------------------------------------------------

    async def accept(self, arrival: Arrival) -> Receipt:
        receipt: Receipt = await self._group.ask(arrival, refusable=True)
        return receipt

    async def take(self, channel: str, candidates: Sequence[int]) -> Taken | None:
        taken: Taken | None = await self._group.ask(_Take(channel, candidates))
        return taken

    async def settle(self, settlement: Settlement) -> Settled | None:
        settled: Settled | None = await self._group.ask(settlement)
        return settled

    async def wake(self, channel: str, now: Instant, limit: int) -> Sequence[Waiting]:
        woken: Sequence[Waiting] = await self._group.ask(_Wake(channel, now, limit))
        return woken

    async def probe(self) -> None:
        await self._group.ask(_Probe())

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

    # -- the transaction -------------------------------------------------------------------------------------------

    def _transact(self, commands: Sequence[object]) -> Sequence[object]:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._check_owned()
            sleepers = {id(c): self._due(c) for c in commands if isinstance(c, _Wake)}
            ledger = self._load(commands, [order_id for due in sleepers.values() for order_id in due])
            results = [self._apply(ledger, command, sleepers.get(id(command), ())) for command in commands]
            self._save(ledger)
            answers = self._with_bodies(results)  # after saving: what is taken may have come in this very batch
            if any(isinstance(command, _Probe) for command in commands):
                self._writer.execute("UPDATE meta SET value = value WHERE key = 'run'")
            self._writer.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):  # what made the transaction fail may already have rolled it back
                self._writer.execute("ROLLBACK")
            if type(error) in (
                sqlite3.OperationalError,
                sqlite3.DatabaseError,
            ):  # the disk or the file, not a command
                raise StoreFailed(f"{self._path}: {error}") from error
            raise
        self._leases.update((order.id, order.lease) for order in ledger.leased.values() if order.lease is not None)
        for order in ledger.changed():
            if order.lease is None:
                self._leases.pop(order.id, None)
        return answers

    def _check_owned(self) -> None:
        """The lock can be got round (its file deleted); two owners would send one order twice at the same time."""
        (run,) = self._writer.execute("SELECT value FROM meta WHERE key = 'run'").fetchone()
        if run != self._run:
            raise StoreFailed(f"{self._path} was opened by another process meanwhile: stop one of the two")

    def _load(self, commands: Sequence[object], sleepers: Sequence[int]) -> Ledger:
        keys: dict[tuple[str, str], None] = {}
        ids: dict[int, None] = dict.fromkeys(sleepers)
        digests: list[bytes] = []
        for command in commands:
            match command:
                case Arrival():
                    digests.append(dedupe_digest(command))
                    if (key := key_of(command)) is not None:
                        keys[key] = None
                case _Take(_, candidates):
                    ids.update(dict.fromkeys(candidates))
                case Settlement(order_id):
                    ids[order_id] = None
        orders = {order.id: order for order in self._orders_by_id(list(ids))}
        orders.update((order.id, order) for order in self._orders_by_key(keys))
        return Ledger(
            orders=orders.values(),
            seen=self._seen(digests),
            new_event_id=self._event_ids.__next__,
            new_order_id=self._order_ids.__next__,
            new_token=self._tokens.__next__,
        )

    @staticmethod
    def _apply(ledger: Ledger, command: object, sleepers: Sequence[int]) -> object:
        match command:
            case Arrival():
                return ledger.accept(command)
            case Settlement():
                return ledger.settle(command)
            case _Take(channel, candidates):
                leases = (ledger.lease(order_id, channel) for order_id in candidates)
                return next((leased for leased in leases if leased is not None), None)
            case _Wake():
                return [woken for order_id in sleepers if (woken := ledger.wake(order_id)) is not None]
            case _Probe():
                return None
            case _:
                raise AssertionError(f"no such command: {command!r}")

    def _with_bodies(self, results: list[object]) -> list[object]:
        """Every order that was leased, with the body its sale is made from."""
        leased = {r.event_id: r for r in results if isinstance(r, Order) and r.event_id is not None}
        bodies = _bodies(self._writer, list(leased))
        return [
            Taken(r, *bodies.get(r.event_id, ("", b""))) if isinstance(r, Order) and r.event_id is not None else r
            for r in results
        ]

    def _save(self, ledger: Ledger) -> None:
        changed = ledger.changed()
        self._insert("orders", _ORDERS, [_order_row(order, self._run) for order in changed], _SAVE_ORDER)
        self._insert("events", f"{_EVENTS}, dedupe_key", [_event_row(k.event, k.digest) for k in ledger.events])
        self._insert(
            "bodies",
            "event_id, body",
            [(k.event.id, self._pack(k.body)) for k in ledger.events if k.body is not None],
        )
        self._insert("attempts", f"order_id, {_ATTEMPTS}", [(i, *_attempt_row(a)) for i, a in ledger.attempts])
        self._insert(
            "sales",
            "order_id, revision, sale",
            [(order_id, revision, self._pack(sale)) for order_id, (revision, sale) in ledger.sales.items()],
            "ON CONFLICT (order_id) DO UPDATE SET revision = excluded.revision, sale = excluded.sale",
        )
        for order_id, revision, finding in ledger.findings:
            self._writer.execute(
                "UPDATE events SET disposition = ?, reasons = ? WHERE order_id = ? AND revision = ?",
                (finding.disposition, _reasons_text(finding.reasons), order_id, revision),
            )
        self._insert(
            "tally",
            "channel, state, lane, orders",
            [(*at, delta) for at, delta in ledger.deltas().items()],
            "ON CONFLICT (channel, state, lane) DO UPDATE SET orders = orders + excluded.orders",
        )

    def _insert(self, table: str, columns: str, rows: Sequence[Row], conflict: str = "") -> None:
        for chunk in _chunks(rows):
            values = ", ".join(["(" + ", ".join("?" * len(chunk[0])) + ")"] * len(chunk))
            self._writer.execute(
                f"INSERT INTO {table} ({columns}) VALUES {values} {conflict}",  # noqa: S608 - our own names
                [value for row in chunk for value in row],
            )

    def _seen(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        if not digests:
            return {}
        asked = _padded(digests)
        query = f"SELECT dedupe_key, id FROM events WHERE dedupe_key IN ({_marks(asked)})"  # noqa: S608
        return dict(self._writer.execute(query, asked))

    def _orders_by_id(self, ids: Sequence[int]) -> list[Order]:
        if not ids:
            return []
        asked = _padded(ids)
        query = f"SELECT {_ORDERS} FROM orders WHERE id IN ({_marks(asked)})"  # noqa: S608
        return [self._order(row) for row in self._writer.execute(query, asked)]

    def _orders_by_key(self, keys: Iterable[tuple[str, str]]) -> list[Order]:
        """Storefront by storefront: a row value among many is not looked up in the index but searched for."""
        by_storefront: dict[str, list[str]] = {}
        for storefront, external_id in keys:
            by_storefront.setdefault(storefront, []).append(external_id)
        orders: list[Order] = []
        for storefront, external_ids in by_storefront.items():
            asked = _padded(external_ids)
            query = f"SELECT {_ORDERS} FROM orders WHERE storefront = ? AND external_id IN ({_marks(asked)})"  # noqa: S608
            orders += [self._order(row) for row in self._writer.execute(query, [storefront, *asked])]
        return orders

    def _due(self, wake: _Wake) -> list[int]:
        rows = self._writer.execute(_DUE, (wake.channel, wake.now, wake.limit))
        return [order_id for (order_id,) in rows]

    def _order(self, row: Row) -> Order:
        order = _order_of(row, self._leases.get(row[0]))
        if row[-1] != self._run and order.state in (State.WAITING, State.SLEEPING):
            # It may have been in flight when the last run ended, so what Jetti has is not certain.
            return replace(order, delivered_digest=None)
        return order

    # -- look-ups --------------------------------------------------------------------------------------------------

    async def look(self, order_id: int) -> Taken | None:
        def read(reader: sqlite3.Connection) -> Taken | None:
            row = reader.execute(f"SELECT {_ORDERS} FROM orders WHERE id = ?", (order_id,)).fetchone()  # noqa: S608
            if row is None:
                return None
            order = self._order(row)
            if order.lease is not None or order.state not in (State.WAITING, State.SLEEPING) or order.event_id is None:
                return None
            bodies = _bodies(reader, [order.event_id])
            return Taken(order, *bodies[order.event_id]) if order.event_id in bodies else None

        return await self._read(read)

    async def head(self, channel: str, limit: int) -> Sequence[Waiting]:
        def read(reader: sqlite3.Connection) -> Sequence[Waiting]:
            # What is leased still waits in the table: ask for as many more. Leases come and go while we read; counted
            # and left out by one view of them, a full backlog never looks like one that ends here.
            leased = frozenset(self._leases)
            more = limit + len(leased)
            lanes = [map(_waiting, reader.execute(_HEAD, (channel, lane, more)).fetchall()) for lane in Lane]
            return list(islice((waiting for waiting in merge(*lanes) if waiting.order_id not in leased), limit))

        return await self._read(read)

    async def next_due(self, channel: str) -> Instant | None:
        def read(reader: sqlite3.Connection) -> Instant | None:
            due_at: Instant | None
            (due_at,) = reader.execute(_NEXT_DUE, (channel,)).fetchone()
            return due_at

        return await self._read(read)

    async def tally(self) -> Tally:
        def read(reader: sqlite3.Connection) -> Tally:
            rows = reader.execute("SELECT channel, state, lane, orders FROM tally WHERE orders > 0")
            return {(channel, State(state), Lane(lane)): orders for channel, state, lane, orders in rows}

        return await self._read(read)

    async def oldest_due(self) -> Mapping[tuple[str, Lane], Instant]:
        def read(reader: sqlite3.Connection) -> Mapping[tuple[str, Lane], Instant]:
            channels = [channel for (channel,) in reader.execute("SELECT DISTINCT channel FROM tally")]
            asked = [(channel, lane) for channel in channels for lane in Lane]
            found = [(at, reader.execute(_OLDEST_DUE, at).fetchone()) for at in asked]
            return {at: row[0] for at, row in found if row is not None}

        return await self._read(read)

    async def find(self, reference: str, limit: int = 20) -> Sequence[Order]:
        def read(reader: sqlite3.Connection) -> Sequence[Order]:
            return [self._order(row) for row in reader.execute(_FIND, (reference, reference, limit))]

        return await self._read(read)

    async def timeline(self, order_id: int, limit: int = 1000) -> Timeline | None:
        def read(reader: sqlite3.Connection) -> Timeline | None:
            row = reader.execute(f"SELECT {_ORDERS} FROM orders WHERE id = ?", (order_id,)).fetchone()  # noqa: S608
            if row is None:
                return None
            events = reader.execute(_TIMELINE_EVENTS, (order_id, limit)).fetchall()
            attempts = reader.execute(_TIMELINE_ATTEMPTS, (order_id, limit)).fetchall()
            return Timeline(
                self._order(row), [_event_of(e) for e in reversed(events)], [Attempt(*a) for a in reversed(attempts)]
            )

        return await self._read(read)

    async def dead_letters(self, limit: int = 100) -> Sequence[Order | Event]:
        def read(reader: sqlite3.Connection) -> Sequence[Order | Event]:
            lost: list[Order | Event] = [_event_of(row) for row in reader.execute(_LOST, (limit,))]
            dead = [self._order(row) for row in reader.execute(_DEAD, (limit,))]
            return [*lost, *dead][:limit]

        return await self._read(read)

    async def lost_events(self, limit: int = 10_000) -> int:
        def read(reader: sqlite3.Connection) -> int:
            return len(reader.execute(_COUNT_LOST, (limit,)).fetchall())

        return await self._read(read)

    async def body(self, event_id: int) -> bytes | None:
        return await self._read(lambda reader: _unpack(reader, "SELECT body FROM bodies WHERE event_id = ?", event_id))

    async def sale(self, order_id: int) -> bytes | None:
        return await self._read(lambda reader: _unpack(reader, _SALE, order_id))

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._with_reader, read)
        except sqlite3.Error as error:
            raise StoreFailed(f"{self._path}: {error}") from error

    def _with_reader(self, read: Callable[[sqlite3.Connection], T]) -> T:
        reader: sqlite3.Connection | None = getattr(self._reading, "connection", None)
        if reader is None:
            reader = self._reading.connection = _connect(self._path, read_only=True)
            self._opened.append(reader)
        reader.execute("BEGIN")  # one snapshot for all of it
        try:
            return read(reader)
        finally:
            reader.execute("COMMIT")


_BODY = "SELECT body FROM bodies WHERE event_id = ?"
_SALE = "SELECT sale FROM sales WHERE order_id = ?"
_HEAD = """SELECT urgency, id FROM orders WHERE state = 'waiting' AND channel = ? AND lane = ?
           ORDER BY urgency, id LIMIT ?"""
_OLDEST_DUE = """SELECT due_at FROM orders WHERE state = 'waiting' AND channel = ? AND lane = ?
                 ORDER BY urgency, id LIMIT 1"""
_DUE = """SELECT id FROM orders WHERE state = 'sleeping' AND channel = ? AND due_at <= ?
          ORDER BY due_at, id LIMIT ?"""
_NEXT_DUE = "SELECT min(due_at) FROM orders WHERE state = 'sleeping' AND channel = ?"
_FIND = f"SELECT {_ORDERS} FROM orders WHERE reference = ? OR external_id = ? ORDER BY id DESC LIMIT ?"  # noqa: S608
_DEAD = f"SELECT {_ORDERS} FROM orders WHERE state = 'dead' ORDER BY id DESC LIMIT ?"  # noqa: S608
_LOST = f"""SELECT {_EVENTS} FROM events WHERE disposition = 'quarantined' AND order_id IS NULL
            ORDER BY id DESC LIMIT ?"""  # noqa: S608
_COUNT_LOST = "SELECT 1 FROM events WHERE disposition = 'quarantined' AND order_id IS NULL LIMIT ?"
_TIMELINE_EVENTS = f"SELECT {_EVENTS} FROM events WHERE order_id = ? ORDER BY id DESC LIMIT ?"  # noqa: S608
_TIMELINE_ATTEMPTS = f"SELECT {_ATTEMPTS} FROM attempts WHERE order_id = ? ORDER BY id DESC LIMIT ?"  # noqa: S608


# -- rows and values -------------------------------------------------------------------------------------------------


def _order_row(order: Order, run: int) -> Row:
    cause = order.cause
    return (
        order.id, order.storefront, order.external_id, order.channel, order.reference, order.version, order.revision,
        order.event_id, order.cancelled_at, order.delivered_revision, order.delivered_digest, order.state, order.lane,
        order.due_at, order.urgency, order.accepted_at, order.attempts, order.first_attempt_at,
        *((None, None, None) if cause is None else (cause.code, cause.message, cause.status)), run,
    )  # fmt: skip


def _order_of(row: Row, lease: Lease | None) -> Order:
    values: dict[str, Any] = dict(zip(_ORDER_COLUMNS[:18], row, strict=False))
    values["state"], values["lane"] = State(row[11]), Lane(row[12])
    cause = None if row[18] is None else Cause(row[18], row[19], row[20])
    return Order(**values, cause=cause, lease=lease)


def _event_row(event: Event, digest: bytes | None) -> Row:
    return (
        event.id, event.storefront, event.topic, event.received_at, event.disposition, event.order_id, event.version,
        event.revision, event.duplicate_of, _reasons_text(event.reasons), digest,
    )  # fmt: skip


def _event_of(row: Row) -> Event:
    values: dict[str, Any] = dict(zip(_EVENT_COLUMNS, row, strict=True))
    values["disposition"] = Disposition(row[4])
    values["reasons"] = tuple(Reason(**reason) for reason in json.loads(row[9] or "[]"))
    return Event(**values)


def _reasons_text(reasons: Iterable[Reason]) -> str | None:
    return json.dumps([{"pointer": r.pointer, "message": r.message} for r in reasons]) if reasons else None


def _attempt_row(attempt: Attempt) -> Row:
    return (
        attempt.revision, attempt.started_at, attempt.duration_s, attempt.outcome, attempt.status, attempt.code,
        attempt.message, attempt.excerpt,
    )  # fmt: skip


def _waiting(row: Row) -> Waiting:
    return Waiting(*row)


def _bodies(connection: sqlite3.Connection, event_ids: Sequence[int]) -> dict[int, tuple[str, bytes]]:
    """Topic and body of each event."""
    if not event_ids:
        return {}
    query = f"""SELECT id, topic, body FROM events JOIN bodies ON event_id = id
                WHERE id IN ({_marks(event_ids)})"""  # noqa: S608
    unpack = zstandard.ZstdDecompressor().decompress
    return {event_id: (topic, unpack(body)) for event_id, topic, body in connection.execute(query, event_ids)}


def _unpack(connection: sqlite3.Connection, query: str, key: int) -> bytes | None:
    row = connection.execute(query, (key,)).fetchone()
    return None if row is None else zstandard.ZstdDecompressor().decompress(row[0])


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _padded(values: Sequence[T]) -> Sequence[T]:
    """Repeated at the end up to a power of two, so that few different statements are prepared."""
    return [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))]


def _chunks(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    """In sizes that are powers of two, so that few different statements are prepared, and those again and again."""
    at = 0
    while at < len(rows):
        size = min(_ROWS_MAX, 1 << ((len(rows) - at).bit_length() - 1))
        yield rows[at : at + size]
        at += size


# -- opening ---------------------------------------------------------------------------------------------------------


def _own(path: Path) -> int:
    """Lock the store for this process; the lock goes with the process, however that ends."""
    lock_path = path.with_name(path.name + ".lock")
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreFailed(_why_not(path, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(lock, 200).decode("utf-8", "replace").strip() or "another process"
        os.close(lock)
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise StoreFailed(f"cannot lock {lock_path}: {error.strerror}") from error
        raise StoreOwned(f"{path} is owned by {owner}; stop that relay first, or set another store.url") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return lock


def _why_not(path: Path, error: sqlite3.Error | OSError) -> str:
    """Why the store cannot be opened, and what to do."""
    folder, name = path.absolute().parent, f"store.url: cannot open {path}"
    if not os.path.isdir(folder):  # noqa: PTH112 - is_dir() raises where it may not look
        return f"{name}: there is no folder {folder}; make it, or set another store.url"
    if os.path.isdir(path):  # noqa: PTH112
        return f"{name}: it is a folder; name a file in it, such as sqlite:{path / 'relay.db'}"
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_NOTADB:
        return f"{name}: it is no SQLite database; move it away, or set another store.url"
    if code == sqlite3.SQLITE_ERROR:  # a migration, and so a statement of ours, did not fit
        return f"{name}: it is another program's database ({error}); set another store.url"
    if isinstance(error, PermissionError) or code in (sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
        return f"{name}: this user may not write it, or its folder; give it {folder}, or set another store.url"
    said = error.strerror if isinstance(error, OSError) else error
    return f"{name}: {said}; see to that, or set another store.url"


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    if read_only:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -8192")
        return connection
    path.chmod(0o600)  # raw orders hold personal data
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table: housekeeping returns space
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the newest version; each step is one transaction."""
    folder = resources.files("relay.store") / "migrations"
    steps = sorted((step for step in folder.iterdir() if step.name.endswith(".sql")), key=lambda step: step.name)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise StoreFailed(
            f"the store was written by a newer order-relay (version {version}, this one knows {len(steps)}): "
            "run that one, or set another store.url"
        )
    for number, step in enumerate(steps[version:], start=version + 1):
        connection.executescript(f"BEGIN; {step.read_text()} PRAGMA user_version = {number}; COMMIT;")


def _next_run(connection: sqlite3.Connection) -> int:
    run: int
    (run,) = connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'run' RETURNING value").fetchone()
    return run


def _last_id(connection: sqlite3.Connection, table: str) -> int:
    """The greatest id ever given, also if its row has been deleted since."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return 0 if row is None else int(row[0])
