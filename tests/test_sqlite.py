"""The store on one disk: what only it promises. The contract it shares with the others is in test_store_contract."""

import asyncio
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event as Gate
from typing import Any

import pytest
import zstandard

from relay.clock import SystemClock
from relay.core import instant
from relay.core.backlog import Waiting
from relay.core.condition import Condition
from relay.core.delivery import Lane, State
from relay.core.events import Committed, Happening
from relay.core.order import Arrival, Disposition
from relay.core.outcome import Cause, Outcome
from relay.core.search import email_hash
from relay.store import (
    EVERYTHING,
    NO_ORDER,
    Cutoffs,
    Deed,
    Discarding,
    EventSearch,
    HeldGroup,
    Receipt,
    Release,
    Revival,
    Search,
    Selection,
    Sender,
    StoreFailed,
    StoreOwned,
    SweepPlace,
    Taken,
)
from relay.store.ledger import dedupe_digest
from relay.store.sqlite import SqliteStore, sweeping
from relay.store.sqlite.commands import AdvanceReplay, Sweep
from tests.builders import (
    CANNOT_MAP,
    FAILED,
    NOT_WANTED,
    REFUSED,
    SENT,
    accept,
    arrival,
    at,
    cancel,
    deliver,
    garbled,
    id_of,
    order_of,
    settle,
    settlement,
    take,
    upsert,
)

ROOT = Path(__file__).parent.parent
MIGRATIONS = len(list((ROOT / "relay/store/migrations").glob("*.sql")))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(path)
    yield opened
    await opened.close()


def pragma(store: SqliteStore, name: str) -> object:
    (value,) = store._writer.execute(f"PRAGMA {name}").fetchone()
    return value


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as reader:
        return reader.execute(query).fetchall()


def one_reader(store: SqliteStore) -> None:
    """One connection reads, so that all its statements are seen."""
    store._readers.shutdown()
    store._readers = ThreadPoolExecutor(1)


@contextmanager
def writer_blocked(path: Path) -> Iterator[None]:
    """Nothing is committed meanwhile: what is asked for gathers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


# -- on the disk -----------------------------------------------------------------------------------------------------


async def test_the_writer_syncs_every_commit(store: SqliteStore) -> None:
    await accept(store)
    assert pragma(store, "synchronous") == 2, "FULL"
    assert pragma(store, "journal_mode") == "wal"
    assert pragma(store, "auto_vacuum") == 2, "INCREMENTAL, so that housekeeping can return space"


async def test_readers_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(StoreFailed):
        await store._read(lambda reader: reader.execute("DELETE FROM events"))


async def test_only_the_owner_of_the_files_can_read_them(store: SqliteStore, path: Path) -> None:
    await accept(store)
    await store.head("main", 1)
    assert modes(path.parent) == dict.fromkeys(("relay.db", "relay.db-wal", "relay.db-shm", "relay.db.lock"), "0o600")


def modes(folder: Path) -> dict[str, str]:
    return {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}


async def test_a_files_permissions_are_mended_when_it_is_opened(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT, 0o644))
    assert modes(path.parent) == {"relay.db": "0o644"}
    store = await SqliteStore.open(path)
    assert modes(path.parent)["relay.db"] == "0o600"
    await store.close()


async def test_what_was_acknowledged_is_there_after_closing_and_opening(path: Path) -> None:
    store = await SqliteStore.open(path)
    receipt = await accept(store, upsert("1001", key="k", reference="#1001"), body=b"body")
    dead = await accept(store, upsert("1002"))
    settled = await settle(store, await take(store, dead), CANNOT_MAP, sale=b"sale")
    await store.close()
    store = await SqliteStore.open(path)
    assert await store.body(receipt.event_id) == b"body"
    assert [order.id for order in await store.find("#1001")] == [receipt.order_id]
    assert await store.head("main", 9) == [receipt.waiting]
    assert await store.dead_letters() == [settled.order]
    assert await store.sale(id_of(dead)) == b"sale"
    again = await accept(store, upsert("1001", key="k"))
    assert (again.disposition, again.duplicate_of) == (Disposition.DUPLICATE, receipt.event_id)
    assert again.event_id > dead.event_id
    await store.close()


async def test_what_was_acknowledged_is_there_after_a_crash_and_what_was_in_flight_waits(path: Path) -> None:
    store = await SqliteStore.open(path)
    receipts = [await accept(store, upsert(str(number)), body=b"%d" % number) for number in range(3)]
    await deliver(store, receipts[0], digest=b"d" * 16)
    second = await accept(store, upsert("0"))
    await deliver(store, receipts[1], FAILED)
    in_flight = await take(store, second)
    assert in_flight.order.delivered_digest == b"d" * 16
    image = path.with_name("image.db")
    for suffix in ("", "-wal"):  # as a killed process leaves them: nothing was checkpointed or closed
        shutil.copy(f"{path}{suffix}", f"{image}{suffix}")
    await store.close()
    after = await SqliteStore.open(image)
    assert await after.head("main", 9) == [receipts[2].waiting, Waiting(at(0), id_of(second))]
    assert (await order_of(after, second)).delivered_digest is None, "Jetti may or may not have taken the newest"
    assert (await order_of(after, receipts[1])).delivered_digest is None
    assert (await take(after, second)).order.delivered_digest is None
    assert (await deliver(after, receipts[2], digest=b"e" * 16)).order.delivered_digest == b"e" * 16
    await after.close()
    last = await SqliteStore.open(image)
    assert (await order_of(last, receipts[2])).delivered_digest == b"e" * 16, "what was settled is certain"
    await last.close()


async def test_a_store_of_a_newer_version_is_left_alone(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreFailed, match=re.escape("newer order-relay (version 999")):
        await SqliteStore.open(path)
    assert rows(path, "PRAGMA user_version") == [(999,)]
    with closing(sqlite3.connect(path)) as older:
        older.execute(f"PRAGMA user_version = {MIGRATIONS}")
    await (await SqliteStore.open(path)).close()  # the refusal did not keep the lock


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing/relay.db", "there is no folder {folder}/missing; make it, or set another store.url"),
        ("folder", "it is a folder; name a file in it, such as sqlite:{folder}/folder/relay.db"),
        ("no-database.db", "it is no SQLite database; move it away, or set another store.url"),
        ("other.db", "it is another program's database (table events already exists); set another store.url"),
    ],
)
async def test_what_cannot_be_opened_is_refused_with_key_and_remedy(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "no-database.db").write_bytes(b"certainly no database" * 99)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE events (something TEXT)")
    with pytest.raises(StoreFailed) as refused:
        await SqliteStore.open(tmp_path / name)
    assert str(refused.value) == f"store.url: cannot open {tmp_path / name}: {said.format(folder=tmp_path)}"


async def test_a_folder_that_may_not_be_written_is_refused_with_key_and_remedy(tmp_path: Path) -> None:
    with not_allowed(tmp_path), pytest.raises(StoreFailed, match=r"store\.url: .*this user may not write it, or its"):
        await SqliteStore.open(tmp_path / "relay.db")


@contextmanager
def not_allowed(folder: Path) -> Iterator[None]:
    """The folder may be looked into and not written, also by root: it is somebody else meanwhile."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.parents) if path.stat().st_uid == os.getuid()}
    modes = {path: mode for path, mode in modes.items() if path == folder or not mode & 0o001}
    for path, mode in modes.items():
        path.chmod(0o555 if path == folder else mode | 0o111)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)


