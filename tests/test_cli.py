"""The program itself, in processes of its own: what it prints, how it ends, and that it keeps secrets."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from relay.cli import app
from relay.core.events import AttemptMade
from relay.sandbox import Fault, SandboxSettings, sandbox
from tests.fakes import SHOP_SECRET, TILL_SECRET, Shop, Wire, fetched, manual_sale, request, shopify_order
from tests.running import (
    UNLIMITED,
    Finished,
    RunningRelay,
    ServeProcess,
    clean_environ,
    command,
    relay_running,
    tables_for,
    written,
)

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference" / "command-line.md"
NOWHERE = "http://127.0.0.1:9"
TOKEN = "private-token-c3d9"
SECRETS = (SHOP_SECRET, TILL_SECRET, UNLIMITED.webhook_hash, TOKEN)
PERSONAL = ("Ada", "Buyer", "Grace", "Receiver", "buyer.example", "Ledger Lane", "Parcel Place", "H2Y 1C6", "555 01")
GROUP = typer.main.get_group(app)
COMMANDS = sorted(GROUP.commands)


def serving(folder: Path, **tables: Any) -> ServeProcess:
    """A relay whose channel leads nowhere."""
    return ServeProcess(written(folder, tables_for(NOWHERE, folder, **tables)))


def without(secrets: tuple[str, ...], *texts: str) -> bool:
    return not [secret for secret in secrets for text in texts if secret in text]


# -- serve -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--json",)])
async def test_serve_says_in_one_line_where_it_really_listens(tmp_path: Path, words: tuple[str, ...]) -> None:
    config = written(tmp_path, tables_for(NOWHERE, tmp_path))
    process = await asyncio.create_subprocess_exec(
        *_python("-m", "relay", "serve", "--config", str(config), *words),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=clean_environ(),
    )  # fmt: skip
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    said = json.loads(line) if words else dict(re.findall(r"(public|private) (\S+[^,\s])", line))
    answers = [(await fetched(said["private"] + "/healthz")).status, (await fetched(said["public"] + "/")).status]
    process.terminate()
    rest, _ = await process.communicate()

    assert words or line.startswith("ready: ")
    assert answers == [200, 404]
    assert (process.returncode, rest) == (0, b"")


def _python(*words: str) -> tuple[str, ...]:
    return (sys.executable, *words)


async def test_sigterm_ends_it_with_0_within_the_grace_even_with_a_body_half_sent(tmp_path: Path) -> None:
    async with serving(tmp_path, life={"shutdown_grace_s": 1}) as relay, Wire(relay.url) as wire:
        await wire.write(request(body=shopify_order(1))[:-10])
        before = asyncio.get_running_loop().time()
        assert await relay.terminate() == 0
        assert asyncio.get_running_loop().time() - before < 4


async def test_the_real_program_turns_away_a_connection_too_many(tmp_path: Path) -> None:
    public = {"listen": "127.0.0.1:0", "connections_max": 1}
    async with serving(tmp_path, public=public) as relay, Wire(relay.url) as first, Wire(relay.url) as second:
        await first.write(request(body=shopify_order(1)))
        taken = await first.answer()
        await second.write(request(body=shopify_order(2)))
        refused = await second.answer()
        assert await relay.terminate() == 0

    assert (taken and taken.status, refused and refused.status) == (200, 503)
    assert [line["type"] for line in relay.log_lines if line["event"] == "refused"] == ["too-many-connections"]


async def test_what_it_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    async with serving(tmp_path) as relay:
        async with Shop(relay.url) as shop:
            assert (await shop.send(shopify_order(1001))).status == 200
        assert await relay.kill() == -9
        await relay.start()
        found = (await fetched(relay.private_url + "/api/orders?reference=1001")).json["orders"]

    assert [order["external_id"] for order in found] == ["1001"]


async def test_a_second_relay_on_the_same_store_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        second = await command("serve", "--config", str(first.config), folder=tmp_path)

    assert (second.code, second.out) == (1, "")
    assert f"process {first.pid}" in second.err
    assert "Traceback" not in second.err


async def test_an_address_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        taken = first.url.removeprefix("http://")
        (tmp_path / "other").mkdir()
        tables = tables_for(NOWHERE, tmp_path / "other", public={"listen": taken})
        second = await command("serve", "--config", str(written(tmp_path / "other", tables)), folder=tmp_path)

    assert second.code == 1
    assert "in use" in second.err
    assert "Traceback" not in second.err


@pytest.mark.parametrize(
    ("change", "key", "remedy"),
    [
        ("channels.main.sync_rat = 2", "channels.main.sync_rat", "did you mean channels.main.sync_rate?"),
        ("public.body_max_bytes = 1", "public.body_max_bytes", "give a whole number from 1024"),
        ('log.level = "loud"', "log.level", "give "),
        ("not toml at all", "relay.toml", "mend that line"),
    ],
)
async def test_a_wrong_configuration_ends_it_with_1_and_names_key_and_remedy(
    tmp_path: Path, change: str, key: str, remedy: str
) -> None:
    config = written(tmp_path, tables_for(NOWHERE, tmp_path))
    config.write_text(config.read_text() + change + "\n")
    ended = await command("serve", "--config", str(config), folder=tmp_path)

    assert (ended.code, ended.out) == (1, "")
    assert key in ended.err
    assert f"Remedy: {remedy}" in ended.err
    assert without(SECRETS, ended.err)


async def test_it_refuses_to_be_looked_at_from_outside_without_a_token(tmp_path: Path) -> None:
    tables = tables_for(NOWHERE, tmp_path, private={"listen": "0.0.0.0:0"})
    refused = await command("serve", "--config", str(written(tmp_path, tables)), folder=tmp_path)

    assert (refused.code, refused.out) == (1, "")
    assert "private.listen = '0.0.0.0:0'" in refused.err
    assert "set private.token_file" in refused.err


async def test_with_a_token_it_may_be_looked_at_from_outside_by_who_shows_it(tmp_path: Path) -> None:
    async with serving(tmp_path, private={"listen": "0.0.0.0:0", "token": TOKEN}) as relay:
        url = relay.private_url.replace("0.0.0.0", "127.0.0.1")
        statuses = [
            (await fetched(f"{url}/api/status", {"Authorization": f"Bearer {shown}"})).status
            for shown in (TOKEN, "wrong", "")
        ]
        status = await command("status", "--config", str(relay.config), "--url", url, folder=tmp_path)
        assert without(SECRETS, relay.log, status.out, status.err)

    assert statuses == [200, 401, 401]
    assert status.code == 0


async def test_neither_secrets_nor_personal_data_are_ever_in_the_log(tmp_path: Path) -> None:
    async with sandbox(SandboxSettings(async_rate=None, faults=(Fault(wrong_hash=True, count=1),))) as jetti:
        tables = tables_for(jetti.url, tmp_path, private={"listen": "127.0.0.1:0", "token": TOKEN})
        relay = ServeProcess(written(tmp_path, tables))
        async with relay, Shop(relay.url) as shop:
            await shop.send(shopify_order(1, email="not an address of Ada Buyer"))
            await shop.send(shopify_order(2))
            await shop.send(shopify_order(3, line_items=None))
            await shop.post("/webhooks/shop", shopify_order(4), {"X-Shopify-Hmac-Sha256": TILL_SECRET})
            bearer = {"Authorization": f"Bearer {TILL_SECRET}"}
            await shop.post("/orders", manual_sale(5), bearer)
            await shop.post("/orders", manual_sale(6, customer={"email": "Ada Buyer"}, lineItems="Grace"), bearer)
            for url in (relay.url, relay.private_url):
                async with Wire(url) as wire:  # no HTTP: parsers like to quote what they do not understand
                    await wire.write(b"GET /\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n Ada Buyer\r\n\r\n")
                    await wire.answer()
            await fetched(relay.private_url + "/api/status", {"Authorization": f"Bearer {TOKEN}x"})
            assert await relay.terminate() == 0

    assert {line["event"] for line in relay.log_lines} >= {"event", "refused", "paused", "attempt"}
    assert len(relay.log_lines) == len(relay.log.splitlines())  # every line is JSON
    assert without((*SECRETS, *PERSONAL), relay.log)


# -- looking -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Desk:
    """An operator's desk."""

    relay: RunningRelay
    shop: Shop
    folder: Path

    async def command(self, *words: str, environ: dict[str, str] | None = None) -> Finished:
        config = ("--config", str(self.folder / "relay.toml"), "--url", self.relay.private_url)
        return await command(*words, *config, folder=self.folder, environ=environ)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A relay that has delivered one order twice, refused one and throttled nothing."""
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=422, external_id="1002"),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, _), Shop(relay.public_url) as shop:

        def attempts(count: int) -> bool:
            return len(relay.happenings.of(AttemptMade)) == count

        for count, body in enumerate([shopify_order(1001), shopify_order(1001, 1), shopify_order(1002)], 1):
            await shop.send(body)
            await relay.happenings.until(lambda: attempts(count))  # noqa: B023 - awaited at once
        yield Desk(relay, shop, tmp_path)


async def test_status_fits_80_columns_and_leads_with_the_two_figures_that_matter(desk: Desk) -> None:
    said = await desk.command("status")
    rows = dict(re.findall(r"^  (\S.{0,17}?)  +(.+)$", said.out, re.MULTILINE))

    assert (said.code, said.err) == (0, "")
    assert max(map(len, said.out.splitlines())) <= 80
    assert "…" not in said.out
    assert list(rows)[:2] == ["oldest new order", "backlog gone in"]
    assert (rows["delivered"], rows["dead letters"]) == ("1", "1")
    assert said.out.startswith("order-relay ")


async def test_status_as_json_is_what_the_api_says(desk: Desk) -> None:
    said = await desk.command("status", "--json")
    channel = json.loads(said.out)["channels"]["main"]

    assert said.code == 0
    assert (channel["orders"]["sent"], channel["orders"]["dead"]) == (1, 1)


@pytest.mark.parametrize("reference", ["#1001", "1001"])
async def test_order_shows_one_timeline_that_fits_80_columns(desk: Desk, reference: str) -> None:
    said = await desk.command("order", reference)

    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 80
    assert "…" not in said.out
    assert said.out.startswith("#1001 of shop, id 1001\nnow delivered: Jetti has revision 2\n")
    assert [said.out.count(word) for word in ("orders/create", "attempt", "sent 200")] == [2, 2, 2]


async def test_order_as_json_is_a_list_of_timelines(desk: Desk) -> None:
    said = await desk.command("order", "#1002", "--json")
    (timeline,) = json.loads(said.out)

    assert said.code == 0
    assert (timeline["order"]["state"], [a["status"] for a in timeline["attempts"]]) == ("dead", [422])


async def test_order_fails_for_an_order_that_was_never_here(desk: Desk) -> None:
    said = await desk.command("order", "#4711 [bold]")

    assert (said.code, said.out) == (1, "")
    assert "'#4711 [bold]'" in said.err


async def test_what_a_stranger_wrote_moves_no_cursor_and_is_no_markup(desk: Desk) -> None:
    await desk.shop.send(shopify_order(1003, name="#10 [red]\\"))
    said = await desk.command("order", "1003")

    assert said.code == 0
    assert said.out.startswith("#10 [red]\\ of shop")


async def test_a_proxy_is_not_shown_the_token(desk: Desk) -> None:
    said = await desk.command("status", "--json", environ={"http_proxy": NOWHERE})

    assert said.code == 0


async def test_status_fails_where_no_relay_answers_and_says_where_it_asked(tmp_path: Path) -> None:
    config = written(tmp_path, tables_for(NOWHERE, tmp_path))
    for words, expected in ((("--url", NOWHERE), NOWHERE), ((), "--url")):
        said = await command("status", "--config", str(config), *words, folder=tmp_path)
        assert (said.code, said.out) == (1, "")
        assert expected in said.err
        assert "Traceback" not in said.err


async def test_status_fails_where_something_else_answers(tmp_path: Path) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.7\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    config = written(tmp_path, tables_for(NOWHERE, tmp_path))
    said = await command("status", "--config", str(config), "--url", url, folder=tmp_path)
    server.close()

    assert said.code == 1
    assert "Traceback" not in said.err


# -- check -------------------------------------------------------------------------------------------------------------


async def test_check_says_ok_of_everything_it_looked_at(tmp_path: Path) -> None:
    async with sandbox(UNLIMITED) as jetti:
        config = str(written(tmp_path, tables_for(jetti.url, tmp_path)))
        text = await command("check", "--config", config, folder=tmp_path)
        found = await command("check", "--config", config, "--json", folder=tmp_path)
        assert jetti.journal.last_seq == 0  # it sent no sale

    assert (text.code, found.code) == (0, 0)
    assert {line.split()[0] for line in text.out.splitlines()} == {"ok"}
    assert {finding["what"] for finding in json.loads(found.out)} == {"configuration", "store", "channels.main"}
    assert without(SECRETS, text.out, text.err, found.out)


async def test_check_fails_when_jetti_cannot_be_reached(tmp_path: Path) -> None:
    config = str(written(tmp_path, tables_for(NOWHERE, tmp_path)))
    said = await command("check", "--config", config, folder=tmp_path)

    assert said.code == 1
    assert "FAIL channels.main" in said.out


async def test_check_fails_when_the_store_cannot_be_opened(tmp_path: Path) -> None:
    tables = tables_for(NOWHERE, tmp_path, store={"url": f"sqlite:{tmp_path}/no/such/folder/relay.db"})
    said = await command("check", "--config", str(written(tmp_path, tables)), "--json", folder=tmp_path)

    assert said.code == 1
    assert [f["ok"] for f in json.loads(said.out) if f["what"] == "store"] == [False]


# -- usage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("serve", "--no-such"), ("nothing",), ("order",), ("sandbox", "--fault", "{}")])
async def test_wrong_usage_ends_with_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = await command(*words, folder=tmp_path)

    assert (said.code, said.out) == (2, "")
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_gives_an_example(name: str) -> None:
    known = GROUP.commands[name]

    assert known.help
    assert (known.epilog or "").startswith(f"Example: order-relay {name}")


async def test_help_is_shown_and_ends_with_0(tmp_path: Path) -> None:
    said = await command("serve", "-h", folder=tmp_path)

    assert said.code == 0
    assert "Example: order-relay serve" in said.out


async def test_the_sandbox_says_where_it_listens(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *_python("-m", "relay", "sandbox", "--listen", "127.0.0.1:0", "--json"),
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=clean_environ(),
    )  # fmt: skip
    assert process.stdout is not None
    url = json.loads(await process.stdout.readline())["sandbox"]
    status = (await fetched(url + "/sandbox/state")).status
    process.terminate()
    await process.communicate()

    assert (status, process.returncode) == (200, 0)


# -- documents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_each_of_its_options_is_documented(name: str) -> None:
    text = REFERENCE.read_text()
    section = text.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
    options = {option for p in GROUP.commands[name].params for option in p.opts if option.startswith("--")} - {"--help"}

    assert section, f"docs/reference/command-line.md has no section `{name}`"
    assert {option for option in options if f"`{option}`" not in section} == set()


def test_no_command_is_documented_that_is_not_there() -> None:
    assert sorted(re.findall(r"^## `(\w+)`$", REFERENCE.read_text(), re.MULTILINE)) == COMMANDS
