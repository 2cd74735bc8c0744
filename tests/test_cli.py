"""The program itself, in processes of its own: what it prints, how it ends, and that it keeps secrets."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import typer
from typer.core import TyperGroup

from relay.app import VERSION
from relay.cli import app
from relay.cli.letters import next_step
from relay.clock import SystemClock
from relay.core.events import AttemptMade, ChannelThrottled, CircuitMoved, DoorMoved, EventFound
from relay.sandbox import Fault, SandboxSettings, sandbox
from tests.fakes import SHOP_SECRET, TILL_SECRET, Shop, Wire, fetched, manual_sale, request, shopify_order
from tests.running import (
    ASYNC_PATH,
    SHOP,
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
COMMANDS = {
    f"{name} {below}".strip(): command
    for name, known in GROUP.commands.items()
    for below, command in (known.commands.items() if isinstance(known, TyperGroup) else (("", known),))
}
"""By the words that call them."""


def serving(folder: Path, **tables: Any) -> ServeProcess:
    """A relay whose channel leads nowhere."""
    return ServeProcess(written(folder, tables_for(NOWHERE, folder, **tables)))


def without(secrets: tuple[str, ...], *texts: str) -> bool:
    return not [secret for secret in secrets for text in texts if secret in text]


def flat(text: str) -> str:
    """Without line breaks: what was wrapped, as it was written."""
    return " ".join(text.split())


def fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= 80


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


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, life={"shutdown_grace_s": 60}) as relay, Wire(relay.url) as wire:
        await wire.write(request(body=shopify_order(1))[:-10])
        os.kill(relay.pid, signal.SIGTERM)
        async with asyncio.timeout(5):
            while "stopping" not in relay.log:
                await SystemClock().sleep(0.05)
        assert relay.returncode is None
        os.kill(relay.pid, signal.SIGTERM)
        assert await relay.wait(5) == 1


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


@pytest.mark.parametrize(
    ("table", "variable"), [("public", "RELAY_PUBLIC__LISTEN"), ("private", "RELAY_PRIVATE__LISTEN")]
)
async def test_an_address_in_use_is_said_with_the_key_that_names_it(tmp_path: Path, table: str, variable: str) -> None:
    async with serving(tmp_path) as first:
        taken = first.url.removeprefix("http://")
        (tmp_path / "other").mkdir()
        tables = tables_for(NOWHERE, tmp_path / "other", **{table: {"listen": taken}})
        second = await command("serve", "--config", str(written(tmp_path / "other", tables)), folder=tmp_path)
        sandbox_too = await command("sandbox", "--listen", taken, folder=tmp_path)

    remedy = "is taken by another process: stop it, or set"
    assert (second.code, sandbox_too.code) == (1, 1)
    assert flat(second.err).endswith(f"error: {table}.listen {taken} {remedy} {table}.listen ({variable})")
    assert "Traceback" not in second.err
    assert flat(sandbox_too.err) == f"error: --listen {taken} {remedy} --listen"


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("203.0.113.7:0", "203.0.113.7:0: this machine does not have that address; set public.listen"),
        ("nowhere.invalid:0", "nowhere.invalid:0: the name leads to no address; set public.listen"),
    ],
)
async def test_an_address_that_is_not_here_is_said_with_its_key(tmp_path: Path, listen: str, said: str) -> None:
    tables = tables_for(NOWHERE, tmp_path, public={"listen": listen})
    ended = await command("serve", "--config", str(written(tmp_path, tables)), folder=tmp_path)

    assert ended.code == 1
    assert f"public.listen {said}" in flat(ended.err)


@pytest.mark.parametrize("name", ["serve", "check"])
async def test_without_any_configuration_it_first_says_that_there_is_no_file(tmp_path: Path, name: str) -> None:
    said = await command(name, folder=tmp_path)

    assert said.code == 1
    assert flat(said.err).startswith(
        f"error: no config.toml in {tmp_path}: use --config, or copy config.example.toml The configuration"
    )


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
    assert key in flat(ended.err)
    assert f"Remedy: {remedy}" in flat(ended.err)
    assert without(SECRETS, ended.err)


async def test_it_refuses_to_be_looked_at_from_outside_without_a_token(tmp_path: Path) -> None:
    tables = tables_for(NOWHERE, tmp_path, private={"listen": "0.0.0.0:0"})
    refused = await command("serve", "--config", str(written(tmp_path, tables)), folder=tmp_path)

    assert (refused.code, refused.out) == (1, "")
    assert "private.listen = '0.0.0.0:0'" in flat(refused.err)
    assert "set private.token_file" in flat(refused.err)
    assert fits(refused.err)


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

    assert {line["event"] for line in relay.log_lines} >= {"event", "refused", "circuit", "attempt"}
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
    assert fits(said.out)
    assert "…" not in said.out
    assert list(rows)[:2] == ["oldest new order", "backlog gone in"]
    assert (rows["delivered"], rows["dead letters"]) == ("1 order", "1 order; see: order-relay dead list")
    assert said.out.startswith("order-relay ")


async def test_status_says_why_a_channel_is_halted_and_what_to_correct(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(wrong_hash=True),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, _), Shop(relay.public_url) as shop:
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: bool(relay.happenings.of(CircuitMoved)))
        said = await Desk(relay, shop, tmp_path).command("status")

    assert "main (async): halted" in said.out
    assert re.search(
        r"halted since [^:]*\d\d:\d\d UTC: 401 api\.errors\.unauthorized: The hash is wrong\. Correct "
        r"channels\.main\.webhook_hash \(this needs a restart, unless it is in a file\), then: "
        r"order-relay resume main\. Tried again with one order in \d+ s \(runbook: channel-halted\) "
        r"failing since [^:]*\d\d:\d\d UTC \(1 attempt\); all that waits will be sent",
        flat(said.out),
    )
    assert "backlog gone in unknown while nothing gets through" in flat(said.out)
    assert fits(said.out)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("title", ["api.errors.unknown", "api.odd"])
async def test_a_refused_credential_is_told_by_its_status_whatever_the_title_says(
    tmp_path: Path, status: int, title: str
) -> None:
    secret = tmp_path / "hash"
    secret.write_text(UNLIMITED.webhook_hash)
    channels = {"main": {"webhook_hash": None, "webhook_hash_file": str(secret)}}
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=status, title=title),))
    async with relay_running(tmp_path, jetti=jetti, channels=channels) as (relay, _), Shop(relay.public_url) as shop:
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: bool(relay.happenings.of(CircuitMoved)))
        said = flat((await Desk(relay, shop, tmp_path).command("status")).out)

    assert f"{status} {title}: " in said
    assert "Correct the file of channels.main.webhook_hash_file (it is read again), then: order-relay resume" in said


async def test_a_halt_is_looked_at_and_ended_while_its_secret_file_is_missing(tmp_path: Path) -> None:
    secret = tmp_path / "hash"
    secret.write_text("wrong")
    channels = {"main": {"webhook_hash": None, "webhook_hash_file": str(secret)}}
    async with relay_running(tmp_path, channels=channels) as (relay, _), Shop(relay.public_url) as shop:
        desk = Desk(relay, shop, tmp_path)
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: bool(relay.happenings.of(CircuitMoved)))
        secret.unlink()
        status, dead = await desk.command("status"), await desk.command("dead", "list")
        resumed = await desk.command("resume", "main")
        nothing_else = await command("status", "--url", relay.private_url, folder=tmp_path)

    assert (status.code, dead.code, nothing_else.code) == (0, 0, 0)
    assert resumed.code == 1
    assert flat(resumed.err).startswith("error: channel main is as it was: ")
    assert str(secret) in resumed.err.replace("\n", "")


async def test_asking_needs_the_relays_own_token_and_says_what_is_wrong_with_its_file(tmp_path: Path) -> None:
    private = {"token_file": str(tmp_path / "absent")}
    tables = tables_for(NOWHERE, tmp_path, private=private, public={"listen": "nonsense"})
    said = await command("status", "--config", str(written(tmp_path, tables)), folder=tmp_path)

    assert (said.code, said.out) == (1, "")
    assert "private.token_file" in said.err
    assert "public.listen" not in said.err


async def test_a_channel_halted_by_one_refusal_for_all_names_the_newest_order_that_met_it(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=422),))
    channels = {"main": {"breaker": {"refusals": 2}}}
    async with relay_running(tmp_path, jetti=jetti, channels=channels) as (relay, _), Shop(relay.public_url) as shop:
        desk = Desk(relay, shop, tmp_path)
        for number in (1, 2):
            await shop.send(shopify_order(number))
            await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) >= number)  # noqa: B023
        await relay.happenings.until(lambda: bool(relay.happenings.of(CircuitMoved)))
        status = flat((await desk.command("status")).out)
        order = flat((await desk.command("order", "#2")).out)

    assert "The latest: order-relay order '#2'. The same refusal for order after order: correct what" in status
    assert "; then it waits its turn; channel main is halted since " in order
    assert "About the channel: order-relay status" in order
    assert "failed 422, Jetti answered: {" in order or "refused 422, Jetti answered: {" in order


async def test_status_says_for_how_long_a_throttled_channel_rests_and_at_which_rate_it_goes_on(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=429, retry_after=100),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, _), Shop(relay.public_url) as shop:
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: bool(relay.happenings.of(ChannelThrottled)))
        said = await Desk(relay, shop, tmp_path).command("status")

    assert "main (async): resting" in said.out
    assert re.search(
        r"resting for \d+ (s|min) more: 429 api\.errors\.unknown: A fault on request\. Goes on by itself; at once: "
        r"order-relay resume main \(runbook: channel-throttled\)",
        flat(said.out),
    )
    assert "500 of 1000 requests/s" in said.out


async def test_status_says_since_when_a_channel_fails_and_what_is_tried_again(tmp_path: Path) -> None:
    channels = {"main": {"async_url": NOWHERE + ASYNC_PATH}}
    async with relay_running(tmp_path, channels=channels) as (relay, _), Shop(relay.public_url) as shop:
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: bool(relay.happenings.of(AttemptMade)))
        said = await Desk(relay, shop, tmp_path).command("status")

    assert re.search(
        r"failing since \S+ UTC: connect: .* \(\d+ attempts?\); all that waits will be sent", flat(said.out)
    )
    assert fits(said.out)


async def test_status_says_that_an_open_circuit_does_not_send_and_what_ends_it(tmp_path: Path) -> None:
    channels = {"main": {"async_url": NOWHERE + ASYNC_PATH, "breaker": {"failures": 1}}}
    async with relay_running(tmp_path, channels=channels) as (relay, _), Shop(relay.public_url) as shop:
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: bool(relay.happenings.of(CircuitMoved)))
        said = await Desk(relay, shop, tmp_path).command("status")

    assert "main (async): circuit open, not sending" in said.out
    assert "The latest: order-relay order '#1001'." in flat(said.out)
    assert flat(said.out).count("closes by itself when that is answered; at once: order-relay resume main") == 1
    assert "(runbook: circuit-open)" in flat(said.out)
    assert fits(said.out)


async def test_status_says_once_which_limit_is_reached_and_whom_that_concerns(tmp_path: Path) -> None:
    storefronts = {"shop": SHOP}
    channels = {"main": {"async_url": NOWHERE + ASYNC_PATH, "backlog_max": 1}}
    async with (
        relay_running(tmp_path, channels=channels, storefronts=storefronts) as (relay, _),
        Shop(relay.public_url) as shop,
    ):
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: bool(relay.happenings.of(DoorMoved)))
        said = flat((await Desk(relay, shop, tmp_path).command("status")).out)

    assert said.count("order waits for channel main") == 1
    assert "not ready: every storefront is refused 1 order waits for channel main, 1 may" in said
    assert "that is 100%; shop is refused (storefronts.shop.refuse_at; runbook: backlog-limit)" in said


async def test_status_as_json_is_what_the_api_says(desk: Desk) -> None:
    said = await desk.command("status", "--json")
    channel = json.loads(said.out)["channels"]["main"]

    assert said.code == 0
    assert (channel["orders"]["sent"], channel["orders"]["dead"]) == (1, 1)


@pytest.mark.parametrize("reference", ["#1001", "1001"])
async def test_order_shows_one_timeline_that_fits_80_columns(desk: Desk, reference: str) -> None:
    said = await desk.command("order", reference)

    assert said.code == 0
    assert fits(said.out)
    assert "…" not in said.out
    assert re.match(
        r"#1001 of shop, id 1001\nDelivered at \d\d:\d\d:\d\d UTC: Jetti has revision 2, the newest\.\n", said.out
    )
    assert [said.out.count(word) for word in ("orders/create", "attempt", "sent 200")] == [2, 2, 2]


async def test_order_numbers_the_events_so_that_another_row_can_name_one(desk: Desk) -> None:
    for _ in range(2):
        await desk.shop.send(shopify_order(1002), webhook_id="the-same")
    found = flat((await desk.command("order", "1002")).out)
    number = re.search(r"the same webhook as event (\d+)", found)

    assert number is not None
    assert re.search(rf" {number[1]} orders/create \d ", found)


async def test_order_says_the_cause_of_its_place_first_and_every_time_in_one_form(desk: Desk) -> None:
    said = flat((await desk.command("order", "1002")).out)

    assert re.match(r"#1002 of shop, id 1002 Needs a person since \d\d:\d\d:\d\d UTC: 422 api.errors.unknown: ", said)
    assert "A fault on request. Once it is mended: order-relay dead replay '#1002' when" in said
    assert said.partition("Jetti answered")[0].partition(" when ")[2].count("A fault on request") == 1
    assert not re.search(r"\d{4}-\d\d-\d\dT", said)


# -- dead letters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "channel", "begins", "ends"),
    [
        ("http_503", "gave up after 9 attempts; …", "main", "Jetti did not take it for too long", "dead replay 1001"),
        ("http_503", "gave up after 9 attempts; …", "fetch:shop", "The storefront's API did not give", "replay 1001"),
        ("http_503", "gave up after 9 attempts; …", "cancel:main", "It is delivered and should be cancelled", "1001"),
        ("http_422", "no", "main", "Jetti refuses what the order says", "order-relay dead replay 1001"),
        ("http_400", "no", "fetch:shop", "The storefront's API refuses", "order-relay dead replay 1001"),
        ("http_409", "no", "cancel:main", "It is delivered and should be cancelled, but Jetti refuses", "discard 1001"),
        ("sale_not_found", "gave up after 9 attempts; …", "cancel:main", "It is delivered", "dead replay 1001"),
        ("no_order", "", None, "No order can be read", "order-relay dead replay 1001"),
    ],
)  # fmt: skip
def test_the_next_step_speaks_of_what_its_channel_does(
    code: str, message: str, channel: str | None, begins: str, ends: str
) -> None:
    said = next_step(code, message, channel, "1001")
    assert said.startswith(begins)
    assert said.partition(", or: ")[0].endswith(ends)


async def test_dead_list_shows_causes_first_with_what_to_do_and_then_what_needs_a_person(desk: Desk) -> None:
    await desk.shop.send(b"[]")
    await desk.shop.send(shopify_order(1004, line_items=None))
    await desk.relay.happenings.until(lambda: bool(desk.relay.happenings.of(EventFound)))
    said = await desk.command("dead", "list")
    status = await desk.command("status")
    found = flat(said.out)

    assert (said.code, fits(said.out)) == (0, True)
    assert re.search(r"count cause channel storefront since \(UTC\) ─+ 1 api\.errors\.unknown main shop \d\d-", found)
    assert "1 × api.errors.unknown: Jetti refuses what the order says." in found
    assert "then: order-relay dead replay --code api.errors.unknown" in found
    assert "1 × no_order: No order can be read from it: take include_fields off" in found
    assert "1 × unmappable: No sale can be made of it" in found
    assert re.search(r"\d\d-\d\d \d\d:\d\d:\d\d event:\d+ shop not an order", found)
    assert re.search(r"\d\d-\d\d \d\d:\d\d:\d\d #1002 shop 422 api.errors.unknown: A fault on request", found)
    assert "1 event from which no order could be read; see: order-relay dead list" in status.out


async def test_dead_list_is_as_long_as_it_may_be_and_json_for_programs(desk: Desk) -> None:
    await desk.shop.send(b"[]")
    one = await desk.command("dead", "list", "--limit", "1")
    every = json.loads((await desk.command("dead", "list", "--json")).out)

    assert "These are the newest 1" in one.out
    assert "#1002" not in one.out
    assert [letter.get("external_id") for letter in every["dead_letters"]] == [None, "1002"]
    assert {group["code"] for group in every["groups"]} == {"no_order", "api.errors.unknown"}


async def test_dead_list_is_narrowed_by_cause_channel_storefront_and_time(desk: Desk) -> None:
    await desk.shop.send(b"[]")
    found = {}
    for words in (
        ("--code", "no_order"), ("--channel", "main"), ("--storefront", "till"), ("--since", "1h"),
        ("--since", "2999-01-01T00:00"), ("--groups",),
    ):  # fmt: skip
        said = await desk.command("dead", "list", *words, "--json")
        found[words[-1]] = len(json.loads(said.out).get("dead_letters", ()))

    assert found == {"no_order": 1, "main": 1, "till": 0, "1h": 2, "2999-01-01T00:00": 0, "--groups": 0}


async def test_dead_list_says_when_there_is_nothing(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, _), Shop(relay.public_url) as shop:
        said = await Desk(relay, shop, tmp_path).command("dead", "list")

    assert (said.code, said.out) == (0, "no dead letters\n")


async def test_dead_show_has_the_cause_and_what_jetti_answered_and_the_content_only_when_asked(desk: Desk) -> None:
    plain = await desk.command("dead", "show", "1002")
    raw = await desk.command("dead", "show", "#1002", "--raw")

    assert (plain.code, fits(plain.out)) == (0, True)
    assert "refused 422, Jetti answered:\n  {\n    " in plain.out
    assert flat(plain.out).count("A fault on request") == 3  # where it is, of the attempt, and in what Jetti answered
    assert flat(plain.out).endswith(
        "then: order-relay dead replay '#1002', or: order-relay dead discard '#1002' --why …"
    )
    assert without(PERSONAL, plain.out)
    assert "Ledger Lane" in raw.out
    assert '"externalId": "1002"' in raw.out


async def test_dead_show_of_an_event_has_its_reasons(desk: Desk) -> None:
    await desk.shop.send(b"[]")
    (event,) = (await fetched(desk.relay.private_url + "/api/dead-letters?code=no_order")).json["dead_letters"]
    said = await desk.command("dead", "show", f"event:{event['event']}", "--raw")

    assert said.out.startswith(f"event:{event['event']} of shop, topic orders/create\nbody: not an order")
    assert "body\n[]\n" in said.out
    assert f"order-relay dead replay event:{event['event']}, or: order-relay dead discard event:" in flat(said.out)


async def test_dead_show_says_the_reasons_of_an_order_once(desk: Desk) -> None:
    await desk.shop.send(shopify_order(1004, line_items=None))
    await desk.relay.happenings.until(lambda: bool(desk.relay.happenings.of(EventFound)))
    said = flat((await desk.command("dead", "show", "1004")).out)

    assert said.count("the webhook is trimmed") == 1
    assert "UTC: unmappable: /line_items: the webhook is trimmed" in said


async def test_an_event_is_looked_at_and_when_it_still_is_no_order_said_so(desk: Desk) -> None:
    await desk.shop.send(b"[]")
    (event,) = (await fetched(desk.relay.private_url + "/api/dead-letters?code=no_order")).json["dead_letters"]
    name = f"event:{event['event']}"
    looked = await desk.command("order", name)
    replayed = await desk.command("dead", "replay", name)
    every = await desk.command("dead", "replay", "--code", "no_order", "--yes")
    discarded = await desk.command("dead", "discard", name, "#1002", "--why", "x")
    again = await desk.command("dead", "replay", name)

    assert (looked.code, looked.out.startswith(f"{name} of shop")) == (0, True)
    assert (replayed.code, replayed.out) == (1, "")
    assert flat(replayed.err).startswith(f"error: {name}: still no order can be read from it: not an order: ")
    assert flat(replayed.err).endswith(f"order-relay dead discard {name} --why …")
    assert (every.code, every.out.splitlines()[0]) == (1, "replayed none")
    assert flat(discarded.out) == (
        "2 dead letters discarded; a change of mind: order-relay dead replay '#1002'. "
        "An event that is discarded cannot be taken back"
    )
    assert again.code == 1
    assert flat(again.err).startswith(f"error: {name} is no dead letter: an order was read from it, it was discarded")


async def test_an_order_may_be_named_by_its_number(desk: Desk) -> None:
    said = await desk.command("order", "order:1")

    assert said.out.startswith("#1001 of shop")


@pytest.mark.parametrize(("option", "there"), [("--channel", "main"), ("--storefront", "shop, till")])
async def test_dead_list_of_what_is_not_there_says_what_is(desk: Desk, option: str, there: str) -> None:
    said = await desk.command("dead", "list", option, "nix")

    assert (said.code, said.err) == (1, f"error: no {option[2:]} 'nix'; there are: {there}\n")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("#1001", "#1001 is no dead letter: #1001 of shop is delivered"),
        ("#4711", "no order '#4711'"),
        ("event:1", "event:1 is no dead letter"),
        ("order:99", "there is no order:99"),
    ],
)
@pytest.mark.parametrize("command", ["show", "replay", "discard"])
async def test_what_is_no_dead_letter_is_neither_shown_replayed_nor_discarded(
    desk: Desk, command: str, reference: str, words: str
) -> None:
    more = ("--why", "x") if command == "discard" else ()
    said = await desk.command("dead", command, reference, *more)

    assert (said.code, said.out) == (1, "")
    assert words in flat(said.err)
    assert "/api/" not in said.err


async def test_a_reference_that_may_be_several_orders_is_refused_with_the_list(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=422),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, _), Shop(relay.public_url) as shop:
        desk = Desk(relay, shop, tmp_path)
        for number in (1, 2):
            await shop.send(shopify_order(number, name="#1001"))
        await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) == 2)
        refused = await desk.command("dead", "discard", "#1001", "--why", "x")
        done = await desk.command("dead", "discard", "order:2", "--why", "x")

    assert refused.code == 1
    assert "#1001 may be any of 2 orders. Say which:" in refused.err
    assert set(re.findall(r"order:(\d)", refused.err)) == {"1", "2"}
    assert done.code == 0


async def test_a_dead_letter_that_is_replayed_is_delivered_once_its_cause_is_mended(tmp_path: Path) -> None:
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=422, count=1),))
    async with relay_running(tmp_path, jetti=jetti) as (relay, running), Shop(relay.public_url) as shop:
        desk = Desk(relay, shop, tmp_path)
        await shop.send(shopify_order(1001))
        await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) == 1)
        said = await desk.command("dead", "replay", "#1001", "--by", "ada", "--why", "mended")
        await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) == 2)
        (deed,) = (await fetched(relay.private_url + "/api/deeds")).json["deeds"]

    assert (said.code, flat(said.out)) == (
        0, "1 dead letter on the way again, in lane replay: order-relay order REFERENCE",
    )  # fmt: skip
    assert running.account.sale("1001") is not None
    assert (deed["by"], deed["why"]) == ("ada", "mended")


@pytest.mark.parametrize("words", [("--code", "api.errors.unknown"), ("--channel", "main"), ("--all",)])
async def test_a_bulk_replay_is_watched_to_its_end(desk: Desk, words: tuple[str, ...]) -> None:
    said = await desk.command("dead", "replay", *words, "--yes")

    assert (said.code, said.out) == (0, "replayed 1 dead letter: they wait in lane replay, behind new orders\n")


async def test_a_bulk_replay_need_not_be_waited_for_and_is_json_for_programs(desk: Desk) -> None:
    begun = await desk.command("dead", "replay", "--all", "--yes", "--no-wait")
    await desk.relay.happenings.until(lambda: len(desk.relay.happenings.of(AttemptMade)) == 4)
    ended = json.loads((await desk.command("dead", "replay", "--all", "--yes", "--json")).out)["replay"]

    assert flat(begun.out).startswith("replay 1 of 1 dead letter has begun")
    assert (ended["id"], ended["revived"]) == (2, 1)
    assert ended["ended_at"] is not None


async def test_a_bulk_replay_is_not_begun_where_nobody_can_be_asked(desk: Desk) -> None:
    said = await desk.command("dead", "replay", "--all")

    assert (said.code, said.out) == (2, "")
    assert "add --yes" in flat(said.err)
    assert (await fetched(desk.relay.private_url + "/api/replays")).json["replays"] == []


@pytest.mark.parametrize(
    "words",
    [
        ("dead", "replay"), ("dead", "replay", "#1002", "--all"), ("dead", "replay", "#1002", "--code", "x"),
        ("dead", "replay", "--since", "yesterday"), ("dead", "discard", "#1002"), ("dead", "discard", "--why", "x"),
        ("dead", "discard", "#1002", "--why", " "), ("pause", "main"), ("pause", "main", "--why", ""), ("pause",),
        ("resume",), ("pause", "main", "--why", "x", "--by", " "), ("rate", "main"), ("rate", "main", "2"),
        ("rate", "main", "2", "--reset"), ("rate", "main", "2", "--why", " "), ("rate", "main", "fast", "--why", "x"),
        ("rate", "main", "2", "--why", "x", "--for", "soon"), ("rate", "main", "2", "--why", "x", "--for", "0m"),
        ("rate", "main", "--reset", "--for", "2h"), ("rate", "main", "-2", "--why", "x"),
    ],
)  # fmt: skip
async def test_what_is_not_said_clearly_is_not_done(desk: Desk, words: tuple[str, ...]) -> None:
    said = await desk.command(*words)

    assert (said.code, said.out) == (2, "")
    assert (await fetched(desk.relay.private_url + "/api/deeds")).json["deeds"] == []


async def test_a_selection_without_dead_letters_is_said(desk: Desk) -> None:
    said = await desk.command("dead", "replay", "--code", "other", "--yes")

    assert said.code == 1
    assert "no dead letter has code other" in flat(said.err)
    assert "Is that its private listener?" not in said.err


async def test_a_discarded_dead_letter_is_gone_from_the_list_and_says_who_and_why(desk: Desk) -> None:
    said = await desk.command("dead", "discard", "#1002", "--why", "entered by hand", "--by", "ada")
    left = await desk.command("dead", "list")
    order = await desk.command("order", "#1002")

    assert (said.code, left.out) == (0, "no dead letters\n")
    assert " UTC: by ada: entered by hand. when" in flat(order.out)


async def test_pause_and_resume_say_what_they_did_and_status_who_paused(desk: Desk) -> None:
    paused = await desk.command("pause", "main", "--why", "a [bold]migration", "--by", "ada")
    twice = await desk.command("pause", "main", "--why", "another", "--by", "bob")
    status = await desk.command("status")
    resumed = await desk.command("resume", "main")
    again = await desk.command("resume", "main", "--json")

    assert (paused.code, flat(paused.out)) == (0, "main is paused, and stays so until: order-relay resume main")
    assert twice.code == 1
    assert re.search(r"error: channel main is already paused by ada since \S+ \S+ UTC: a \[bold\]", flat(twice.err))
    assert "main (async): paused" in status.out
    assert re.search(
        r"paused by ada since \S+ UTC: a \[bold\]migration\. To go on: order-relay resume main \(runbook: "
        r"channel-paused\)",
        flat(status.out),
    )
    assert fits(status.out)
    assert (resumed.code, resumed.out.startswith("main is sending.")) == (0, True)
    assert (again.code, json.loads(again.out)["state"]) == (0, "sending")


async def test_rate_slows_a_channel_down_for_a_while_and_status_says_who_said_so(desk: Desk) -> None:
    slowed = await desk.command("rate", "main", "2.5", "--for", "30m", "--why", "Jetti asked for it.", "--by", "ann")
    status = await desk.command("status")
    faster = await desk.command("rate", "main", "1000", "--why", "x")
    reset = await desk.command("rate", "main", "--reset")
    again = await desk.command("rate", "main", "--reset")
    open_end = await desk.command("rate", "main", "5", "--why", "x", "--json")

    assert slowed.code == 0
    assert re.fullmatch(
        r"main is sent to at 2\.5 requests a second at the most until \S+ \d\d:\d\d UTC; "
        r"as before at once: order-relay rate main --reset",
        flat(slowed.out),
    )
    assert "main (async): sending" in status.out
    assert re.search(
        r"2\.5/s for now, by ann until [\d: -]+ UTC: Jetti asked for it\. As configured at once: order-relay rate main "
        r"--reset",
        flat(status.out),
    )
    assert "2.5 of 1000 requests/s" in status.out
    assert fits(status.out)
    assert (faster.code, "rate is 1000: name one from 0.01 to below 1000" in flat(faster.err)) == (1, True)
    assert (reset.code, flat(reset.out)) == (0, "main is sent to at 1000 requests a second again")
    assert (again.code, "no rate for now: nothing to take back" in flat(again.err)) == (1, True)
    assert json.loads(open_end.out)["rate_for_now"]["until"] is None


async def test_a_channel_that_is_not_there_is_refused_with_those_that_are(desk: Desk) -> None:
    for words in (("pause", "other", "--why", "x"), ("resume", "other/.."), ("rate", "other", "1", "--why", "x")):
        said = await desk.command(*words)
        assert (said.code, said.out) == (1, "")
        assert "no such channel; there are: main" in flat(said.err)


async def test_an_address_may_be_given_without_scheme(desk: Desk) -> None:
    bare = desk.relay.private_url.removeprefix("http://")
    said = await command("status", "--config", str(desk.folder / "relay.toml"), "--url", bare, folder=desk.folder)

    assert said.code == 0


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


async def test_the_public_listener_is_not_mistaken_for_the_private_one(desk: Desk) -> None:
    said = await command("status", "--url", desk.relay.public_url, folder=desk.folder)

    assert said.code == 1
    assert "Is that its private listener?" in flat(said.err)


# -- check -------------------------------------------------------------------------------------------------------------


async def test_check_says_ok_of_everything_it_looked_at(tmp_path: Path) -> None:
    async with sandbox(UNLIMITED) as jetti:
        config = str(written(tmp_path, tables_for(jetti.url, tmp_path)))
        text = await command("check", "--config", config, folder=tmp_path)
        found = await command("check", "--config", config, "--json", folder=tmp_path)
        assert jetti.journal.last_seq == 0  # it sent no sale

    assert (text.code, found.code) == (0, 0)
    marks = {(line.split()[0], line.split(": ")[0][5:]) for line in text.out.splitlines() if line[0] != " "}
    of_this_machine = {"store commits", "store folder", "memory", "processor"}  # may be slow, small, or forgetful
    assert {mark for mark, what in marks if what not in of_this_machine} == {"ok"}
    assert "can be reached; the hash is only tried by sending a sale" in flat(text.out)
    assert "404" not in text.out
    assert {finding["what"] for finding in json.loads(found.out)} - of_this_machine == {
        "configuration", "store", "disk", "open files", "channels.main", "clock",
    }  # fmt: skip
    assert not await asyncio.to_thread((tmp_path / "relay.db").exists)  # it left nothing behind
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


@pytest.mark.parametrize(("share", "code", "mark"), [(1.5, 1, "FAIL"), (0.75, 0, "warn"), (0.01, 0, "ok ")])
async def test_check_looks_at_the_room_on_the_disk(tmp_path: Path, share: float, code: int, mark: str) -> None:
    reserve = int(shutil.disk_usage(tmp_path).free * share)
    store = {"disk_free_min_bytes": reserve}
    async with sandbox(UNLIMITED) as jetti:
        config = str(written(tmp_path, tables_for(jetti.url, tmp_path, store=store)))
        said = await command("check", "--config", config, folder=tmp_path)

    assert said.code == code
    assert re.search(rf"^{mark} +disk: ", said.out, re.MULTILINE)
    assert "(store.disk_free_min_bytes)" in flat(said.out)


async def test_check_beside_the_relay_that_has_the_store_says_which_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as relay:
        said = await command("check", "--config", str(relay.config), folder=tmp_path)

    assert f"ok store: in use by a running relay (process {relay.pid} on {socket.gethostname()})" in flat(said.out)


async def test_check_warns_of_an_asynchronous_endpoint_that_is_not_where_jetti_documents_it(tmp_path: Path) -> None:
    async with sandbox(UNLIMITED) as jetti:
        tables = tables_for(jetti.url, tmp_path, channels={"main": {"async_url": f"{jetti.url}/elsewhere"}})
        config = str(written(tmp_path, tables))
        text = await command("check", "--config", config, folder=tmp_path)
        found = await command("check", "--config", config, "--json", folder=tmp_path)

    assert (text.code, found.code) == (0, 0)
    assert f"warn channels.main: async_url {jetti.url}/elsewhere can be reached, but Jetti's path is" in flat(text.out)
    assert [(f["what"], f["ok"]) for f in json.loads(found.out) if f["warning"]] == [("channels.main", True)]


async def test_check_says_that_a_channels_id_is_not_looked_up(tmp_path: Path) -> None:
    channel = {"mode": "sync", "token": UNLIMITED.token, "channel_id": 4711}
    async with sandbox(UNLIMITED) as jetti:
        config = str(written(tmp_path, tables_for(jetti.url, tmp_path, channels={"main": channel})))
        said = await command("check", "--config", config, folder=tmp_path)

    assert said.code == 0
    assert "channel_id 4711 is only tried by sending a sale" in flat(said.out)


# -- usage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [("serve", "--no-such"), ("nothing",), ("order",), ("order", ""), ("order", " "), ("sandbox", "--fault", "{}")],
)
async def test_wrong_usage_ends_with_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = await command(*words, folder=tmp_path)

    assert (said.code, said.out) == (2, "")
    assert "Traceback" not in said.err


@pytest.mark.parametrize("url", ["foo", "ftp://127.0.0.1:1", "http://", "http://[::1", "http://h:x", "http://u@h:1"])
async def test_what_is_no_address_to_ask_is_wrong_usage_and_told_the_right_form(tmp_path: Path, url: str) -> None:
    said = await command("status", "--url", url, folder=tmp_path)

    assert (said.code, said.out) == (2, "")
    assert "write http://127.0.0.1:9090" in flat(said.err.replace("│", ""))
    assert "Traceback" not in said.err


@pytest.mark.parametrize("listen", ["foo", "8090", ":8090", "127.0.0.1:99999"])
async def test_what_is_no_address_to_listen_on_is_wrong_usage_and_told_the_right_form(
    tmp_path: Path, listen: str
) -> None:
    said = await command("sandbox", "--listen", listen, folder=tmp_path)

    assert (said.code, said.out) == (2, "")
    assert '"127.0.0.1:9090"' in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does_and_gives_an_example(name: str) -> None:
    known = COMMANDS[name]

    assert known.help
    assert (known.epilog or "").startswith(f"Example: order-relay {name}")


async def test_help_is_shown_and_ends_with_0(tmp_path: Path) -> None:
    said = await command("serve", "-h", folder=tmp_path)

    assert said.code == 0
    assert "Example: order-relay serve" in said.out


@pytest.mark.parametrize("name", ["", *sorted(COMMANDS)])
async def test_help_calls_no_flag_a_value_and_an_argument_by_its_name(tmp_path: Path, name: str) -> None:
    said = await command(*name.split(), "--help", folder=tmp_path)

    assert (said.code, fits(said.out)) == (0, True)
    assert "<bool>" not in said.out
    assert name != "order" or "order [OPTIONS] REFERENCE" in said.out


async def test_version_is_name_and_version(tmp_path: Path) -> None:
    said = await command("--version", folder=tmp_path)

    assert (said.code, said.out, said.err) == (0, f"order-relay {VERSION}\n", "")


async def test_the_sandbox_says_where_it_listens(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *_python("-m", "relay", "sandbox", "--listen=127.0.0.1:0", "--channel-id=7", "--sync-rate=0", "--json"),
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=clean_environ(),
    )  # fmt: skip
    assert process.stdout is not None
    url = json.loads(await process.stdout.readline())["sandbox"]
    status = (await fetched(url + "/sandbox/state")).status
    bearer = {"Authorization": "Bearer sandbox-token", "Content-Type": "application/json"}
    posted = [
        await _posted(f"{url}/api/channels/{number}/manual-sale.json", manual_sale(1), bearer) for number in (7, 1)
    ]
    process.terminate()
    await process.communicate()

    assert (status, posted, process.returncode) == (200, [200, 404], 0)


async def _posted(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as client, client.post(url, data=body, headers=headers) as response:
        return response.status


# -- documents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_each_of_its_options_is_documented(name: str) -> None:
    text = REFERENCE.read_text()
    section = text.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
    options = {option for p in COMMANDS[name].params for option in p.opts if option.startswith("--")} - {"--help"}

    assert section, f"docs/reference/command-line.md has no section `{name}`"
    assert {option for option in options if f"`{option}`" not in section} == set()


def test_no_command_is_documented_that_is_not_there() -> None:
    assert re.findall(r"^## `([\w ]+)`$", REFERENCE.read_text(), re.MULTILINE) == list(COMMANDS)