# -- one owner -------------------------------------------------------------------------------------------------------

OWNER = """
import asyncio, sys
from pathlib import Path
from relay.store.sqlite import SqliteStore
from tests.builders import accept, upsert

async def own() -> None:
    store = await SqliteStore.open(Path(sys.argv[1]))
    await accept(store, upsert("1001"))
    print("owned", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(own())
"""


def python(program: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


async def test_a_second_process_is_told_who_owns_the_store_and_gets_it_when_that_one_dies(path: Path) -> None:
    with python(OWNER, str(path)) as owner:
        assert owner.stdout is not None
        assert await asyncio.to_thread(owner.stdout.readline) == "owned\n"
        with pytest.raises(StoreOwned, match=f"process {owner.pid} on {re.escape(socket.gethostname())}"):
            await SqliteStore.open(path)
        assert owner.poll() is None
        owner.send_signal(signal.SIGKILL)
        assert await asyncio.to_thread(owner.wait) == -signal.SIGKILL
    store = await SqliteStore.open(path)
    assert [order.external_id for order in await store.find("1001")] == ["1001"]
    with pytest.raises(StoreOwned, match=f"process {os.getpid()} "):
        await SqliteStore.open(path)
    await accept(store)
    await store.close()


# -- one writer ------------------------------------------------------------------------------------------------------


async def test_a_store_has_one_owner_by_whatever_name_it_is_opened(store: SqliteStore, path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(StoreOwned):
        await SqliteStore.open(link)


async def test_who_gets_round_the_lock_takes_the_store_over_and_the_other_keeps_nothing(
    store: SqliteStore, path: Path
) -> None:
    path.with_name(path.name + ".lock").unlink()
    second = await SqliteStore.open(path)
    try:
        with pytest.raises(StoreFailed, match="another process"):
            await accept(store)
        assert (await accept(second)).disposition is Disposition.QUEUED
    finally:
        await second.close()


async def test_many_requests_share_one_commit(store: SqliteStore, path: Path) -> None:
    await accept(store)
    commits: list[str] = []
    with writer_blocked(path):
        store._writer.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
        waiting = [asyncio.ensure_future(accept(store, upsert(str(number)))) for number in range(200)]
        done, _ = await asyncio.wait(waiting, timeout=0)
        assert not done
    receipts = await asyncio.gather(*waiting)
    store._writer.set_trace_callback(None)
    assert len({receipt.order_id for receipt in receipts}) == 200
    assert 1 <= len(commits) <= 2, "whatever the first transaction had gathered, and all that came while it waited"


async def test_nobody_is_answered_before_the_commit(store: SqliteStore, path: Path) -> None:
    steps: list[str] = []
    store._writer.set_trace_callback(lambda text: steps.append(text.split()[0]))
    accepted = asyncio.ensure_future(accept(store))
    accepted.add_done_callback(lambda _: steps.append("answered"))
    receipt = await accepted
    store._writer.set_trace_callback(None)
    assert steps.index("COMMIT") < steps.index("answered")
    assert rows(path, "SELECT id FROM events") == [(receipt.event_id,)], "and others see it"


async def test_events_of_one_order_in_one_commit_see_each_other(store: SqliteStore, path: Path) -> None:
    with writer_blocked(path):
        events = [upsert(version=1), upsert(version=3, key="k"), upsert(version=2), upsert(version=3, key="k")]
        waiting = [asyncio.ensure_future(accept(store, event)) for event in events]
        await asyncio.wait(waiting, timeout=0)
    receipts = await asyncio.gather(*waiting)
    assert [receipt.disposition for receipt in receipts] == [
        Disposition.QUEUED, Disposition.MERGED, Disposition.STALE, Disposition.DUPLICATE,
    ]  # fmt: skip
    assert receipts[3].duplicate_of == receipts[1].event_id
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): 1}


async def test_what_is_taken_in_the_commit_that_accepts_it_has_its_body(store: SqliteStore, path: Path) -> None:
    """Found by the loss checker: such an order was taken for one whose body is gone, and became a dead letter."""
    first = await accept(store, upsert(version=1), body=b"first")
    with writer_blocked(path):
        accepting = asyncio.ensure_future(accept(store, upsert(version=2), body=b"second"))
        taking = asyncio.ensure_future(store.take("main", [id_of(first)]))
        await asyncio.wait({accepting, taking}, timeout=0)
    taken = await taking
    assert taken is not None
    assert (taken.order.revision, taken.body) == (2, b"second")
    assert (await accepting).disposition is Disposition.MERGED


async def test_an_order_whose_body_is_gone_is_still_handed_out(store: SqliteStore, path: Path) -> None:
    """It becomes a dead letter; it must not fail every take for ever."""
    first = await accept(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DELETE FROM bodies")
    taken = await take(store, first)
    assert taken.body == b""


UNKEEPABLE = (arrival(upsert("bad", version=2**70)), arrival(upsert("\ud800")))
"""Commands that SQLite cannot keep: a number beyond 64 bits, and text that is no text."""


@pytest.mark.parametrize("bad", UNKEEPABLE)
async def test_a_bad_command_does_not_take_its_company_with_it(store: SqliteStore, path: Path, bad: Arrival) -> None:
    first = await accept(store, upsert("first"))
    taken = await take(store, first)
    with writer_blocked(path):
        company = [asyncio.ensure_future(accept(store, upsert(str(number)))) for number in range(3)]
        failing = asyncio.ensure_future(store.accept(bad))
        settling = asyncio.ensure_future(store.settle(settlement(taken, SENT)))
        company += [asyncio.ensure_future(accept(store, upsert(str(number)))) for number in range(3, 6)]
        await asyncio.wait({failing, *company}, timeout=0)
    with pytest.raises(StoreFailed):
        await failing
    receipts = await asyncio.gather(*company)
    assert [receipt.disposition for receipt in receipts] == [Disposition.QUEUED] * 6
    settled = await settling
    assert settled is not None
    assert settled.order.state is State.SENT
    assert store.failure() is None, "the disk is well"
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): 6, ("main", State.SENT, Lane.NEW): 1}
    assert len(rows(path, "SELECT id FROM events")) == 7
    assert await store.find("bad") == []


async def test_a_lease_of_a_transaction_that_failed_is_no_lease(store: SqliteStore, path: Path) -> None:
    first = await accept(store)
    with writer_blocked(path):
        taking = asyncio.ensure_future(store.take("main", [id_of(first)]))
        failing = asyncio.ensure_future(store.take("main", [2**70]))
        await asyncio.wait({taking, failing}, timeout=0)
    with pytest.raises(StoreFailed):
        await failing
    taken = await taking
    assert taken is not None
    await settle(store, taken)


