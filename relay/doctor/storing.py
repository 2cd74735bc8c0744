"""The store: its file, the folder it is in, and the room there is."""

import asyncio
import os
import re
import shutil
import sqlite3
import stat
from pathlib import Path

from relay.config import Settings
from relay.core.pressure import of_disk
from relay.doctor.finding import Finding, doubtful, fine, wrong
from relay.doctor.mounts import Mount, mount_of
from relay.observe.pages import Page
from relay.store import StoreError, StoreOwned
from relay.store.sqlite.health import Health, commit_s, health_of
from relay.store.sqlite.opening import too_new

_LOOK_S = 10.0
_SLOW_COMMIT_S = 0.05
"""Commits are shared, and still every webhook waits for one."""
_WAL_BYTES = 1_073_741_824
"""What is far beyond what a relay leaves behind: it is emptied again and again."""
_OVER_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ncpfs", "davfs", "fuse.sshfs"})
_GONE_WITH = {
    "tmpfs": "is kept in memory, and gone with the machine's next start",
    "ramfs": "is kept in memory, and gone with the machine's next start",
    "overlay": "is in a container's own layer, and gone with the container: mount a volume there",
}


async def store(settings: Settings) -> tuple[list[Finding], bool]:
    """What can be said of the store, and whether a relay runs on it. Nothing is changed, nor left behind."""
    path = settings.store.path
    if path is None:
        return [
            doubtful("store", "store.url is memory:, which forgets every order when the relay stops: a trial")
        ], False
    try:
        health = await asyncio.to_thread(health_of, path, look_s=_LOOK_S)
    except StoreOwned as error:
        owner = re.search(r"process \d+ on \S+(?=;)", str(error))
        found = fine("store", "in use by a running relay" + (f" ({owner[0]})" if owner else ""))
        return [found, *_folder(path)], True
    except StoreError as error:
        return [wrong("store", str(error))], False
    findings = [_without(path) if health is None else _with(path, health), *_file(path), *_folder(path)]
    if health is not None and health.wal_bytes > _WAL_BYTES:
        said = (
            f"{path}-wal has {health.wal_bytes / 1e9:.1f} GB: something keeps reading the store for hours, or the "
            "relay was killed under load; the next start takes it in, and needs that time"
        )
        findings.append(doubtful("store log", said))
    return [*findings, await asyncio.to_thread(_commit, path.resolve().parent)], False


def _without(path: Path) -> Finding:
    folder = path.absolute().parent
    if not folder.is_dir():
        return wrong("store", f"store.url: there is no folder {folder}; make it, or set another store.url")
    return fine("store", f"sqlite:{path} is not there yet; it is made at the first start")


def _with(path: Path, health: Health) -> Finding:
    if health.damages:
        said = (
            f"{path} is damaged: {'; '.join(health.damages)}. Do not start a relay on it: copy it away with its -wal, "
            f"save what can be saved with sqlite3's .recover, and see to the disk (runbook: {Page.STORE_FAILING})"
        )
        return wrong("store", said)
    if health.version > health.newest:
        return wrong("store", too_new(health.version))
    said = f"sqlite:{path} holds {health.orders} order(s), {_whole(health)}"
    if health.version < health.newest:
        said += f"; the next start brings its tables from version {health.version} to {health.newest}: keep a copy"
    return fine("store", said)


def _whole(health: Health) -> str:
    if health.whole:
        return "and its pages are whole"
    return (
        f"and {_LOOK_S:g} s of looking at its {health.size_bytes / 1e9:.1f} GB found nothing wrong (all of it: sqlite3 "
        "FILE 'PRAGMA quick_check')"
    )


def _file(path: Path) -> list[Finding]:
    """Whether the relay, run as who looks, may use the file."""
    if not path.exists():
        return []
    known = path.stat()
    if known.st_uid != os.geteuid():
        said = (
            f"{path} belongs to user {known.st_uid}, and this is user {os.geteuid()}: run check, and the relay, as the "
            "store's owner"
        )
        return [doubtful("store owner", said)]
    if not os.access(path, os.W_OK):
        return [wrong("store file", f"this user may not write {path}: chmod u+w it")]
    if stat.S_IMODE(known.st_mode) & 0o077:
        said = f"others may read {path}, which holds personal data: chmod 600 it (the relay does so when it starts)"
        return [doubtful("store file", said)]
    return []


def _folder(path: Path) -> list[Finding]:
    """Whether what is in the folder stays, and whether locks and commits there are what SQLite takes them for."""
    folder = path.resolve().parent
    if not folder.is_dir():
        return []
    findings = []
    mount = mount_of(folder)
    if mount is not None:
        findings += _mount(folder, mount)
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        said = f"everyone on this machine may replace what is in {folder}: chmod o-w it"
        findings.append(doubtful("store folder", said))
    return findings


def _mount(folder: Path, mount: Mount) -> list[Finding]:
    if mount.kind in _OVER_NETWORK:
        said = (
            f"{folder} is on a network ({mount.kind}, {mount.at}): SQLite's locks and commits are not safe there; put "
            "the store on a disk of this machine"
        )
        return [wrong("store folder", said)]
    if mount.kind in _GONE_WITH:
        return [doubtful("store folder", f"{folder} {_GONE_WITH[mount.kind]} ({mount.kind}, {mount.at})")]
    return []


def _commit(folder: Path) -> Finding:
    """Measured in a file of its own."""
    what = "store commits"
    try:
        seconds = commit_s(folder)
    except (sqlite3.Error, OSError) as error:
        said = getattr(error, "strerror", None) or str(error)
        return wrong(what, f"nothing can be written in {folder}: {said}. Give this user the folder, or see to the disk")
    said = f"one takes {seconds * 1000:.1f} ms in {folder}"
    if seconds > _SLOW_COMMIT_S:
        said += f": every webhook waits for one, and more than {_SLOW_COMMIT_S * 1000:g} ms is slow; use a local SSD"
        return doubtful(what, said)
    return fine(what, said)


def disk(settings: Settings) -> list[Finding]:
    """Whether there is room for new events; nothing where no disk is watched, or its folder is missing."""
    path, reserve = settings.store.path, settings.store.disk_free_min_bytes
    if path is None or not path.parent.is_dir():
        return []
    if not reserve:
        said = "store.disk_free_min_bytes is 0: when the disk is full, not even what was accepted can be settled"
        return [doubtful("disk", said)]
    free = shutil.disk_usage(path.parent).free
    words = of_disk(free, reserve).words
    if free < reserve:
        return [wrong("disk", f"{words}: every storefront is refused; make room")]
    if free < 2 * reserve:
        return [doubtful("disk", f"{words}: at a quarter more than that the first are refused")]
    return [fine("disk", words)]
