"""Every command there is, held against what all of them promise: the next one cannot forget it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import split

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from relay.cli import app, finding
from relay.cli.asking import Desk as Asking
from relay.clock import SystemClock
from relay.core.events import AttemptMade, EventFound
from relay.core.search import email_hash
from relay.sandbox import Fault, SandboxSettings
from tests.fakes import Shop, shopify_order
from tests.running import SHOP, TILL, Finished, RunningRelay, command, relay_running, tables_for, written

GROUP = typer.main.get_group(app)
COMMANDS = {
    f"{name} {below}".strip(): known
    for name, found in GROUP.commands.items()
    for below, known in (found.commands.items() if isinstance(found, TyperGroup) else (("", found),))
}
WITHOUT_JSON = {"demo"}
"""It is a story for a person."""
ASKING = sorted(
    name for name, known in COMMANDS.items() if "--url" in {option for p in known.params for option in p.opts}
)
"""Those that ask a relay that runs. The others open something themselves, and have tests of their own."""
NOWHERE = "http://127.0.0.1:9"
EMAIL = "buyer@example.com"
PLAIN = {"NO_COLOR": "1"}
CHANGES_FIRST: Mapping[str, str] = {
    "resume": "pause main --why test",
    "replays": "dead replay --all --yes",
    "dead discard": "held discard '#1001' --why test",
}
"""What is done before an example, so that there is something to do it to."""
NOTHING_TO_DO = {
    "dead replay": "no dead letter has code unmappable",
    "dead show": "is no dead letter",
    "dead discard": "is no dead letter",
    "replays": "no such replay",
    "resend": "is held",
}
"""Examples whose order is not there in such a state, and what is said of it."""


def fits(text: str) -> bool:
    return all(len(line) <= 80 for line in text.splitlines())


def here(*words: str) -> Finished:
    """The same in this process, where nothing else is to be seen: it takes a hundredth of the time."""
    done = CliRunner().invoke(app, words, env={**PLAIN, "COLUMNS": "80"}, prog_name="order-relay")
    return Finished(done.exit_code, done.stdout, done.stderr)


def flat(text: str) -> str:
    return " ".join(text.replace("│", "").split())


def example_of(name: str) -> list[str]:
    return split((COMMANDS[name].epilog or "").removeprefix("Example: order-relay "))


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a new user sits: a pipe, 80 columns, no colours."""

    relay: RunningRelay
    shop: Shop
    folder: Path

    async def command(self, *words: str) -> Finished:
        at = ("--config", str(self.folder / "relay.toml"), "--url", self.relay.private_url)
        return await command(*words, *at, folder=self.folder, environ=PLAIN)


@asynccontextmanager
async def sitting(folder: Path) -> AsyncIterator[Desk]:
    """A relay with an order that is held (#1001), a dead one, a delivered one, and an event without an order."""
    jetti = SandboxSettings(async_rate=None, faults=(Fault(status=422, external_id="1002"),))
    storefronts = {"shop": {**SHOP, "accept_when": "financial_status == 'paid'"}, "till": TILL}
    async with (
        relay_running(folder, jetti=jetti, storefronts=storefronts) as (relay, _),
        Shop(relay.public_url) as shop,
    ):
        await shop.send(shopify_order(1001, financial_status="pending"))
        for number in (1002, 1003):
            await shop.send(shopify_order(number, email=EMAIL))
        await shop.send(b"[]")
        await relay.happenings.until(
            lambda: len(relay.happenings.of(AttemptMade)) == 2 and len(relay.happenings.of(EventFound)) >= 1
        )
        yield Desk(relay, shop, folder)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with sitting(tmp_path) as here:
        yield here


# -- all of them -------------------------------------------------------------------------------------------------------


async def test_help_fits_80_columns_in_a_pipe(tmp_path: Path) -> None:
    said = await command("--help", folder=tmp_path, environ=PLAIN)

    assert (said.code, said.err, fits(said.out), "\x1b" in said.out) == (0, "", True, False)
    assert "[[" not in said.out


@pytest.mark.parametrize("name", ["dead", "held", *sorted(COMMANDS)])
def test_help_fits_80_columns_and_gives_an_example(name: str) -> None:
    said = here(*name.split(), "--help")

    assert (said.code, said.err, fits(said.out), "\x1b" in said.out) == (0, "", True, False)
    assert name not in COMMANDS or f"Example: order-relay {name}" in said.out
    assert "[[" not in said.out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_there_is_json_for_programs(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}

    assert ("--json" in options) == (name not in WITHOUT_JSON)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_an_option_that_is_not_there_is_wrong_usage(name: str) -> None:
    said = here(*name.split(), "--no-such-option")

    assert (said.code, said.out, fits(said.err)) == (2, "", True)
    assert "--no-such-option" in said.err
    assert "Traceback" not in said.err