async def test_what_was_asked_for_before_closing_is_kept(path: Path) -> None:
    store = await SqliteStore.open(path)
    with writer_blocked(path):
        waiting = [asyncio.ensure_future(accept(store, upsert(str(number)))) for number in range(9)]
        await asyncio.wait(waiting, timeout=0)
        closing_it = asyncio.ensure_future(store.close())
        await asyncio.wait({closing_it}, timeout=0)
        with pytest.raises(StoreFailed):
            await accept(store)
    receipts = await asyncio.gather(*waiting)
    await closing_it
    assert rows(path, "SELECT id FROM events ORDER BY id") == [(receipt.event_id,) for receipt in receipts]


async def test_an_event_whose_caller_went_away_does_not_stop_the_others(store: SqliteStore, path: Path) -> None:
    with writer_blocked(path):
        gone, waits = asyncio.ensure_future(accept(store)), asyncio.ensure_future(accept(store))
        await asyncio.wait({gone, waits}, timeout=0)
        gone.cancel()
    assert (await waits).disposition is Disposition.MERGED
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_full_head_is_full_also_while_its_deliveries_are_being_taken(store: SqliteStore) -> None:
    """A head that is too short means that the backlog ends there, and the window would look no further."""
    receipts = [await accept(store, upsert(str(number)), received_at=at(number)) for number in range(12)]
    one_reader(store)
    reading, may_go_on = Gate(), Gate()

    def stop_at_the_first_look(text: str) -> None:
        if text.startswith("SELECT") and not reading.is_set():
            reading.set()
            may_go_on.wait(60)

    await store._read(lambda reader: reader.set_trace_callback(stop_at_the_first_look))
    head = asyncio.ensure_future(store.head("main", 6))
    assert await asyncio.to_thread(reading.wait, 60)
    for receipt in receipts[:4]:
        await take(store, receipt)
    may_go_on.set()
    assert len(await head) == 6


# -- a disk that fails -----------------------------------------------------------------------------------------------


async def test_a_full_database_is_told_to_all_who_wait_and_keeps_nothing_half(store: SqliteStore, path: Path) -> None:
    first = await accept(store, upsert("first"))
    taken = await take(store, first)
    before = await store.tally()
    limit = pragma(store, "max_page_count")
    pages = pragma(store, "page_count")
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    big = os.urandom(50_000)
    with writer_blocked(path):
        waiting = [asyncio.ensure_future(accept(store, upsert(str(n), key=f"k{n}"), body=big)) for n in range(9)]
        await asyncio.wait(waiting, timeout=0)
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreFailed] * 9
    assert "full" in str(answers[0])
    assert "full" in (store.failure() or "")
    assert await store.tally() == before
    assert rows(path, "SELECT id FROM events") == [(first.event_id,)]
    store._writer.execute(f"PRAGMA max_page_count = {limit}")
    again = await asyncio.gather(*(accept(store, upsert(str(n), key=f"k{n}"), body=big) for n in range(9)))
    assert [receipt.disposition for receipt in again] == [Disposition.QUEUED] * 9, (
        "they were not kept, so may come again"
    )
    assert store.failure() is None
    assert (await settle(store, taken)).order.state is State.SENT


NO_ROOM = """
import asyncio, os, resource, sys
from pathlib import Path
from relay.store import StoreFailed
from relay.store.sqlite import SqliteStore
from tests.builders import accept, take, settle, upsert

async def fill() -> None:
    path = Path(sys.argv[1])
    store = await SqliteStore.open(path)
    kept = []
    first = await accept(store, upsert("first"))
    kept.append(first.event_id)
    taken = await take(store, first)
    size = Path(f"{path}-wal").stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 150_000, hard))  # no file may grow beyond: writing fails
    async def one(number: int) -> str:
        try:
            receipt = await accept(store, upsert(str(number), key=f"k{number}"), body=os.urandom(20_000))
        except StoreFailed:
            return "failed"
        kept.append(receipt.event_id)
        return "kept"
    refused = 0
    for batch in range(10):
        answers = await asyncio.gather(*(one(batch * 5 + n) for n in range(5)))
        refused += answers.count("failed")
        if "failed" in answers:
            assert store.failure() is not None
    assert refused > 5, refused
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    before = len(kept)
    answers = await asyncio.gather(*(one(1000 + n) for n in range(5)))
    assert answers == ["kept"] * 5, answers
    assert store.failure() is None
    await settle(store, taken)
    print(before, *kept, flush=True)
    os._exit(0)  # without closing

asyncio.run(fill())
"""


async def test_a_disk_without_room_costs_nothing_that_was_acknowledged(path: Path) -> None:
    with python(NO_ROOM, str(path)) as process:
        out, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0
    _, *kept = map(int, out.split())
    store = await SqliteStore.open(path)
    assert rows(path, "SELECT id FROM events ORDER BY id") == [(event_id,) for event_id in sorted(kept)]
    assert rows(path, "SELECT event_id FROM bodies ORDER BY event_id") == [(event_id,) for event_id in sorted(kept)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    tally = await store.tally()
    assert sum(tally.values()) == len(kept)
    assert tally["main", State.SENT, Lane.NEW] == 1
    await store.close()


# -- other causes ----------------------------------------------------------------------------------------------------


async def everything_fails(store: SqliteStore, first: Receipt, taken: Taken) -> None:
    """Whatever is asked of the writer, it says that it could not."""
    deed = Deed(at(0), "anna", "replay", "everything", "mended")
    asked: list[Coroutine[Any, Any, object]] = [
        accept(store, upsert("second", key="second")),
        store.take("main", [id_of(first)]),
        settle(store, taken),
        store.wake("main", at(9999), 5),
        store.keep("main", Condition(running_us=1), deed),
        store.revive(Revival([id_of(first)], at(0), {}, deed=deed)),
        store.discard(Discarding(deed, [id_of(first)])),
        store.begin_replay(EVERYTHING, deed),
        store.probe(),
    ]
    for one in asked:
        with pytest.raises(StoreFailed):
            await one
        assert store.failure() is not None


async def nothing_was_kept(store: SqliteStore, first: Receipt, taken: Taken) -> None:
    """… and when the cause is gone, all is as it was, and works again."""
    await store.probe()
    assert store.failure() is None
    assert await store.find("second") == []
    assert (await store.conditions(), await store.deeds(), await store.replays()) == ({}, [], [])
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): 1}
    assert (await accept(store, upsert("second", key="second"))).disposition is Disposition.QUEUED
    assert (await settle(store, taken)).order.state is State.SENT


async def test_a_lock_held_by_another_process_costs_nothing_and_is_waited_for_only_so_long(
    store: SqliteStore, path: Path
) -> None:
    first = await accept(store)
    taken = await take(store, first)
    store._writer.execute("PRAGMA busy_timeout = 20")
    with python(LOCKER, str(path)) as locker:
        assert locker.stdout is not None
        assert locker.stdin is not None
        assert await asyncio.to_thread(locker.stdout.readline) == "locked\n"
        await everything_fails(store, first, taken)
        assert "locked" in (store.failure() or "")
        assert (await order_of(store, first)).lease is not None, "reading goes on"
        locker.stdin.close()
        await asyncio.to_thread(locker.wait)
    await nothing_was_kept(store, first, taken)


