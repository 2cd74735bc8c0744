"""``order-relay check``: what it finds, on real files, sockets, limits and relays."""

import asyncio
import json
import os
import resource
import shutil
import socket
import sqlite3
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from relay.core.events import AttemptMade, CircuitMoved
from relay.doctor import Finding, examine
from relay.doctor.line import told
from relay.doctor.machine import cores_allowed, memory_limit
from relay.doctor.mounts import Mount, holding
from relay.doctor.storing import _mount
from relay.sandbox import Fault, SandboxSettings
from relay.store.sqlite.health import health_of
from tests.fakes import SHOP_SECRET, Shop, shopify_order
from tests.running import (
    ASYNC_PATH,
    SHOP,
    TILL,
    ServeProcess,
    clean_environ,
    command,
    relay_running,
    settings_from,
    tables_for,
    written,
)

NOWHERE = "http://127.0.0.1:9"


def mark(finding: Finding) -> str:
    return "FAIL" if not finding.ok else "warn" if finding.warning else "ok"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def examined(folder: Path, url: str = NOWHERE, **tables: Any) -> dict[str, tuple[str, str]]:
    """What is found, by what it is about: the mark and the words. The worst, where there are several."""
    settings = settings_from(folder, tables_for(url, folder, **tables))
    found: dict[str, tuple[str, str]] = {}
    for finding in await examine(settings, folder, file=folder / "relay.toml"):
        if finding.what not in found or found[finding.what][0] == "ok":
            found[finding.what] = (mark(finding), finding.said)
    return found


async def with_orders(folder: Path, count: int = 60) -> Path:
    """A store that a relay has left, with orders in it."""
    async with relay_running(folder) as (relay, _), Shop(relay.public_url) as shop:
        for number in range(count):
            assert (await shop.send(shopify_order(1001 + number))).status == 200
        await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) == count)
    return folder / "relay.db"


# -- the store ---------------------------------------------------------------------------------------------------------


async def test_a_store_that_is_not_there_yet_is_not_made_by_looking(tmp_path: Path) -> None:
    found = await examined(tmp_path)

    assert found["store"] == ("ok", f"sqlite:{tmp_path}/relay.db is not there yet; it is made at the first start")
    assert names_in(tmp_path) == ["relay.toml"]


async def test_a_store_is_looked_at_and_not_changed(tmp_path: Path) -> None:
    path = await with_orders(tmp_path, 3)
    before = path.read_bytes()
    found = await examined(tmp_path)

    assert found["store"] == ("ok", f"sqlite:{path} holds 3 order(s), and its pages are whole")
    assert path.read_bytes() == before


async def test_a_damaged_store_is_found(tmp_path: Path) -> None:
    path = await with_orders(tmp_path)
    with path.open("r+b") as file:
        (page,) = (int.from_bytes(path.read_bytes()[16:18], "big"),)
        for number in range(4, 24):  # beyond the page that says what tables there are
            file.seek(number * page)
            file.write(b"\xff" * 64)
    verdict, said = (await examined(tmp_path))["store"]

    assert verdict == "FAIL"
    assert "is damaged: " in said
    assert "(runbook: store-failing)" in said