# -- those that ask a relay --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ASKING)
async def test_where_no_relay_answers_it_says_what_to_look_at(tmp_path: Path, name: str) -> None:
    config = str(written(tmp_path, tables_for(NOWHERE, tmp_path)))
    said = await command(*example_of(name), "--config", config, "--url", NOWHERE, folder=tmp_path)

    if name == "dead replay":  # asks a person first, and there is none
        said = await command(*example_of(name), "--yes", "--config", config, "--url", NOWHERE, folder=tmp_path)
    assert (said.code, said.out, fits(said.err)) == (1, "", True)
    assert flat(said.err).startswith(f"error: no relay answers at {NOWHERE}: ")
    assert "Is it running, and is --url right?" in flat(said.err)


@pytest.mark.parametrize("name", ASKING)
async def test_its_example_works_as_text_and_as_json(tmp_path: Path, name: str) -> None:
    said = {}
    for form in ((), ("--json",)):
        folder = tmp_path / f"as{''.join(form)}"
        folder.mkdir()
        async with sitting(folder) as desk:
            if name in CHANGES_FIRST:
                assert (await desk.command(*split(CHANGES_FIRST[name]))).code == 0
            words = [word for word in example_of(name) if word not in {"--watch", "--follow"}]
            yes = ["--yes"] if name == "dead replay" else []
            said[form] = await desk.command(*words, *yes, *form)

    for each in said.values():
        assert "\x1b" not in each.out + each.err
        assert "Traceback" not in each.err
        if name in NOTHING_TO_DO:
            assert (each.code, each.out) == (1, "")
            assert each.err.startswith("error: ")
            assert NOTHING_TO_DO[name] in flat(each.err)
        else:
            assert (each.code, each.err, each.out != "") == (0, "", True)
    assert fits(said[()].out + said[()].err)
    if name not in NOTHING_TO_DO:
        json.loads(said["--json",].out)


# -- orders, events, storefronts ---------------------------------------------------------------------------------------


async def names(desk: Desk, *words: str) -> list[str]:
    said = await desk.command("orders", *words, "--json")
    assert said.code == 0, said.err
    return [order["external_id"] for order in json.loads(said.out)["orders"]]


async def test_orders_are_found_by_how_they_begin_by_who_bought_and_by_state(desk: Desk) -> None:
    assert await names(desk) == ["1003", "1002", "1001"]
    assert await names(desk, "#100") == ["1003", "1002", "1001"]
    assert await names(desk, "1002") == ["1002"]
    assert await names(desk, "--email", f" {EMAIL.upper()}", "--state", "dead") == ["1002"]
    assert await names(desk, "--state", "held", "--storefront", "shop", "--channel", "main") == ["1001"]
    assert await names(desk, "9") == []
    text = await desk.command("orders", "100")
    assert (text.code, fits(text.out)) == (0, True)
    assert re.search(r"#1003 +shop +Delivered at ", text.out)
    assert "no such order" in (await desk.command("orders", "9")).out