LOCKER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


async def test_a_disk_that_may_not_be_written_costs_nothing(store: SqliteStore) -> None:
    first = await accept(store)
    taken = await take(store, first)
    store._writer.execute("PRAGMA query_only = ON")
    await everything_fails(store, first, taken)
    store._writer.execute("PRAGMA query_only = OFF")
    await nothing_was_kept(store, first, taken)


async def test_a_transaction_that_could_not_even_be_undone_is_undone_before_the_next(store: SqliteStore) -> None:
    store._writer.execute("BEGIN IMMEDIATE")
    store._writer.execute("DELETE FROM tally")
    assert (await accept(store)).disposition is Disposition.QUEUED
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): 1}


@contextmanager
def damaged(path: Path, table: str) -> Iterator[None]:
    """A store's file, closed, in which the root page of a table is overwritten with noise."""
    with closing(sqlite3.connect(path)) as reader:
        (page,) = reader.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        (page_size,) = reader.execute("PRAGMA page_size").fetchone()
    good = path.read_bytes()
    at_byte = (page - 1) * page_size
    path.write_bytes(good[:at_byte] + b"\xa5" * page_size + good[at_byte + page_size :])
    yield
    path.write_bytes(good)


async def test_a_damaged_page_is_told_and_costs_nothing_else(path: Path) -> None:
    store = await SqliteStore.open(path)
    first, second = await accept(store, upsert("first")), await accept(store, upsert("second"))
    await store.close()
    with damaged(path, "sales"):
        store = await SqliteStore.open(path)
        with pytest.raises(StoreFailed, match="malformed"):
            await store.sale(id_of(first))
        taken = await take(store, first)
        with pytest.raises(StoreFailed, match="malformed"):
            await settle(store, taken, sale=b"sale")
        assert "malformed" in (store.failure() or "")
        assert (await order_of(store, first)).lease == taken.order.lease, "it was not settled"
        assert (await accept(store, upsert("third"))).disposition is Disposition.QUEUED, (
            "what it does not touch goes on"
        )
        assert store.failure() is None
        await store.close()
    # The same file, whole again, as far as it was before.
    store = await SqliteStore.open(path)
    assert (await settle(store, await take(store, second), sale=b"sale")).order.state is State.SENT
    assert await store.sale(id_of(second)) == b"sale"
    await store.close()


@pytest.mark.parametrize("table", ["orders", "events", "tally", "bodies", "attempts"])
async def test_a_damaged_table_keeps_nothing_half(path: Path, table: str) -> None:
    store = await SqliteStore.open(path)
    first = await accept(store, upsert("first"))
    await store.close()
    whole = {"orders", "events", "bodies", "tally"} - {table}
    before = contents(path, whole)
    with damaged(path, table):
        store = await SqliteStore.open(path)

        async def deliver_it() -> None:
            await deliver(store, first)
            await accept(store, upsert("second"))

        with pytest.raises(StoreFailed):
            await deliver_it()
        store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await store.close()
        assert contents(path, whole) == before


def contents(path: Path, tables: Iterable[str]) -> dict[str, list[tuple[object, ...]]]:
    return {table: rows(path, f"SELECT * FROM {table} ORDER BY 1") for table in tables}  # noqa: S608 - our own names


async def test_a_damaged_body_is_as_good_as_gone(store: SqliteStore, path: Path) -> None:
    first, second = await accept(store, upsert("first")), await accept(store, upsert("second"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE bodies SET body = x'00112233' WHERE event_id = ?", (first.event_id,))
    assert (await take(store, first)).body == b"", "handed out, so that it becomes a dead letter"
    assert await store.look(id_of(second)) is not None
    with pytest.raises(StoreFailed):
        await store.body(first.event_id)


async def test_a_store_that_cannot_be_read_says_so_and_can_be_read_again(store: SqliteStore, path: Path) -> None:
    one_reader(store)
    first = await accept(store)
    await store._read(lambda reader: reader.set_progress_handler(lambda: 1, 1))
    for look in (store.tally(), store.head("main", 5), store.dead_letters(), store.timeline(1), store.size()):
        with pytest.raises(StoreFailed):
            await look
    assert store.failure() is None, "it can commit"
    # Not in a transaction: beginning one is interrupted as well.
    await asyncio.get_running_loop().run_in_executor(
        store._readers, lambda: store._reader().set_progress_handler(None, 1)
    )
    assert await store.head("main", 5) == [first.waiting]


# -- housekeeping ----------------------------------------------------------------------------------------------------

OLD = Cutoffs(bodies=at(1000), finished=at(1000))


async def test_what_came_alive_after_a_sweep_saw_it_is_left_alone(store: SqliteStore) -> None:
    sent, discarded, refused = [await accept(store, upsert(str(number))) for number in range(3)]
    lost = await accept(store, garbled())
    for receipt, outcome in ((sent, SENT), (refused, REFUSED)):
        await settle(store, await take(store, receipt), outcome, sale=b"sale")
    deed = Deed(at(0), "anna", "discard", "test orders", "tests")
    await store.discard(Discarding(deed, [id_of(discarded), id_of(refused)], [lost.event_id]))
    found = await store._read(lambda reader: sweeping.find(reader, OLD, SweepPlace(), 100))
    assert (len(found.events), len(found.attempts), len(found.orders)) == (4, 2, 3)
    await store.revive(Revival([id_of(refused), id_of(discarded)], at(1), {}, deed=deed))
    again = await accept(store, upsert("0"), received_at=at(1))
    swept = await store._group.ask(Sweep(OLD, found))
    assert (swept.events, swept.bodies, swept.attempts, swept.orders, swept.sales) == (2, 2, 0, 0, 0)
    assert {taken.body for taken in [await take(store, r) for r in (again, discarded, refused)]} == {b'{"id": 1001}'}
    assert await store.sale(id_of(refused)) == b"sale"
    assert sum((await store.tally()).values()) == 3


async def test_a_body_that_an_order_needs_again_is_left_alone(store: SqliteStore) -> None:
    first = await accept(store)
    await settle(store, await take(store, first), sale=b"sale")
    young = Cutoffs(bodies=at(1000), finished=at(-1000))
    found = await store._read(lambda reader: sweeping.find(reader, young, SweepPlace(), 100))
    assert (found.bodies, found.sales) == ([first.event_id], [id_of(first)])
    await accept(store, cancel(complete=False))
    assert (await store._group.ask(Sweep(young, found))).bodies == 0
    assert (await take(store, first)).body == b'{"id": 1001}'


async def test_what_is_swept_in_the_commit_that_brings_its_next_event_is_a_new_order(
    store: SqliteStore, path: Path
) -> None:
    first = await accept(store, upsert("1001", key="k"))
    await deliver(store, first)
    found = await store._read(lambda reader: sweeping.find(reader, OLD, SweepPlace(), 100))
    with writer_blocked(path):
        accepting = asyncio.ensure_future(accept(store, upsert("1001", key="k"), received_at=at(2000)))
        sweep = asyncio.ensure_future(store._group.ask(Sweep(OLD, found)))
        await asyncio.wait({accepting, sweep}, timeout=0)
    receipt, swept = await accepting, await sweep
    assert (swept.orders, receipt.disposition, receipt.revision) == (1, Disposition.QUEUED, 1)
    assert id_of(receipt) != id_of(first)
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): 1}