async def test_a_store_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = await with_orders(tmp_path, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    verdict, said = (await examined(tmp_path))["store"]

    assert (verdict, "newer order-relay (version 99" in said) == ("FAIL", True)


async def test_a_store_of_an_older_version_is_not_migrated_by_looking(tmp_path: Path) -> None:
    path = await with_orders(tmp_path, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    verdict, said = (await examined(tmp_path))["store"]
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()

    assert (verdict, "the next start brings its tables from version 2 to" in said, version) == ("ok", True, 2)


async def test_what_is_no_store_is_said(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    path.write_text("These are minutes of a meeting, and no database at all." * 100)
    no_database = (await examined(tmp_path))["store"]
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE minutes (said TEXT)")
    another = (await examined(tmp_path))["store"]

    assert (no_database[0], "is no SQLite database" in no_database[1]) == ("FAIL", True)
    assert (another[0], "another program's database" in another[1]) == ("FAIL", True)


def test_looking_at_a_large_store_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 1")
        connection.execute("CREATE TABLE tally (orders INTEGER NOT NULL)")
        connection.execute("INSERT INTO tally VALUES (7)")
        connection.execute("CREATE TABLE many (a INTEGER NOT NULL, b TEXT NOT NULL)")
        connection.execute("CREATE INDEX several ON many (b)")
        connection.execute(
            "INSERT INTO many WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) "
            "SELECT i, printf('%040d', i) FROM n"
        )
    cut = health_of(path, look_s=0.001)
    whole = health_of(path, look_s=60)

    assert cut is not None
    assert whole is not None
    assert (cut.whole, cut.orders, cut.damages) == (False, 7, ())
    assert (whole.whole, whole.orders, whole.damages) == (True, 7, ())


async def test_a_store_that_others_may_read_is_said(tmp_path: Path) -> None:
    path = await with_orders(tmp_path, 1)
    path.chmod(0o644)

    assert (await examined(tmp_path))["store file"][0] == "warn"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
async def test_a_store_of_another_user_is_said(tmp_path: Path) -> None:
    path = await with_orders(tmp_path, 1)
    os.chown(path, 4711, -1)
    found = (await examined(tmp_path))["store owner"]

    assert (found[0], "belongs to user 4711" in found[1]) == ("warn", True)


async def test_a_folder_in_which_everyone_may_write_is_said(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    found = await examined(tmp_path, store={"url": f"sqlite:{tmp_path}/open/relay.db"})

    assert found["store folder"][0] == "warn"


async def test_memory_is_said_to_forget(tmp_path: Path) -> None:
    assert (await examined(tmp_path, store={"url": "memory:"}))["store"][0] == "warn"


async def test_what_commits_take_is_measured_and_nothing_left_behind(tmp_path: Path) -> None:
    verdict, said = (await examined(tmp_path))["store commits"]

    assert verdict in {"ok", "warn"}  # as the disk is
    assert 0 < float(said.removeprefix("one takes ").partition(" ms")[0]) < 60_000
    assert names_in(tmp_path) == ["relay.toml"]


MOUNTS = """\
overlay / overlay rw 0 0
proc /proc proc rw 0 0
server:/export /srv/my\\040orders nfs4 rw 0 0
/dev/sdb1 /srv/my\\040orders/local ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/srv/my orders/relay", Mount(Path("/srv/my orders"), "nfs4")),
        ("/srv/my orders/local/relay", Mount(Path("/srv/my orders/local"), "ext4")),
        ("/srv/my orders-too", Mount(Path("/"), "overlay")),
    ],
)
def test_the_file_system_of_a_folder_is_the_innermost_mount(path: str, mount: Mount) -> None:
    assert holding(Path(path), MOUNTS) == mount


@pytest.mark.parametrize(
    ("kind", "marks"),
    [("nfs4", ["FAIL"]), ("cifs", ["FAIL"]), ("tmpfs", ["warn"]), ("overlay", ["warn"]), ("ext4", [])],
)
def test_a_store_on_a_network_or_where_it_is_forgotten_is_said(kind: str, marks: list[str]) -> None:
    assert [mark(finding) for finding in _mount(Path("/srv"), Mount(Path("/srv"), kind))] == marks


# -- the clock ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def answering(*headers: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers everything with these headers."""
    head = "".join(f"{header}\r\n" for header in ("HTTP/1.1 405 Not Allowed", "Content-Length: 0", *headers))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            writer.write(f"{head}\r\n".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def date(ahead_s: float) -> str:
    return f"Date: {format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True)}"  # noqa: TID251


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "words"),
    [(0, "ok", "agrees"), (60, "warn", "60 s behind"), (-60, "warn", "60 s ahead"), (-900, "FAIL", "900 s ahead")],
)
async def test_a_clock_is_held_against_that_of_who_answers(
    tmp_path: Path, ahead_s: float, verdict: str, words: str
) -> None:
    async with answering(date(ahead_s)) as url:
        found = (await examined(tmp_path, url))["clock"]

    assert found[0] == verdict
    assert words in found[1] or words.replace("60", "61") in found[1] or words.replace("60", "59") in found[1]


async def test_an_answer_out_of_a_cache_is_as_old_as_it_says(tmp_path: Path) -> None:
    async with answering(date(-900), "Age: 900") as url:
        assert (await examined(tmp_path, url))["clock"][0] == "ok"


async def test_one_wrong_clock_of_several_is_not_ours(tmp_path: Path) -> None:
    async with answering(date(-900)) as wrong, answering(date(0)) as right:
        channels = {"main": {"async_url": wrong + ASYNC_PATH}, "other": {"async_url": right + ASYNC_PATH}}
        assert (await examined(tmp_path, channels=channels))["clock"][0] == "ok"


@pytest.mark.parametrize("text", ["", "today", "Thu, 99 Foo 2026 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 -2359"])
async def test_a_date_that_is_none_says_nothing(tmp_path: Path, text: str) -> None:
    assert told(text, "") is None or text.startswith("Mon")
    async with answering(f"Date: {text}") as url:
        found = await examined(tmp_path, url)

    assert found["channels.main"][0] == "ok"


# -- certificates ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
@pytest.mark.parametrize(("days", "warns"), [(3, True), (90, False)])
async def test_a_certificate_near_its_end_is_said(tmp_path: Path, days: int, warns: bool) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", str(days), "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(key), "-out", str(certificate), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await made.wait() == 0
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with answering(date(0), tls=tls) as url:
        config = str(written(tmp_path, tables_for(url, tmp_path)))
        environ = {"SSL_CERT_FILE": str(certificate)}
        said = await command("check", "--json", "--config", config, folder=tmp_path, environ=environ)
    found = {finding["what"]: finding for finding in json.loads(said.out)}

    assert found["channels.main"]["ok"]
    assert ("certificate of 127.0.0.1" in found) == warns
    assert not warns or found["certificate of 127.0.0.1"]["said"].startswith(("ends in 3.0 days", "ends in 2.9 days"))


# -- this machine ------------------------------------------------------------------------------------------------------


async def test_a_process_that_may_not_open_enough_files_fails(tmp_path: Path) -> None:
    config = str(written(tmp_path, tables_for(NOWHERE, tmp_path)))

    async def files(limits: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", f'{limits}; exec "$@"', "_", sys.executable, "-m", "relay", "check", "--json", "--config",
            config, env=clean_environ(), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        (found,) = [finding for finding in json.loads(out) if finding["what"] == "open files"]
        return found

    few, enough = await files("ulimit -Sn 200; ulimit -Hn 300"), await files("ulimit -Sn 256; ulimit -Hn 4096")
    assert (few["ok"], "this process may open 300 files, and 1184 are needed" in few["said"]) == (False, True)
    assert enough["ok"]


async def test_serve_opens_as_many_files_as_it_may(tmp_path: Path) -> None:
    config = written(tmp_path, tables_for(NOWHERE, tmp_path))
    prefix = ("sh", "-c", 'ulimit -Sn 256; ulimit -Hn 2048; exec "$@"', "_")
    async with ServeProcess(config, prefix=prefix) as relay:
        limits = resource.prlimit(relay.pid, resource.RLIMIT_NOFILE)

    assert limits == (2048, 2048)


def test_the_limits_of_the_control_group_are_those_of_the_tightest(tmp_path: Path) -> None:
    top = tmp_path / "sys/fs/cgroup"
    inner = top / "orders/relay"
    inner.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    assert (memory_limit(tmp_path), cores_allowed(tmp_path) >= 1) == (None, True)

    (tmp_path / "proc/self/cgroup").write_text("0::/orders/relay\n")
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("134217728\n")
    (inner / "cpu.max").write_text("50000 100000\n")
    (inner.parent / "cpu.max").write_text("max 100000\n")
    assert (memory_limit(tmp_path), cores_allowed(tmp_path)) == (134_217_728, 0.5)


# -- listeners ---------------------------------------------------------------------------------------------------------


async def test_an_address_that_is_taken_is_said_with_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = await examined(tmp_path, public={"listen": f"127.0.0.1:{port}"})

    assert found["public listener"][0] == "FAIL"
    assert f"is taken by process {os.getpid()} (" in found["public listener"][1]


async def test_a_private_listener_open_to_others_is_said(tmp_path: Path) -> None:
    token = "c7d1e9b2f4a86035c7d1"
    found = await examined(tmp_path, private={"listen": "0.0.0.0:0", "token": token})

    assert (found["private listener"][0], "plain HTTP" in found["private listener"][1]) == ("warn", True)
    assert "private.token" not in found
    assert not [said for _, said in found.values() if token in said]


# -- a relay that runs -------------------------------------------------------------------------------------------------


async def test_the_relay_that_runs_is_asked_how_it_is(tmp_path: Path) -> None:
    jetti = SandboxSettings(
        async_rate=None, faults=(Fault(status=422, external_id="1002"), Fault(wrong_hash=True, external_id="1003"))
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    private = {"listen": f"127.0.0.1:{port}"}
    async with relay_running(tmp_path, jetti=jetti, private=private) as (relay, imitated):
        well = await examined(tmp_path, imitated.url, private=private)
        async with Shop(relay.public_url) as shop:
            await shop.send(shopify_order(1002))
            await relay.happenings.until(lambda: bool(relay.happenings.of(AttemptMade)))
            await shop.send(shopify_order(1003))
            await relay.happenings.until(lambda: bool(relay.happenings.of(CircuitMoved)))
        ill = await examined(tmp_path, imitated.url, private=private)
        (tmp_path / "elsewhere").mkdir()
        another = await examined(tmp_path / "elsewhere", imitated.url, private=private)
        strange = await examined(tmp_path, imitated.url, private={"listen": f"127.0.0.1:{_free_port()}"})

    assert (well["running relay"][0], "is ready" in well["running relay"][1]) == ("ok", True)
    assert "private listener" not in well
    assert (ill["running channels.main"][0], "halted" in ill["running channels.main"][1]) == ("FAIL", True)
    assert (ill["dead letters"][0], ill["dead letters"][1].startswith("1 need")) == ("warn", True)
    assert (another["running relay"][0], "has another store" in another["running relay"][1]) == ("FAIL", True)
    assert (strange["running relay"][0], "none answers" in strange["running relay"][1]) == ("FAIL", True)


async def test_a_relay_with_another_token_is_said_with_the_key_of_the_one_that_was_shown(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{_free_port()}"
    others: dict[str, dict[str, Any]] = {
        "private.token": {"token": "0123456789abcdef"},
        "private.tokens.desk.token": {"tokens": {"desk": {"token": "0123456789abcdef"}}},
        "none": {},
    }
    async with relay_running(tmp_path, private={"listen": listen, "token": "5f1e8d3c9a7b2046"}):
        found = {key: (await examined(tmp_path, private={"listen": listen, **other})) for key, other in others.items()}

    for key, said in found.items():
        assert said["running relay"][0] == "warn"
        assert "answers 401" in said["running relay"][1]
        assert f"({key})" in said["running relay"][1]


async def test_a_relay_whose_tokens_all_have_names_is_asked_with_the_first_of_them(tmp_path: Path) -> None:
    tokens = {"desk": {"token": "5f1e8d3c9a7b2046"}, "night": {"token": "0123456789abcdef"}}
    private = {"listen": f"127.0.0.1:{_free_port()}", "tokens": tokens}
    async with relay_running(tmp_path, private=private):
        found = await examined(tmp_path, private=private)

    assert (found["running relay"][0], "is ready" in found["running relay"][1]) == ("ok", True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


# -- secrets -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user of this machine may look into."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def test_files_with_secrets_that_others_may_read_are_said(public_folder: Path) -> None:
    secret, config = public_folder / "hash", public_folder / "relay.toml"
    channels = {"main": {"webhook_hash": None, "webhook_hash_file": str(secret)}}
    secret.write_text("hash-0f1e2d3c4b5a\n")
    private = {"listen": "127.0.0.1:0", "tokens": {"desk": {"token_file": str(secret)}}}
    tables = tables_for(NOWHERE, public_folder, channels=channels, private=private)
    settings = settings_from(public_folder, tables)

    async def marks(of_files: int, of_folder: int) -> list[str | None]:
        for path, mode in ((secret, of_files), (config, of_files), (public_folder, of_folder)):
            path.chmod(mode)
        found = {finding.what: mark(finding) for finding in await examine(settings, public_folder, file=config)}
        token = found.get("private.tokens.desk.token_file")
        return [found.get("channels.main.webhook_hash_file"), token, found.get(str(config))]

    assert await marks(0o644, 0o755) == ["warn", "warn", "warn"]
    assert await marks(0o640, 0o755) == [None, None, None]
    assert await marks(0o644, 0o750) == [None, None, None]  # nobody else gets as far as the files


@pytest.mark.parametrize(
    ("tables", "what", "verdict"),
    [
        ({"storefronts": {"shop": {**SHOP, "secrets": ["guessme"]}}}, "storefronts.shop.secrets", "warn"),
        ({"storefronts": {"shop": {**SHOP, "secrets": ["ab" * 20]}}}, "storefronts.shop.secrets", "warn"),
        ({"private": {"token": "short"}}, "private.token", "warn"),
        ({"private": {"token": "short", "listen": "0.0.0.0:0"}}, "private.token", "FAIL"),
        ({"private": {"tokens": {"desk": {"token": "short"}}}}, "private.tokens.desk.token", "warn"),
        ({"storefronts": {"shop": SHOP, "other": SHOP}}, "storefronts.other.secrets", "warn"),
        ({"channels": {"main": {}, "other": {}}}, "channels.other.webhook_hash", "warn"),
    ],
)
async def test_a_secret_that_is_weak_or_shared_is_said_and_not_shown(
    tmp_path: Path, tables: dict[str, Any], what: str, verdict: str
) -> None:
    found = await examined(tmp_path, **tables)

    assert found[what][0] == verdict
    assert not [said for _, said in found.values() for secret in (SHOP_SECRET, "guessme", "abab") if secret in said]


# -- sense -------------------------------------------------------------------------------------------------------------

JETTI = f"https://jetti.invalid{ASYNC_PATH}"


@pytest.mark.parametrize(
    ("tables", "what"),
    [
        ({"channels": {"main": {}, "idle": {"webhook_hash": "its-own"}}}, "channels.idle"),
        ({"storefronts": {"shop": SHOP, "other": {**SHOP, "secrets": ["another-secret-9"]}}}, "channels.main"),
        ({"public": {"body_max_bytes": 100_000}}, "public.body_max_bytes"),
        ({"channels": {"main": {"timeout_s": 10}}}, "channels.main.timeout_s"),
        ({"channels": {"main": {"async_url": JETTI, "sync_rate": 50}}}, "channels.main.sync_rate"),
        (
            {"channels": {"main": {"async_url": JETTI.replace("https", "http"), "insecure_http": True}}},
            "channels.main.insecure_http",
        ),
        ({"channels": {"main": {"retry": {"max_age_s": 60, "cap_s": 5}}}}, "channels.main.retry.max_age_s"),
        ({"channels": {"main": {"retry": {"max_age_s": 4000, "cap_s": 4000}}}}, "channels.main.retry.cap_s"),
        ({"store": {"disk_free_min_bytes": 0}}, "disk"),
    ],
)
async def test_a_setting_that_may_not_be_meant_is_asked_about(
    tmp_path: Path, tables: dict[str, Any], what: str
) -> None:
    settings = settings_from(tmp_path, tables_for(NOWHERE, tmp_path, **tables))
    found = [finding for finding in await examine(settings, tmp_path) if finding.what == what and finding.warning]

    assert len(found) == 1


async def test_a_configuration_as_it_should_be_is_asked_nothing(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, tables_for(NOWHERE, tmp_path, storefronts={"shop": SHOP, "till": TILL}))

    assert [(f.what, mark(f)) for f in await examine(settings, tmp_path, offline=True)] == [("configuration", "ok")]