async def test_an_address_is_asked_for_by_its_hash_and_not_told_to_the_relay(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(_: object, path: str, member: str) -> dict[str, object]:
        asked.append(path)
        return {member: [], "next": None}

    monkeypatch.setattr(Asking, "ask", ask)
    monkeypatch.setattr(finding, "know", lambda *_: None)
    finding.orders(email=EMAIL, as_json=True)
    assert asked == [f"/api/orders?limit=20&email_hash={email_hash(EMAIL).hex()}"]
    assert await names(desk, "--email", EMAIL) == ["1003", "1002"]


async def test_lists_go_on_over_pages_and_say_when_there_are_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_PAGE_MAX", {"orders": 1, "events": 1, "deeds": 1})
    where = Asking(desk.folder / "relay.toml", desk.relay.private_url)

    async def found(member: str, limit: int) -> tuple[int, bool]:
        whole = await asyncio.to_thread(finding.paged, where, member, limit)
        return len(whole[member]), whole["next"] is None

    assert [await found("orders", limit) for limit in (2, 3, 9)] == [(2, False), (3, True), (3, True)]
    assert await found("events", 9) == (4, True)
    more = await desk.command("orders", "--limit", "2")
    assert "These are the newest 2; --limit shows more." in more.out
    assert "--limit" not in (await desk.command("orders")).out


async def test_events_are_found_by_order_storefront_time_and_what_became_of_them(desk: Desk) -> None:
    async def found(*words: str) -> list[int]:
        said = await desk.command("events", *words, "--json")
        assert said.code == 0, said.err
        return [event["event"] for event in json.loads(said.out)["events"]]

    assert await found() == [4, 3, 2, 1]
    assert await found("--order", "1002") == [2]
    assert await found("--disposition", "quarantined") == [4]
    assert await found("--storefront", "till") == []
    assert await found("--since", "1h", "--until", "2999-01-01T00:00", "--limit", "1") == [4]
    assert await found("--until", "1h") == []
    text = await desk.command("events")
    assert (text.code, fits(text.out)) == (0, True)
    assert re.search(r"\b2 +shop +orders/create +#1002 +1 +dead\b", text.out)
    assert re.search(r"\b4 +shop +orders/create +quarantined\b", text.out)


async def test_storefronts_say_what_came_and_what_is_held(desk: Desk) -> None:
    said = await desk.command("storefronts")

    assert (said.code, fits(said.out)) == (0, True)
    assert re.search(r"shop +shopify +main +\d\d-\d\d \d\d:\d\d:\d\d +4 +0 +1", said.out)
    assert re.search(r"till +native +main +never +0 +0 +0", said.out)
    assert "shop: 1 order held until financial_status == 'paid'; see: order-relay held list" in flat(said.out)


@pytest.mark.parametrize(
    ("words", "code", "remedy"),
    [
        ("orders --email jo", 2, "expected a whole e-mail address, such as jo@example.com"),
        ("orders --state lost", 2, "'waiting', 'sleeping', 'held', 'sent'"),
        ("orders ' '", 2, "say how it begins"),
        ("orders --limit 0", 2, "greater than or equal to 1"),
        ("orders --channel mian", 1, "there are: main"),
        ("orders --storefront shpo", 1, "there are: shop, till"),
        ("events --since yesterday", 2, "write 2h, or 2026-11-21T19:00 (UTC)"),
        ("events --since 1h --until 2h", 2, "nothing is between them"),
        ("events --order 99", 1, "no order '99'"),
        ("audit --order 99", 1, "no order '99'"),
        ("resend 1003", 2, "Missing option '--why'"),
        ("resend 1003 --why ' '", 2, "say why"),
        ("resend ' ' --why x", 2, "say which order"),
        ("resend 99 --why x", 1, "no order '99'"),
        ("resend 1001 --why x", 1, "order-relay held release '#1001' --why …"),
        ("order 1003 --watch --interval 0", 2, "0"),
        ("order 99 --watch", 1, "no order '99'"),
    ],
)  # fmt: skip
async def test_what_is_asked_wrongly_is_said_with_the_remedy(desk: Desk, words: str, code: int, remedy: str) -> None:
    said = await desk.command(*split(words))

    assert (said.code, said.out) == (code, "")
    assert remedy in flat(said.err)
    assert fits(said.err)


# -- resend, order --watch, audit --------------------------------------------------------------------------------------


async def test_an_order_is_sent_again_watched_until_it_is_there_and_on_record(desk: Desk) -> None:
    said = await desk.command("resend", "1003", "--why", "deleted by mistake", "--by", "ada")
    watched = await desk.command("order", "1003", "--watch", "--interval", "0.2")
    audit = await desk.command("audit", "--order", "1003")
    other = await desk.command("audit", "--order", "1002")
    again = await desk.command("resend", "1003", "--why", "once more", "--by", "ada", "--json")

    assert (said.code, said.err) == (0, "")
    assert flat(said.out) == "#1003 is on its way again, in lane replay: order-relay order '#1003' --watch"
    assert (watched.code, fits(watched.out)) == (0, True)
    assert "Delivered at " in watched.out
    assert re.search(r"resend +by ada +deleted by", watched.out)
    assert re.search(r"ada +resend +order:3 +deleted by mistake", audit.out)
    assert "nobody has done anything to 1002" in other.out
    assert json.loads(again.out)["order"]["external_id"] == "1003"


async def test_watching_a_dead_letter_ends_with_1_and_says_what_to_do(desk: Desk) -> None:
    text = await desk.command("order", "1002", "--watch")
    found = await desk.command("order", "1002", "--watch", "--json")

    assert (text.code, text.err, fits(text.out)) == (1, "", True)
    assert text.out.count("Once it is mended: order-relay dead replay '#1002'") == 1
    assert (found.code, json.loads(found.out)["where"]["place"]) == (1, "dead")


async def test_watching_a_held_order_goes_on_until_it_is_delivered(desk: Desk) -> None:
    watching = asyncio.ensure_future(desk.command("order", "1001", "--watch", "--interval", "0.2"))
    await SystemClock().sleep(2)  # the command starts in a process of its own
    waited = not watching.done()
    await desk.shop.send(shopify_order(1001, 1, financial_status="paid"), topic="orders/paid")
    said = await watching

    assert (waited, said.code) == (True, 0)
    assert said.out.index("Held since") < said.out.index("Delivered at ")
    assert said.out.count("Held since") == 1, "what does not change is said once"


async def test_the_audit_names_the_token(tmp_path: Path) -> None:
    tokens = {"console": {"token": "token-of-the-console-1"}}
    async with relay_running(tmp_path, private={"tokens": tokens}) as (relay, _), Shop(relay.public_url) as shop:
        desk = Desk(relay, shop, tmp_path)
        await desk.command("pause", "main", "--why", "test", "--by", "ada")
        said = await desk.command("audit")

    assert (said.code, fits(said.out)) == (0, True)
    assert "ada (token console)" in said.out


async def test_dead_list_names_the_selection_it_was_asked_for_in_what_to_do(desk: Desk) -> None:
    every = await desk.command("dead", "list", "--groups")
    some = await desk.command("dead", "list", "--groups", "--channel", "main", "--storefront", "shop")

    assert "dead replay --code api.errors.unknown " in flat(every.out) + " "
    assert "dead replay --code api.errors.unknown --channel main --storefront shop" in flat(some.out)
