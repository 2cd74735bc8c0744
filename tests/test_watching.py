"""Commands that go on, what persons did, and what a shell completes: the program itself, beside a real relay."""

import asyncio
import json
import os
import pty
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.clock import SystemClock
from relay.core.events import AttemptMade, ReplayAdvanced
from relay.sandbox import Fault, SandboxSettings
from tests.fakes import Shop, shopify_order
from tests.running import (
    Finished,
    RunningRelay,
    ServeProcess,
    clean_environ,
    command,
    relay_running,
    tables_for,
    written,
)

NOWHERE = "http://127.0.0.1:9"
BIN = Path(sys.executable).parent


def fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= 80


@dataclass(frozen=True, slots=True)
class Desk:
    """An operator's desk."""

    relay: RunningRelay
    folder: Path

    @property
    def where(self) -> tuple[str, ...]:
        return ("--config", str(self.folder / "relay.toml"), "--url", self.relay.private_url)

    async def command(self, *words: str) -> Finished:
        return await command(*words, *self.where, folder=self.folder)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A relay that has delivered one order and has one dead letter."""
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=422, external_id="1002"),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, _), Shop(relay.public_url) as shop:
        for number in (1001, 1002):
            await shop.send(shopify_order(number))
        await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) == 2)
        yield Desk(relay, tmp_path)


# -- audit, replays ----------------------------------------------------------------------------------------------------


async def test_audit_says_who_did_what_about_what_and_why(desk: Desk) -> None:
    nothing = await desk.command("audit")
    await desk.command("pause", "main", "--by", "ada", "--why", "Jetti is being migrated")
    await desk.command("resume", "main", "--by", "bob")
    text, found = await desk.command("audit"), await desk.command("audit", "--json", "--limit", "1")

    assert (nothing.code, nothing.out) == (0, "nobody has done anything yet\n")
    assert (text.code, fits(text.out)) == (0, True)
    assert text.out.index("bob") < text.out.index("ada") < text.out.index("Jetti is being")
    assert [(deed["by"], deed["what"]) for deed in json.loads(found.out)["deeds"]] == [("bob", "resume")]


async def test_a_bulk_replay_is_listed_and_followed(desk: Desk) -> None:
    nothing = await desk.command("replays")
    begun = await desk.command("dead", "replay", "--all", "--yes", "--no-wait", "--by", "ada", "--json")
    number = str(json.loads(begun.out)["replay"]["id"])
    followed = await desk.command("replays", number, "--follow", "--json")
    text, missing = await desk.command("replays"), await desk.command("replays", "4711")
    unnamed = await desk.command("replays", "--follow")

    assert (nothing.code, nothing.out) == (0, "no bulk replay has been made\n")
    assert json.loads(followed.out)["replay"]["ended_at"] is not None
    assert (text.code, fits(text.out), "any cause" in text.out, "1 of 1" in text.out) == (0, True, True, True)
    assert (missing.code, missing.err) == (1, "error: there is no such replay\n")
    assert (unnamed.code, "order-relay replays 3 --follow" in unnamed.err.replace("\n", " ")) == (2, True)
    assert desk.relay.happenings.of(ReplayAdvanced)


# -- status --watch ----------------------------------------------------------------------------------------------------


async def watching(folder: Path, *words: str, **options: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", "status", "--watch", *words, cwd=folder, env=clean_environ(TERM="xterm"),
        **{"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE, **options},
    )  # fmt: skip


async def read_until(process: asyncio.subprocess.Process, *said: str, seconds: float = 30) -> str:
    """What it writes until all of this was in it, in this order."""
    assert process.stdout is not None
    read, position = "", 0
    async with asyncio.timeout(seconds):
        for each in said:
            while (found := read.find(each, position)) < 0:
                line = await process.stdout.readline()
                assert line, f"it ended before it said {each!r}:\n{read}"
                read += line.decode()
            position = found + len(each)
    return read


async def interrupted(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, err = await process.communicate()
    assert b"Traceback" not in (err or b"")
    assert process.returncode is not None
    return process.returncode


async def test_watching_goes_on_while_the_relay_restarts_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    async with ServeProcess(written(tmp_path, tables_for(NOWHERE, tmp_path))) as relay:
        port = relay.private_url.rpartition(":")[2]
        config = written(tmp_path, tables_for(NOWHERE, tmp_path, private={"listen": f"127.0.0.1:{port}"}))
        watch = await watching(tmp_path, "--config", str(config), "--interval", "0.3")
        first = await read_until(watch, "/s (in the last", "ready", "main (async)", "pace")
        await relay.terminate()
        silent = await read_until(watch, "no answer since ")
        await relay.start()
        again = await read_until(watch, "ready", "main (async)", "pace")
        code = await interrupted(watch)

    assert code == 0
    assert fits(first)
    assert "\x1b" not in first + silent + again


async def test_watching_says_how_much_comes_and_goes(desk: Desk) -> None:
    watch = await watching(desk.folder, *desk.where, "--interval", "0.3", "--json")
    assert watch.stdout is not None
    async with asyncio.timeout(30):
        while True:
            found = json.loads(await watch.stdout.readline())
            if sum(found["pulse"]["accepted"]) == 2 and sum(found["pulse"]["delivered"]) == 1:
                break
    assert found["channels"]["main"]["orders"]["sent"] == 1
    assert await interrupted(watch) == 0


async def test_watching_on_a_terminal_is_in_place(desk: Desk) -> None:
    ours, theirs = pty.openpty()
    watch = await watching(desk.folder, *desk.where, "--interval", "0.2", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.set_blocking(ours, False)
    read = b""
    async with asyncio.timeout(30):
        while read.count(b"pace") < 3:
            with suppress(BlockingIOError):
                read += os.read(ours, 65_536)
            await SystemClock().sleep(0.05)
    watch.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        code = await watch.wait()
    os.close(ours)

    assert code == 0
    assert b"oldest new order" in read


async def test_watching_fails_where_no_relay_answers_at_first(tmp_path: Path) -> None:
    config = str(written(tmp_path, tables_for(NOWHERE, tmp_path)))
    said = await command("status", "--watch", "--config", config, "--url", NOWHERE, folder=tmp_path)

    assert (said.code, said.err.startswith("error: no relay answers at")) == (1, True)


@pytest.mark.parametrize("words", [("--interval", "0"), ("--interval", "soon")])
async def test_an_interval_that_is_none_is_wrong_usage(tmp_path: Path, words: Sequence[str]) -> None:
    assert (await command("status", "--watch", *words, folder=tmp_path)).code == 2


# -- completion --------------------------------------------------------------------------------------------------------

BASH = """
{script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_order_relay_completion order-relay
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


async def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers, by the function that ``--show-completion`` gives it."""
    environ = clean_environ(PATH=f"{BIN}:{os.environ['PATH']}", RELAY_CONFIG=str(folder / "relay.toml"))
    script = await shown("bash", folder)
    quoted = " ".join(f"'{word}'" for word in ("order-relay", *words))
    process = await asyncio.create_subprocess_exec(
        "bash", "--norc", "-c", BASH.format(script=script, words=quoted), cwd=folder, env=environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert err == b""
    return out.decode().split()


async def shown(shell: str, folder: Path) -> str:
    """The script that a shell is to run once."""
    process = await asyncio.create_subprocess_exec(
        BIN / "order-relay", cwd=folder, env=clean_environ(_ORDER_RELAY_COMPLETE=f"source_{shell}"),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is what completes")
async def test_bash_completes_commands_and_what_the_relay_knows(desk: Desk) -> None:
    at = ("--url", desk.relay.private_url)

    assert await completed(desk.folder, "re") == ["resend", "resume", "replays"]
    assert await completed(desk.folder, "pause", *at, "") == ["main"]
    assert await completed(desk.folder, "pause", *at, "x") == []
    assert await completed(desk.folder, "dead", "list", *at, "--storefront", "") == ["shop", "till"]
    assert await completed(desk.folder, "dead", "list", *at, "--storefront", "t") == ["till"]
    (code,) = await completed(desk.folder, "dead", "list", *at, "--code", "")
    assert code in {group["code"] for group in json.loads((await desk.command("dead", "list", "--json")).out)["groups"]}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is what completes")
async def test_bash_completes_with_nothing_where_no_relay_answers_and_does_not_wait(tmp_path: Path) -> None:
    written(tmp_path, tables_for(NOWHERE, tmp_path))
    begun = SystemClock().monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes the question, and says nothing
        silent = f"http://127.0.0.1:{server.getsockname()[1]}"
        found = [await completed(tmp_path, "pause", "--url", url, "") for url in (NOWHERE, silent, "nonsense")]

    assert found == [[], [], []]
    assert SystemClock().monotonic() - begun < 30


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_there_is_a_script_for_each_shell(tmp_path: Path, shell: str) -> None:
    assert f"_ORDER_RELAY_COMPLETE=complete_{shell}" in await shown(shell, tmp_path)
