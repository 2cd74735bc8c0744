"""Looks at a store's file without owning or changing it, while no relay runs on it."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from urllib.parse import quote

from relay.clock import monotonic
from relay.store import StoreFailed
from relay.store.sqlite.opening import newest_version, own, why_not

_COMMITS = 5
_COMMIT_BYTES = 4096
_DAMAGES_MAX = 3
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Health:
    """How a store's file is."""

    version: int
    """Of its tables."""
    newest: int
    """The version that this program brings it to."""
    size_bytes: int
    wal_bytes: int
    orders: int
    damages: tuple[str, ...] = ()
    """What SQLite says is wrong with it; some of it, if it is much."""
    whole: bool = True
    """Whether all of it was looked at in the time there was."""


def health_of(path: Path, *, look_s: float) -> Health | None:
    """How the store is; ``None`` if there is none yet. Its pages are looked at for no longer than ``look_s``.

    Raises :class:`StoreOwned` when a relay runs on it, :class:`StoreFailed` when it could not be opened.
    """
    try:
        path = path.resolve()
        if not path.exists():
            return None
        os.close(own(path))
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)) as reader:
            return _health(path, reader, look_s)
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(why_not(path, error)) from error


def _health(path: Path, reader: sqlite3.Connection, look_s: float) -> Health:
    sizes = path.stat().st_size, _size(path.with_name(f"{path.name}-wal"))
    version, newest = 0, newest_version()
    try:
        (version,) = reader.execute("PRAGMA user_version").fetchone()
        (tables,) = reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and tables:
            raise StoreFailed(why_not(path, _AnotherPrograms("it has other tables")))
        damages, whole = _damages(reader, look_s)
        orders = 0 if version == 0 or damages else _orders(reader)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED[:1]:
            raise
        return Health(version, newest, *sizes, 0, (str(error),))
    return Health(version, newest, *sizes, orders, damages, whole)


class _AnotherPrograms(sqlite3.OperationalError):
    sqlite_errorcode = sqlite3.SQLITE_ERROR


def _damages(reader: sqlite3.Connection, look_s: float) -> tuple[tuple[str, ...], bool]:
    """What is wrong with the pages, and whether all were looked at."""
    end = Timer(look_s, reader.interrupt)
    end.daemon = True
    end.start()
    try:
        rows = reader.execute(f"PRAGMA quick_check({_DAMAGES_MAX})").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return (), False
    finally:
        end.cancel()
    return tuple(said.replace("\n", ": ") for (said,) in rows if said != "ok"), True


def _orders(reader: sqlite3.Connection) -> int:
    (orders,) = reader.execute("SELECT coalesce(sum(orders), 0) FROM tally").fetchone()
    return int(orders)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def commit_s(folder: Path) -> float:
    """What a durable commit takes in a folder, seconds: the quickest of a few, in a file of its own that is removed.

    Raises :class:`OSError` or :class:`sqlite3.Error` where nothing can be written.
    """
    with (
        TemporaryDirectory(prefix=".order-relay-check-", dir=folder) as inside,
        closing(sqlite3.connect(Path(inside) / "commits.db", isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE commits (body BLOB)")
        return min(_one_commit(connection) for _ in range(_COMMITS))


def _one_commit(connection: sqlite3.Connection) -> float:
    begun = monotonic()
    connection.execute("INSERT INTO commits VALUES (zeroblob(?))", (_COMMIT_BYTES,))
    return monotonic() - begun