async def many_sent(store: SqliteStore, orders: int, *, body: bytes = b"{}") -> None:
    for some in range(0, orders, 500):
        numbers = range(some, min(some + 500, orders))
        receipts = await asyncio.gather(*(accept(store, upsert(str(number)), body=body) for number in numbers))
        await asyncio.gather(*(deliver(store, receipt) for receipt in receipts))


async def sweep_all(store: SqliteStore, *, limit: int = 500) -> None:
    place: SweepPlace | None = SweepPlace()
    while place is not None:
        place = (await store.sweep(OLD, place, limit=limit)).place


async def test_a_step_of_a_sweep_holds_the_writer_as_long_however_much_there_is(store: SqliteStore) -> None:
    ticks = count()

    async def steps() -> int:
        before = next(ticks)
        store._writer.set_progress_handler(lambda: next(ticks) < 0, 10)
        swept = await store.sweep(OLD, SweepPlace(), limit=10)
        store._writer.set_progress_handler(None, 10)
        assert swept.events == 10
        assert swept.held_s > 0
        return next(ticks) - before

    await many_sent(store, 20)
    few = await steps()
    await many_sent(store, 3000)
    assert await steps() <= 2 * few


async def test_ids_that_are_gone_are_stepped_over(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("INSERT INTO sqlite_sequence VALUES ('events', 50000000), ('orders', 60000000)")
    store = await SqliteStore.open(path)
    first = await accept(store)
    assert (first.event_id, first.order_id) == (50_000_001, 60_000_001)
    await deliver(store, first)
    swept = await store.sweep(OLD, SweepPlace(), limit=10)
    assert (swept.events, swept.orders, swept.place) == (1, 1, None)
    await store.close()


def size_of(path: Path) -> int:
    return path.stat().st_size


async def test_space_is_returned_to_the_file_system(store: SqliteStore, path: Path) -> None:
    await many_sent(store, 200, body=os.urandom(20_000))
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    full = await store.size()
    assert full is not None
    assert full.store == size_of(path) > 4_000_000
    assert (full.wal, full.unused) == (0, 0)
    assert full.disk_free > 0
    assert await store.shrink(10_000_000) == 0, "all of it is in use"
    await sweep_all(store)
    swept = await store.size()
    assert swept is not None
    assert swept.unused > 3_500_000
    assert swept.wal == size_of(path.with_name("relay.db-wal")) > 0
    assert await store.shrink(4095) == 0, "not so much as a page"
    assert await store.shrink(1_000_000) == 1_000_000 // 4096 * 4096
    assert size_of(path) <= full.store - 900_000, "at once, also if nothing else is written"
    while await store.shrink(1_000_000):
        pass
    empty = await store.size()
    assert empty is not None
    assert empty.unused == 0
    assert empty.store < 200_000
    assert (await accept(store)).disposition is Disposition.QUEUED
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


# -- stores that are there already -----------------------------------------------------------------------------------


async def test_a_store_of_the_first_version_keeps_everything(path: Path) -> None:
    with closing(sqlite3.connect(path)) as first_version:
        first_version.execute("PRAGMA auto_vacuum = INCREMENTAL")
        first_version.executescript((ROOT / "relay/store/migrations/0001_begin.sql").read_text())
        digest = dedupe_digest(arrival(upsert("1", key="k1"))).hex()
        first_version.executescript(FIRST_VERSIONS_ROWS.replace("DIGEST", digest))
        packed = zstandard.ZstdCompressor().compress(b"whole")
        first_version.executemany("INSERT INTO bodies VALUES (?, ?)", [(number, packed) for number in range(1, 6)])
        first_version.execute("PRAGMA user_version = 1")
        first_version.commit()
    store = await SqliteStore.open(path)
    assert rows(path, "PRAGMA user_version") == [(MIGRATIONS,)]
    waiting, asleep, dead, sent = [(await store.find(str(number)))[0] for number in range(1, 5)]
    assert [(o.state, o.since, o.failing_us, o.attempts) for o in (waiting, asleep, dead, sent)] == [
        (State.WAITING, 1000, None, 0),
        (State.SLEEPING, 5000, None, 3),
        (State.DEAD, 6000, None, 1),
        (State.SENT, 4000, None, 1),
    ]
    assert (dead.cause, dead.reference, dead.cancelled_at) == (Cause("http_422", "said so", 422), "#3", 77)
    assert (sent.delivered_digest, sent.delivered_revision) == (b"d" * 16, 1)
    assert await store.head("main", 9) == [Waiting(900, waiting.id)]
    assert await store.sleepers_due("main") == (7000, 7000)
    assert [letter.id for letter in await store.dead_letters()] == [dead.id, 5]
    assert [(one.event.id, one.body, one.headers) for one in await store.lost(after=0, limit=9)] == [(5, b"whole", {})]
    timeline = await store.timeline(asleep.id)
    assert timeline is not None
    assert [(attempt.outcome, attempt.started_at) for attempt in timeline.attempts] == [("failed", 5000)]
    taken = await store.take("main", [waiting.id])
    assert taken is not None
    assert taken.body == b"whole"
    assert (await settle(store, taken)).order.state is State.SENT
    again = await accept(store, upsert("1", key="k1"))
    assert (again.disposition, again.event_id) == (Disposition.DUPLICATE, 6)
    assert (await accept(store, upsert("9"))).order_id == 5
    await store.close()


async def test_what_a_store_without_a_report_of_it_holds_is_in_the_report(path: Path) -> None:
    with closing(sqlite3.connect(path)) as second_version:
        for number, step in enumerate(("0001_begin", "0002_operations"), start=1):
            second_version.executescript((ROOT / f"relay/store/migrations/{step}.sql").read_text())
            second_version.execute(f"PRAGMA user_version = {number}")
        second_version.execute(
            "INSERT INTO orders (storefront, external_id, channel, revision, delivered_revision, state, lane, due_at,"
            " urgency, accepted_at, attempts, run, since)"
            " VALUES ('shop', '1', 'main', 1, 0, 'held', 'new', 1, 1, 1, 0, 1, 77)"
        )
        second_version.commit()
    store = await SqliteStore.open(path)
    assert await store.held_groups() == [HeldGroup("shop", 1, 77)]
    assert [(order.external_id, order.held_since, order.released_at) for order in await store.held()] == [
        ("1", 77, None)
    ]
    await store.close()


async def test_a_store_of_the_fourth_version_is_looked_through_like_a_new_one(path: Path) -> None:
    def sale(email: str) -> bytes:
        return zstandard.ZstdCompressor().compress(b'{"customer": {"email": "%s"}}' % email.encode())

    with closing(sqlite3.connect(path)) as fourth_version:
        fourth_version.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for number, step in enumerate(sorted((ROOT / "relay/store/migrations").iterdir())[:4], start=1):
            fourth_version.executescript(step.read_text())
            fourth_version.execute(f"PRAGMA user_version = {number}")
            if number == 1:
                fourth_version.executescript(FIRST_VERSIONS_ROWS.replace("DIGEST", "01"))
        fourth_version.executescript(FOURTH_VERSIONS_ROWS)
        fourth_version.executemany(
            "INSERT INTO sales VALUES (?, 1, ?)", [(1, sale(" Jo@example.com")), (2, sale("eve@example.com")), (3, b"")]
        )
        fourth_version.commit()
    store = await SqliteStore.open(path)
    assert rows(path, "PRAGMA user_version") == [(MIGRATIONS,)]
    assert await store.dead_tally() == {("main", "http_422"): 1, (None, NO_ORDER): 1}
    assert await store.storefronts() == {"shop": Sender(6, 6500)}, "what was fetched was not sent"
    found = [await store.search(Search(email=email_hash(f"{who}@example.com"))) for who in ("jo", "eve", "ada")]
    assert [[order.external_id for order in page.orders] for page in found] == [["1"], ["2"], []]
    assert await store.sale(1) == b'{"customer": {"email": " Jo@example.com"}}'
    assert await store.deeds(about="order:1") == [Deed(9, "anna", "discard", "order:1", "a test", None)]
    await store.record(Deed(10, "ben", "discard", "order:1", "a test", "desk"))
    assert [(deed.by, deed.token) for deed in await store.deeds(about="order:1")] == [("ben", "desk"), ("anna", None)]
    await store.discard(Discarding(Deed(11, "ben", "discard", "all", "a test"), [3], [5]))
    assert await store.dead_tally() == {}
    await accept(store, upsert("1"), received_at=7000)
    assert await store.storefronts() == {"shop": Sender(7, 7000)}
    await store.close()


FOURTH_VERSIONS_ROWS = """
DELETE FROM sales;
INSERT INTO events (id, storefront, topic, received_at, disposition, order_id, revision, dedupe_key, duplicate_of)
VALUES
    (6, 'shop', 'orders/create', 6500, 'duplicate', 1, NULL, NULL, 1),
    (7, 'shop', 'order/fetched', 9000, 'queued', 1, 2, NULL, NULL);
INSERT INTO deeds VALUES (1, 9, 'anna', 'discard', 'order:1', 'a test');
"""
FIRST_VERSIONS_ROWS = """
INSERT INTO events VALUES
    (1, 'shop', 'orders/create', 1000, 'queued', x'DIGEST', 1, NULL, 1, NULL, NULL),
    (2, 'shop', 'orders/create', 2000, 'queued', x'02', 2, 9, 1, NULL, NULL),
    (3, 'shop', 'orders/create', 6000, 'queued', x'03', 3, NULL, 1, NULL, NULL),
    (4, 'shop', 'orders/create', 3000, 'queued', x'04', 4, NULL, 1, NULL, NULL),
    (5, 'shop', 'orders/create', 3500, 'quarantined', x'05', NULL, NULL, NULL, NULL,
     '[{"pointer": "/id", "message": "there is none"}]');
INSERT INTO orders VALUES
    (1, 'shop', '1', 'main', '#1', NULL, 1, 1, NULL, 0, NULL, 'waiting', 'new', 1000, 900, 1000, 0, NULL,
     NULL, NULL, NULL, 1),
    (2, 'shop', '2', 'main', NULL, 9, 1, 2, NULL, 0, NULL, 'sleeping', 'new', 7000, 6900, 2000, 3, 2500,
     'timeout', 'no answer', NULL, 1),
    (3, 'shop', '3', 'main', '#3', NULL, 1, 3, 77, 0, NULL, 'dead', 'new', 6000, 5900, 6000, 1, 3000,
     'http_422', 'said so', 422, 1),
    (4, 'shop', '4', 'main', NULL, NULL, 1, 4, NULL, 1, x'64646464646464646464646464646464', 'sent', 'new', 3000, 2900,
     3000, 1, 4000, NULL, NULL, NULL, 1);
INSERT INTO attempts VALUES
    (1, 2, 1, 5000, 0.5, 'failed', NULL, 'timeout', 'no answer', ''),
    (2, 3, 1, 3000, 0.5, 'refused', 422, 'http_422', 'said so', ''),
    (3, 4, 1, 4000, 0.5, 'sent', 200, '', '', '');
INSERT INTO sales VALUES (4, 1, x'00');
INSERT INTO tally VALUES
    ('main', 'waiting', 'new', 1), ('main', 'sleeping', 'new', 1), ('main', 'dead', 'new', 1),
    ('main', 'sent', 'new', 1);
UPDATE meta SET value = 1 WHERE key = 'run';
"""


async def test_what_persons_began_goes_on_after_opening_again(path: Path) -> None:
    store = await SqliteStore.open(path)
    receipts = [await accept(store, upsert(str(number))) for number in range(3)]
    for receipt in receipts:
        await deliver(store, receipt, REFUSED)
    deed = Deed(at(9), "anna", "replay", "everything", "mended")
    replay = await store.begin_replay(EVERYTHING, deed)
    await store.advance_replay(replay.id, limit=1, now=at(10), head_starts={})
    await store.keep("main", Condition(running_us=7))
    lost = await store.accept(replace(arrival(garbled()), headers={"a": "b"}))
    await store.close()
    store = await SqliteStore.open(path)
    [known] = await store.replays(running=True)
    assert (known.id, known.revived, known.order_id, known.selection) == (replay.id, 1, 1, Selection(until=at(9)))
    advanced = await store.advance_replay(replay.id, limit=5, now=at(20), head_starts={})
    assert advanced is not None
    assert ([one.waiting.order_id for one in advanced.revived], advanced.more) == ([2, 3], False)
    assert (await store.deeds(), await store.conditions()) == ([deed], {"main": Condition(running_us=7)})
    [kept] = await store.lost(after=0, limit=5)
    assert (kept.event.id, kept.headers) == (lost.event_id, {"a": "b"})
    assert (await store.begin_replay(EVERYTHING, deed)).id > replay.id
    await store.close()


async def test_headers_are_kept_only_while_they_are_needed(store: SqliteStore, path: Path) -> None:
    whole, *lost = [
        await store.accept(replace(arrival(event), headers={"a": "b"})) for event in (upsert("1"), garbled(), garbled())
    ]
    kept = "SELECT event_id FROM bodies WHERE headers IS NOT NULL"
    assert rows(path, kept) == [(one.event_id,) for one in lost]
    await store.understood(lost[0].event_id, arrival(upsert("2")))
    await store.discard(Discarding(Deed(at(9), "anna", "discard", "event", "a test"), event_ids=[lost[1].event_id]))
    assert rows(path, kept) == []
    assert await store.body(whole.event_id) == b'{"id": 1001}'


async def test_what_comes_is_discarded_and_revived_in_one_commit(store: SqliteStore, path: Path) -> None:
    lost = await accept(store, garbled(), body=b"lost")
    deed = Deed(at(9), "anna", "discard", "orders", "by mistake")
    with writer_blocked(path):
        asked: list[Coroutine[Any, Any, Any]] = [
            accept(store, upsert("1"), body=b"new"),
            store.understood(lost.event_id, arrival(upsert("2"))),
            store.discard(Discarding(deed, [1, 2])),
            store.revive(Revival([1, 2], at(10), {}, deed=deed)),
        ]
        waiting = [asyncio.ensure_future(one) for one in asked]
        await asyncio.wait(waiting, timeout=0)
    *_, discarded, revived = await asyncio.gather(*waiting)
    assert (discarded, len(revived)) == (([1, 2], []), 2)
    taken = [await store.take("main", [order_id]) for order_id in (1, 2)]
    assert [one.body for one in taken if one is not None] == [b"new", b"lost"]


async def test_two_steps_of_a_replay_at_once_count_nothing_twice(store: SqliteStore, path: Path) -> None:
    dead = [await accept(store, upsert(str(number))) for number in range(2)]
    for receipt in dead:
        await deliver(store, receipt, REFUSED)
    gone = [await accept(store, cancel(str(number), complete=False)) for number in range(2, 4)]
    other = await accept(store, upsert("4"))
    await deliver(store, other, CANNOT_MAP)
    deed = Deed(at(9), "anna", "replay", "shop", "mended")
    replay = await store.begin_replay(Selection(storefront="shop"), deed)
    both = await asyncio.gather(*(store.advance_replay(replay.id, limit=4, now=at(9), head_starts={}) for _ in "12"))
    assert sorted(len(one.revived) for one in both if one is not None) in ([0, 2], [1, 2])
    [known] = await store.replays()
    assert known.left == len(gone)
    assert known.revived == sum(len(one.revived) for one in both if one is not None)


async def test_a_replay_leaves_alone_what_it_does_not_select_any_more(store: SqliteStore) -> None:
    first = await accept(store)
    await deliver(store, first, REFUSED)
    replay = await store.begin_replay(Selection(code="http_422"), Deed(at(9), "anna", "replay", "code", "mended"))
    await store.revive(Revival([id_of(first)], at(10), {}))
    await deliver(store, first, CANNOT_MAP)
    seen_before = AdvanceReplay(replay.id, [id_of(first)], at(11), {})
    advanced, revived = await store._group.ask(seen_before)
    assert (advanced.revived, advanced.left, revived) == (0, 0, [])
    assert (await order_of(store, first)).state is State.DEAD


# -- metrics ---------------------------------------------------------------------------------------------------------


async def test_every_commit_is_told_with_what_it_answered_and_how_long_it_took(path: Path) -> None:
    told: list[Happening] = []
    store = await SqliteStore.open(path, observe=told.append)
    with writer_blocked(path):
        first = asyncio.ensure_future(accept(store, upsert("0")))
        await SystemClock().sleep(0.05)  # until the writer has taken it
        others = [asyncio.ensure_future(accept(store, upsert(str(number)))) for number in range(1, 4)]
        await SystemClock().sleep(0.05)
    await asyncio.gather(first, *others)
    await store.close()

    commits = [happening for happening in told if isinstance(happening, Committed)]
    assert [commit.requests for commit in commits] == [1, 3]
    assert commits[0].duration_s > 0.04  # it waited for the lock
    assert all(commit.duration_s > 0 for commit in commits)


async def test_what_could_not_be_committed_is_not_told_as_a_commit(path: Path) -> None:
    told: list[Happening] = []
    store = await SqliteStore.open(path, observe=told.append)
    store._writer.execute("PRAGMA query_only = on")
    with pytest.raises(StoreFailed):
        await accept(store)
    store._writer.execute("PRAGMA query_only = off")
    assert told == []
    await store.close()


async def steps_of_a_scrape(store: SqliteStore) -> int:
    """What SQLite does for everything that a scrape asks, in steps of its machine."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    await store._read(lambda reader: reader.set_progress_handler(step, 1))
    await store.tally()
    await store.oldest_due()
    await store.size()
    await store._read(lambda reader: reader.set_progress_handler(None, 1))
    return steps


async def test_a_scrape_costs_the_same_however_many_orders_there_are(store: SqliteStore, path: Path) -> None:
    one_reader(store)
    states = ("waiting", "sleeping", "held", "sent", "dead")
    for number, _ in enumerate(states):
        await accept(store, upsert(f"first {number}"))
    with closing(sqlite3.connect(path)) as other:
        for state in states:
            other.execute("UPDATE orders SET state = ? WHERE external_id = ?", (state, f"first {states.index(state)}"))
            other.execute("INSERT OR REPLACE INTO tally VALUES (?, ?, ?, 1)", ("main", state, "new"))
        other.commit()
        few = await steps_of_a_scrape(store)
        columns = [row[1] for row in other.execute("PRAGMA table_info(orders)") if row[1] not in ("id", "external_id")]
        named = ", ".join(columns)
        other.execute(
            f"""WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 20000)
                INSERT INTO orders (external_id, {named})
                SELECT external_id || '/' || n, {named} FROM counted, orders"""  # noqa: S608 - the table's own columns
        )
        other.execute("UPDATE tally SET orders = 20001 WHERE orders > 0")
        other.commit()
    held = (await store.tally())["main", State.HELD, Lane.NEW]
    assert held == 20_001

    assert 50 < few < 2000
    assert await steps_of_a_scrape(store) <= few + 100


# -- query plans -----------------------------------------------------------------------------------------------------


async def statements_of_a_day(store: SqliteStore) -> Sequence[str]:
    """Everything that is asked of SQLite while orders are accepted, delivered, looked at and looked up."""
    one_reader(store)
    seen: dict[str, None] = {}

    def note(text: str) -> None:
        seen[text] = None

    await store._read(lambda reader: reader.set_trace_callback(note))
    store._writer.set_trace_callback(note)
    about = [upsert(str(number), version=1, key=f"k{number}", reference=f"#{number}") for number in range(12)]
    receipts = [await accept(store, event) for event in about]
    await asyncio.gather(*(accept(store, upsert(str(number), version=2)) for number in range(12)))
    await accept(store, upsert("0", key="k0"))
    await accept(store, garbled())
    outcomes: list[Outcome] = [SENT, FAILED, REFUSED, CANNOT_MAP]
    for receipt, outcome in zip(receipts, outcomes * 2, strict=False):
        await store.look(id_of(receipt))
        await settle(store, await take(store, receipt), outcome, sale=b"sale")
    await store.take("main", [id_of(receipt) for receipt in receipts])
    await store.head("main", 5)
    await store.ahead_of(Waiting(at(9), 9), "main", 5)
    await store.sleepers_due("main")
    await store.wake("main", instant.after(at(0), 3600), 5)
    await store.oldest_due()
    await store.timeline(id_of(receipts[0]))
    await store.find("#1")
    await store.body(1)
    await store.sale(1)
    await held_statements(store, receipts[-1])
    await persons_statements(store, [id_of(receipt) for receipt in receipts])
    await store.sweep(Cutoffs(at(1), at(1)), SweepPlace(), limit=100)
    store._writer.set_trace_callback(None)
    await store._read(lambda reader: reader.set_trace_callback(None))
    return [text for text in seen if text.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "REPLACE")]


async def held_statements(store: SqliteStore, receipt: Receipt) -> None:
    """What is asked about orders that are not wanted yet."""
    looked = await store.look(id_of(receipt))
    assert looked is not None
    await store.settle(settlement(looked, NOT_WANTED))
    assert [group.count for group in await store.held_groups()] == [1]
    assert len(await store.held(5)) == len(await store.held_whole("shop", after=(0, 0), limit=5)) == 1
    await store.release(Release([id_of(receipt)], at(0), {}, {}, deed=Deed(at(0), "anna", "release", "order", "paid")))


async def persons_statements(store: SqliteStore, ids: Sequence[int]) -> None:
    """What persons ask for now and then, and what a bulk replay does."""
    deed = Deed(at(0), "anna", "replay", "everything", "mended")
    for selection in SELECTIONS:
        await store.dead_letters(5, selection)
        await store.dead_letters(5, selection, after=(at(0), False, 1))
        await store.lost(after=0, limit=5, selection=selection)
        replay = await store.begin_replay(selection, deed)
        await store.advance_replay(replay.id, limit=1, now=at(0), head_starts={})
        await store.note_replay(replay.id, event_id=1, revived=0, left=0, ended_at=None)
    await store.discard(Discarding(deed, ids, [1, 2, 3]))
    await store.revive(Revival(ids, at(0), {}, deed=deed))
    lost = await accept(store, garbled())
    await store.understood(lost.event_id, arrival(upsert("0")))
    await store.keep("main", Condition(), deed)
    await store.conditions()
    await store.replays(running=True)
    await store.replays(after=2)
    await store.replay(1)
    await store.deeds(after=2)
    await store.deeds(about="everything")
    await store.dead_tally()
    await store.storefronts()
    await searching_statements(store)
    await store.dead_groups()
    await store.lost_events()


async def searching_statements(store: SqliteStore) -> None:
    """Whatever a person may look for, alone and all together."""
    for wanted in SEARCHES:
        for after in (None, (False, 3)):
            await store.search(wanted, limit=2, after=after)
    for events in EVENT_SEARCHES:
        for place in (None, 3):
            await store.events(events, limit=2, after=place)
    await store.event(1)


SEARCHES = (
    Search(),
    Search(text="1001"),
    Search(email=email_hash("jo@example.com")),
    *(Search(states=frozenset([state])) for state in State),
    Search(states=frozenset(State), channel="main"),
    Search(states=frozenset([State.WAITING, State.DEAD]), channel="main"),
    Search(storefront="shop"),
    Search("#", email_hash("jo@example.com"), frozenset([State.DEAD]), "shop", "main"),
)
EVENT_SEARCHES = (
    EventSearch(),
    EventSearch(storefront="shop", dispositions=frozenset([Disposition.QUEUED, Disposition.STALE])),
    EventSearch(order_id=1, since=at(-9), until=at(9)),
    EventSearch(since=at(-9), until=at(9)),
)
SELECTIONS = (
    EVERYTHING,
    Selection(code="http_422"),
    Selection(code=NO_ORDER),
    Selection(channel="main"),
    Selection(storefront="shop"),
    Selection(since=at(-9), until=at(9)),
    Selection("http_422", "main", "shop", at(-9), at(9)),
)
ALLOWED = (
    r"SCAN (\d+ )?CONSTANT ROWS?",  # of our own: what is asked for
    "SCAN json_each VIRTUAL TABLE INDEX 1:",  # the same
    "SCAN tally.*",  # one row per channel, state and lane
    "SCAN channels",  # one row per channel
    "SCAN (held|storefronts)",  # one row per storefront
    "SCAN dead",  # one row per channel and cause that there are dead letters of
    r"SCAN \(subquery-\d+\)",  # counts what an index found, up to a limit
    # For a person, at most so many:
    "SCAN deeds",
    "SCAN replays( USING INDEX replays_running)?",
    "SCAN orders USING (COVERING )?INDEX orders_(backlog|sleeping|held)",
    # The same, from an index that holds nothing else:
    "SCAN (events|lost|newest) USING (COVERING )?INDEX events_lost(_since)?",
    "SCAN (orders|dead) USING (COVERING )?INDEX orders_dead(_since|_cause)?",
)
FOR_A_PERSON = ("WHERE reference = ", "INDEXED BY orders_dead", "INDEXED BY events_lost")
"""The few orders that share a reference are sorted, and of dead letters what the index alone says of them."""


async def test_every_statement_is_answered_by_an_index(store: SqliteStore, path: Path) -> None:
    statements = await statements_of_a_day(store)
    assert len({text.split("WHERE")[0][:60] for text in statements}) >= 40
    slow = []
    with closing(sqlite3.connect(path)) as planner:
        for text in statements:
            plan = [row[3] for row in planner.execute(f"EXPLAIN QUERY PLAN {text}")]
            scans = [step for step in plan if step.startswith("SCAN") and not re.fullmatch("|".join(ALLOWED), step)]
            sorts = [step for step in plan if "TEMP B-TREE" in step and not any(part in text for part in FOR_A_PERSON)]
            if scans or sorts:
                slow.append((text, scans, sorts))
    assert slow == []


async def steps_of(store: SqliteStore, path: Path, orders: Sequence[str]) -> int:
    """How many hundred steps SQLite's machine takes to accept one event for each of the orders, in one commit."""
    ticks = count()
    store._writer.set_progress_handler(lambda: next(ticks) < 0, 100)
    with writer_blocked(path):
        first = asyncio.ensure_future(accept(store, garbled()))  # the writer takes this one, and the rest gathers
        await asyncio.wait({first}, timeout=0)
        waiting = [asyncio.ensure_future(accept(store, upsert(order))) for order in orders]
        await asyncio.wait(waiting, timeout=0)
    await asyncio.gather(first, *waiting)
    store._writer.set_progress_handler(None, 100)
    return next(ticks)


async def test_accepting_costs_the_same_however_many_orders_wait(store: SqliteStore, path: Path) -> None:
    await asyncio.gather(*(accept(store, upsert(str(number))) for number in range(5)))
    few = await steps_of(store, path, ["1", "2", "3", "4"])
    await asyncio.gather(*(accept(store, upsert(str(number))) for number in range(2000)))
    many = await steps_of(store, path, ["1", "2", "3000", "2999"])
    assert many <= 2 * few
