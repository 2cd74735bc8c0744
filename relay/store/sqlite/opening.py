"""Opening the store's file: owning it, explaining why it cannot be opened, and bringing its tables up to date."""

import errno
import fcntl
import os
import socket
import sqlite3
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import zstandard

from relay.core.search import email_hash_of_sale
from relay.store import StoreFailed, StoreOwned
from relay.store.sqlite.rows import unpacked

_BUSY_TIMEOUT_S = 5.0


def own(path: Path) -> int:
    """Lock the store for this process; the lock goes with the process, however that ends."""
    lock_path = path.with_name(path.name + ".lock")
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreFailed(why_not(path, error)) from error
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


def why_not(path: Path, error: sqlite3.Error | OSError) -> str:
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


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
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


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the newest version; each step is one transaction."""
    steps = _steps()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise StoreFailed(too_new(version))
    connection.create_function("email_hash_of_sale", 1, _email_hash_of_sale, deterministic=True)
    for number, step in enumerate(steps[version:], start=version + 1):
        connection.executescript(f"BEGIN; {step.read_text()} PRAGMA user_version = {number}; COMMIT;")


def _email_hash_of_sale(packed: bytes) -> bytes | None:
    """For a step that has to look into the sales which are there already."""
    try:
        return email_hash_of_sale(unpacked(packed))
    except zstandard.ZstdError:  # damaged: nobody finds it by that
        return None


def newest_version() -> int:
    """The version of the tables that this program brings a store to."""
    return len(_steps())


def too_new(version: int) -> str:
    """What is said of a store whose tables this program does not know."""
    return (
        f"the store was written by a newer order-relay (version {version}, this one knows {newest_version()}): "
        "run that one, or set another store.url"
    )


def _steps() -> list[Traversable]:
    folder = resources.files("relay.store") / "migrations"
    return sorted((step for step in folder.iterdir() if step.name.endswith(".sql")), key=lambda step: step.name)


def next_run(connection: sqlite3.Connection) -> int:
    run: int
    (run,) = connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'run' RETURNING value").fetchone()
    return run


def last_id(connection: sqlite3.Connection, table: str) -> int:
    """The greatest id ever given, also if its row has been deleted since."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return 0 if row is None else int(row[0])
