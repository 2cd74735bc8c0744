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
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from threading import Event as Gate

import pytest

from relay.core import instant
from relay.core.backlog import Waiting
from relay.core.delivery import Lane, State
from relay.core.order import Arrival, Disposition
from relay.core.outcome import Outcome
from relay.store import StoreFailed, StoreOwned
from relay.store.sqlite import SqliteStore
from tests.builders import (
    CANNOT_MAP,
    FAILED,
    REFUSED,
    SENT,
    accept,
    arrival,
    at,
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
        older.execute("PRAGMA user_version = 1")
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
    await store.next_due("main")
    await store.wake("main", instant.after(at(0), 3600), 5)
    await store.oldest_due()
    await store.timeline(id_of(receipts[0]))
    await store.find("#1")
    await store.dead_letters()
    await store.body(1)
    await store.sale(1)
    store._writer.set_trace_callback(None)
    await store._read(lambda reader: reader.set_trace_callback(None))
    return [text for text in seen if text.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "REPLACE")]


ALLOWED = (
    r"SCAN (\d+ )?CONSTANT ROWS?",  # of our own: what is asked for
    "SCAN tally.*",  # one row per channel, state and lane
    # For a person, at most so many, and from an index that holds nothing else:
    "SCAN events USING INDEX events_lost",
    "SCAN orders USING INDEX orders_dead",
)
FOR_A_PERSON = "WHERE reference = "
"""The few orders that share a reference are sorted."""


async def test_every_statement_is_answered_by_an_index(store: SqliteStore, path: Path) -> None:
    statements = await statements_of_a_day(store)
    assert len({text.split("WHERE")[0][:60] for text in statements}) >= 15
    slow = []
    with closing(sqlite3.connect(path)) as planner:
        for text in statements:
            plan = [row[3] for row in planner.execute(f"EXPLAIN QUERY PLAN {text}")]
            scans = [step for step in plan if step.startswith("SCAN") and not re.fullmatch("|".join(ALLOWED), step)]
            sorts = [step for step in plan if "TEMP B-TREE" in step and FOR_A_PERSON not in text]
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
