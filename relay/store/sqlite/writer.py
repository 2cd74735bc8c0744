"""The writer's side: a batch of commands is one transaction.

A batch is loaded, changed and saved with a handful of statements however many requests it holds: each statement gives
up and regains the interpreter lock, and that, not the disk, is what would bound the rate.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import assert_never

import zstandard

from relay.clock import monotonic
from relay.core.condition import encode
from relay.core.delivery import Lane, State
from relay.core.order import Arrival, Lease, Order
from relay.store import Deed, Discarding, Event, Release, Replay, Revival, Settlement, StoreFailed, Swept, Taken
from relay.store.ledger import Fresh, Key, Ledger, Loaded, begun, dedupe_digest, key_of
from relay.store.sqlite import sweeping
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
from relay.store.sqlite.opening import last_id, next_run
from relay.store.sqlite.rows import (
    ATTEMPTS,
    DEEDS,
    EVENTS,
    ORDER_COLUMNS,
    ORDERS,
    REPLAYS,
    Row,
    attempt_row,
    bodies,
    chunks,
    deed_row,
    event_of,
    event_row,
    headers_text,
    marks,
    order_of,
    order_row,
    padded,
    reasons_text,
    replay_of,
)

Command = (
    Arrival
    | Take
    | Settlement
    | Wake
    | Revival
    | Release
    | Discarding
    | Understand
    | Keep
    | Record
    | BeginReplay
    | AdvanceReplay
    | NoteReplay
    | Sweep
    | Shrink
    | Probe
)

_ROWS_MAX = 64
"""Rows written by one statement at the most."""
_IDS_MAX = 4096
"""Ids looked up by one statement at the most."""

_SAVE_ORDER = "ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in ORDER_COLUMNS[3:])
_SAVE_SALE = """ON CONFLICT (order_id) DO UPDATE
    SET revision = excluded.revision, sale = excluded.sale, email = excluded.email"""
_SAVE_TALLY = "ON CONFLICT (channel, state, lane) DO UPDATE SET orders = orders + excluded.orders"
_SAVE_HELD = "ON CONFLICT (storefront) DO UPDATE SET orders = orders + excluded.orders"
_SAVE_DEAD = "ON CONFLICT (channel, code) DO UPDATE SET letters = letters + excluded.letters"
_SAVE_SENDER = """ON CONFLICT (name) DO UPDATE
    SET accepted = accepted + excluded.accepted, last_at = excluded.last_at"""
_SAVE_CONDITION = """INSERT INTO channels (name, condition) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET condition = excluded.condition"""
_SAVE_REPLAY = 'UPDATE replays SET revived = ?, "left" = ?, order_id = ?, event_id = ?, ended_at = ? WHERE id = ?'
_SAVE_FINDING = "UPDATE events SET disposition = ?, reasons = ? WHERE order_id = ? AND revision = ?"
_SAVE_AMENDED = """UPDATE events SET topic = ?, disposition = ?, order_id = ?, version = ?, revision = ?, reasons = ?
    WHERE id = ?"""
_DUE = """SELECT id FROM orders WHERE state = 'sleeping' AND channel = ? AND due_at <= ?
          ORDER BY due_at, id LIMIT ?"""
_DUE_BEYOND = """SELECT id FROM orders WHERE state = 'sleeping' AND channel = ? AND due_at > ?
                 ORDER BY due_at, id LIMIT ?"""


@dataclass(slots=True)
class _About:
    """What has to be known before a batch is applied."""

    ids: dict[int, None]
    """Of orders."""
    keys: dict[Key, None] = field(default_factory=dict)
    digests: list[bytes] = field(default_factory=list)
    event_ids: list[int] = field(default_factory=list)
    replay_ids: list[int] = field(default_factory=list)
    revives: bool = False

    def note(self, command: Command) -> None:
        match command:
            case Arrival():
                self.digests.append(dedupe_digest(command))
                self._note_key(command)
            case Take(_, candidates):
                self.ids.update(dict.fromkeys(candidates))
            case Settlement(order_id):
                self.ids[order_id] = None
            case Understand(event_id, arrival, _):
                self.event_ids.append(event_id)
                self._note_key(arrival)
            case Discarding(_, order_ids, event_ids):
                self.ids.update(dict.fromkeys(order_ids))
                self.event_ids += event_ids
            case Revival(order_ids) | Release(order_ids):
                self._note_revived(order_ids)
            case AdvanceReplay(replay_id, order_ids):
                self._note_revived(order_ids)
                self.replay_ids.append(replay_id)
            case NoteReplay(replay_id):
                self.replay_ids.append(replay_id)

    def _note_revived(self, order_ids: Sequence[int]) -> None:
        self.ids.update(dict.fromkeys(order_ids))
        self.revives = True

    def _note_key(self, arrival: Arrival) -> None:
        key = key_of(arrival)
        if key is not None:
            self.keys[key] = None


class Writer:
    """What happens on the writer thread. Only :attr:`leases` and :meth:`order` are looked at from others."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._run = next_run(connection)
        self._fresh = Fresh(
            count(last_id(connection, "events") + 1).__next__,
            count(last_id(connection, "orders") + 1).__next__,
            count(1).__next__,
        )
        self._pack = zstandard.ZstdCompressor(level=1).compress
        self.leases: dict[int, Lease] = {}
        """Kept in memory: one process owns the store, and what was in flight when it died waits again."""

    def order(self, row: Row) -> Order:
        """The order in a row, with its lease."""
        order = order_of(row, self.leases.get(row[0]))
        if row[-1] != self._run and order.state in (State.WAITING, State.SLEEPING):
            # It may have been in flight when the last run ended, so what Jetti has is not certain.
            return replace(order, delivered_digest=None)
        return order

    def transact(self, commands: Sequence[Command]) -> Sequence[object]:
        """Do all of it in one transaction, and return one result each; or raise, and leave nothing."""
        try:
            if self._connection.in_transaction:  # the last one failed so badly that it could not even be undone
                self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")
            self._check_owned()
            swept = {id(command): self._sweep(command) for command in commands if isinstance(command, Sweep)}
            sleepers = {id(command): self._due(command) for command in commands if isinstance(command, Wake)}
            ledger = self._load(commands, [order_id for due in sleepers.values() for order_id in due])
            results = [
                swept[id(command)] if isinstance(command, Sweep) else self._apply(ledger, command, sleepers)
                for command in commands
            ]
            self._save(ledger)
            answers = self._with_bodies(results)  # after saving: what is taken may have come in this very batch
            committing = monotonic()
            self._connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):  # what made the transaction fail may already have rolled it back
                self._connection.execute("ROLLBACK")
            if type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError):  # the disk or the file, not a command
                raise StoreFailed(f"{self._path}: {error}") from error
            raise
        self.leases.update((order.id, order.lease) for order in ledger.leased.values() if order.lease is not None)
        for order in ledger.changed():
            if order.lease is None:
                self.leases.pop(order.id, None)
        if swept:
            took_s = monotonic() - committing
            return [replace(a, held_s=a.held_s + took_s) if isinstance(a, Swept) else a for a in answers]
        return answers

    def _check_owned(self) -> None:
        """The lock can be got round (its file deleted); two owners would send one order twice at the same time."""
        (run,) = self._connection.execute("SELECT value FROM meta WHERE key = 'run'").fetchone()
        if run != self._run:
            raise StoreFailed(f"{self._path} was opened by another process meanwhile: stop one of the two")

    # -- load --------------------------------------------------------------------------------------------------------

    def _load(self, commands: Sequence[Command], sleepers: Sequence[int]) -> Ledger:
        about = _About(ids=dict.fromkeys(sleepers))
        for command in commands:
            about.note(command)
        orders = {order.id: order for order in self._orders_by_id(list(about.ids))}
        orders.update((order.id, order) for order in self._orders_by_key(about.keys))
        loaded = Loaded(orders.values(), self._seen(about.digests))
        if about.event_ids:
            loaded.events = {row[0]: event_of(row) for row in self._by_id(EVENTS, "events", about.event_ids)}
        if about.revives:
            sources = [order.event_id for order in orders.values() if order.event_id is not None]
            loaded.bodies = {row[0] for row in self._by_id("event_id", "bodies", sources, key="event_id")}
        if about.replay_ids:
            loaded.replays = {row[0]: replay_of(row) for row in self._by_id(REPLAYS, "replays", about.replay_ids)}
        return Ledger(loaded, self._fresh)

    def _seen(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        if not digests:
            return {}
        asked = padded(digests)
        query = f"SELECT dedupe_key, id FROM events WHERE dedupe_key IN ({marks(asked)})"  # noqa: S608 - our own names
        return dict(self._connection.execute(query, asked))

    def _by_id(self, columns: str, table: str, ids: Sequence[int], key: str = "id") -> Iterable[Row]:
        for chunk in chunks(ids, _IDS_MAX) if len(ids) > _IDS_MAX else [ids] if ids else []:
            asked = padded(chunk)
            query = f"SELECT {columns} FROM {table} WHERE {key} IN ({marks(asked)})"  # noqa: S608
            yield from self._connection.execute(query, asked)

    def _orders_by_id(self, ids: Sequence[int]) -> list[Order]:
        return [self.order(row) for row in self._by_id(ORDERS, "orders", ids)]

    def _orders_by_key(self, keys: Iterable[Key]) -> list[Order]:
        """Storefront by storefront: a row value among many is not looked up in the index but searched for."""
        by_storefront: dict[str, list[str]] = {}
        for storefront, external_id in keys:
            by_storefront.setdefault(storefront, []).append(external_id)
        orders: list[Order] = []
        for storefront, external_ids in by_storefront.items():
            asked = padded(external_ids)
            query = f"SELECT {ORDERS} FROM orders WHERE storefront = ? AND external_id IN ({marks(asked)})"  # noqa: S608
            orders += [self.order(row) for row in self._connection.execute(query, [storefront, *asked])]
        return orders

    def _due(self, wake: Wake) -> list[int]:
        due = self._connection.execute(_DUE, (wake.channel, wake.now, wake.limit)).fetchall()
        if wake.beyond is not None and len(due) < wake.limit:
            beyond = max(wake.beyond, wake.now)  # what is due is found already
            due += self._connection.execute(_DUE_BEYOND, (wake.channel, beyond, wake.limit - len(due))).fetchall()
        return [order_id for (order_id,) in due]

    # -- apply -------------------------------------------------------------------------------------------------------

    def _apply(self, ledger: Ledger, command: Command, sleepers: Mapping[int, Sequence[int]]) -> object:
        match command:
            case Arrival():
                return ledger.accept(command)
            case Settlement():
                return ledger.settle(command)
            case Take(channel, candidates):
                leases = (ledger.lease(order_id, channel) for order_id in candidates)
                return next((leased for leased in leases if leased is not None), None)
            case Wake():
                woken = (ledger.wake(order_id, command.now) for order_id in sleepers[id(command)])
                return [waiting for waiting in woken if waiting is not None]
            case Revival() | Release() | Discarding() | Understand() | AdvanceReplay() | NoteReplay():
                return _for_a_person(ledger, command)
            case Keep() | Record() | BeginReplay() | Shrink() | Probe():
                return self._administer(command)
            case Sweep():
                raise AssertionError("a sweep comes before what is loaded")
            case _:
                assert_never(command)

    def _administer(self, command: Keep | Record | BeginReplay | Shrink | Probe) -> object:
        """What is about no order."""
        match command:
            case Record(deed):
                self._save_deed(deed)
                return None
            case Keep(channel, condition, deed):
                self._connection.execute(_SAVE_CONDITION, (channel, encode(condition).decode()))
                if deed is not None:
                    self._save_deed(deed)
                return None
            case BeginReplay():
                return self._begin_replay(command)
            case Shrink(most_bytes):
                return self._shrink(most_bytes)
            case Probe():
                self._connection.execute("UPDATE meta SET value = value WHERE key = 'run'")
                return None

    def _begin_replay(self, command: BeginReplay) -> Replay:
        deed = command.deed
        made = begun(command.selection, deed, replay_id=0, total=command.total)
        selection = made.selection
        made = replace(made, deed_id=self._save_deed(deed))
        (replay_id,) = self._connection.execute(
            f"INSERT INTO replays ({REPLAYS}) VALUES (NULL, {marks(range(15))}) RETURNING id",  # noqa: S608
            (
                selection.code, selection.channel, selection.storefront, selection.since, selection.until,
                made.begun_at, made.by, made.why, made.total, made.revived, made.left, made.order_id, made.event_id,
                made.ended_at, made.deed_id,
            ),
        ).fetchone()  # fmt: skip
        return replace(made, id=replay_id)

    def _shrink(self, most_bytes: int) -> int:
        page_size, before = self._pragma("page_size"), self._pragma("freelist_count")
        pages = min(most_bytes // page_size, before)
        if pages <= 0:
            return 0
        for _ in range(pages):
            # One at a time: each step of this statement is one page, and the sqlite3 module takes only the first.
            self._connection.execute("PRAGMA incremental_vacuum(1)")
        return (before - self._pragma("freelist_count")) * page_size

    def _pragma(self, name: str) -> int:
        value: int
        (value,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return value

    def _sweep(self, sweep: Sweep) -> Swept:
        began = monotonic()
        swept, orders = sweeping.delete(self._connection, sweep.cutoffs, sweep.found)
        gone: dict[tuple[str, State, Lane], int] = {}
        for at in orders:
            gone[at] = gone.get(at, 0) - 1
        self._save_tally(gone)
        return replace(swept, held_s=monotonic() - began)

    def _with_bodies(self, results: list[object]) -> list[object]:
        """Every order that was leased, with the body its sale is made from."""
        leased = [r.event_id for r in results if isinstance(r, Order) and r.event_id is not None]
        found = bodies(self._connection, leased)
        nothing = ("", b"")
        return [Taken(r, *found.get(r.event_id or 0, nothing)) if isinstance(r, Order) else r for r in results]

    # -- save --------------------------------------------------------------------------------------------------------

    def _save(self, ledger: Ledger) -> None:
        self._insert("orders", ORDERS, [order_row(order, self._run) for order in ledger.changed()], _SAVE_ORDER)
        self._insert("events", f"{EVENTS}, dedupe_key", [event_row(k.event, k.digest) for k in ledger.events])
        self._insert(
            "bodies",
            "event_id, body, headers",
            [(k.event.id, self._pack(k.body), headers_text(k.headers)) for k in ledger.events if k.body is not None],
        )
        self._insert("attempts", f"order_id, {ATTEMPTS}", [(i, *attempt_row(a)) for i, a in ledger.attempts])
        self._insert(
            "sales",
            "order_id, revision, sale, email",
            [(order_id, m.revision, self._pack(m.sale), m.email) for order_id, m in ledger.sales.items()],
            _SAVE_SALE,
        )
        for event in ledger.amended.values():
            self._amend(event)
        for order_id, revision, finding in ledger.findings:
            said = (finding.disposition, reasons_text(finding.reasons), order_id, revision)
            self._connection.execute(_SAVE_FINDING, said)
        for replay in ledger.replays.values():
            place = (replay.revived, replay.left, replay.order_id, replay.event_id, replay.ended_at, replay.id)
            self._connection.execute(_SAVE_REPLAY, place)
        for deed, subjects in ledger.deeds:
            self._save_deed(deed, subjects)
        self._insert("deed_subjects", "about, deed_id", [(about, deed_id) for deed_id, about in ledger.subjects])
        self._save_tally(ledger.deltas())
        self._insert("held", "storefront, orders", list(ledger.held_deltas().items()), _SAVE_HELD)
        self._save_dead(ledger.dead_deltas())
        senders = [(storefront, s.accepted, s.last_at) for storefront, s in ledger.senders().items()]
        self._insert("storefronts", "name, accepted, last_at", senders, _SAVE_SENDER)

    def _amend(self, event: Event) -> None:
        known = (event.topic, event.disposition, event.order_id, event.version, event.revision)
        self._connection.execute(_SAVE_AMENDED, (*known, reasons_text(event.reasons), event.id))
        self._connection.execute("UPDATE bodies SET headers = NULL WHERE event_id = ?", (event.id,))

    def _save_deed(self, deed: Deed, subjects: Sequence[str] = ()) -> int:
        values = deed_row(deed)
        insert = f"INSERT INTO deeds ({DEEDS}) VALUES ({marks(values)}) RETURNING id"  # noqa: S608
        deed_id: int = self._connection.execute(insert, values).fetchone()[0]
        self._insert("deed_subjects", "about, deed_id", [(subject, deed_id) for subject in subjects])
        return deed_id

    def _save_tally(self, deltas: dict[tuple[str, State, Lane], int]) -> None:
        rows = [(*at, delta) for at, delta in deltas.items()]
        self._insert("tally", "channel, state, lane, orders", rows, _SAVE_TALLY)

    def _save_dead(self, deltas: dict[tuple[str, str], int]) -> None:
        self._insert("dead", "channel, code, letters", [(*at, delta) for at, delta in deltas.items()], _SAVE_DEAD)
        fewer = [at for at, delta in deltas.items() if delta < 0]
        self._connection.executemany("DELETE FROM dead WHERE channel = ? AND code = ? AND letters = 0", fewer)

    def _insert(self, table: str, columns: str, rows: Sequence[Row], conflict: str = "") -> None:
        for chunk in chunks(rows, _ROWS_MAX):
            values = ", ".join(["(" + ", ".join("?" * len(chunk[0])) + ")"] * len(chunk))
            self._connection.execute(
                f"INSERT INTO {table} ({columns}) VALUES {values} {conflict}",  # noqa: S608
                [value for row in chunk for value in row],
            )


def _for_a_person(
    ledger: Ledger, command: Revival | Release | Discarding | Understand | AdvanceReplay | NoteReplay
) -> object:
    """What persons ask for, now and then."""
    match command:
        case Revival():
            return ledger.revive(command)
        case Release():
            return ledger.release(command)
        case Discarding():
            return ledger.discard(command)
        case Understand(event_id, arrival, deed):
            return ledger.understood(event_id, arrival, deed)
        case AdvanceReplay(replay_id, order_ids, now, head_starts):
            return ledger.advance(replay_id, order_ids, now=now, head_starts=head_starts)
        case NoteReplay(replay_id, event_id, revived, left, ended_at):
            return ledger.note_replay(replay_id, event_id=event_id, revived=revived, left=left, ended_at=ended_at)
