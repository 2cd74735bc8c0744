"""The documentation is true: its links resolve, its configurations load, its commands exist, and its tutorial runs."""

import asyncio
import dataclasses
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import typer
from typer.core import TyperGroup

from relay import config
from relay.app import maker_of
from relay.cli import app
from relay.clock import SystemClock
from relay.config import Settings, keys
from relay.core.delivery import State
from relay.core.mapping import Made
from relay.core.order import Disposition
from relay.core.outcome import NAMES as OUTCOMES
from relay.core.recipe import compile_criterion
from relay.core.recipe import document as documents
from relay.core.recipe.evaluation import Evaluation
from relay.core.recipe.expression import compiled
from relay.core.recipe.functions import FUNCTIONS
from relay.observe.pages import Page
from relay.sandbox import Endpoint, Fault, Outcome, SandboxSettings, sandbox
from tests import builders as orders
from tests import diagram
from tests.fakes import fetched, manual_sale
from tests.prometheus import alerts

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
STATES = ROOT / "docs/reference/states.md"
TUTORIAL = ROOT / "docs/tutorial/first-order.md"
OWN_ORDERS = ROOT / "docs/how-to/send-your-own-orders.md"
SANDBOX = ROOT / "docs/reference/sandbox.md"
METRICS = ROOT / "docs/reference/metrics.md"
MAPPING = ROOT / "docs/reference/mapping.md"
OWN_CHECKOUT = ROOT / "docs/how-to/connect-your-own-checkout.md"
STANDARD = ROOT / "docs/how-to/connect-with-standard-webhooks.md"
HOLDING = ROOT / "docs/how-to/hold-unpaid-orders.md"
OWN_KIND = ROOT / "docs/how-to/add-a-kind-of-storefront.md"
RUNBOOK = ROOT / "docs/how-to/runbook"


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, without the indentation of the list they stand in."""
    found = []
    for indent, language, text in re.findall(r"(?ms)^( *)```(\S.*?)\n(.*?)^ *```$", page.read_text()):
        found.append(Block(language, "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))))
    return found


def prose(page: Path) -> str:
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())


# ---- links ---------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """GitHub's names of a page's headings."""
    headings = re.findall(r"(?m)^#+ (.*)$", prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_resolves(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []


# ---- configurations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_configuration_shown_can_be_used(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.language != "toml":
            continue
        text = block.text
        for secret in re.findall(r'"(/run/secrets/[^"]+)"', text):
            (tmp_path / "secret").write_text("c0ffee00c0ffee00\n")  # also is base64, and hexadecimal
            text = text.replace(secret, str(tmp_path / "secret"))
        tables = tomllib.loads(text)
        kinds = {storefront.get("kind") for storefront in tables.get("storefronts", {}).values()}
        if {"channels", "storefronts"} <= tables.keys() and "acme" not in kinds:  # acme: installed by a test of its own
            Path("config.toml").write_text(text)
            config.load(Path("config.toml"), {}).for_serving()


# ---- commands ------------------------------------------------------------------------------------------------------


def commands_shown(page: Path) -> Iterator[list[str]]:
    """What follows ``order-relay`` on a command line, in blocks and in running text."""
    lines = [line for block in blocks(page) if block.language.split()[0] == "sh" for line in
             block.text.replace("\\\n", " ").splitlines()]  # fmt: skip
    lines += re.findall(r"`([^`\n]*order-relay [^`\n]*)`", prose(page))
    for line in lines:
        with_commands = re.findall(r"(?:^|(?<=[\s/;&|(]))order-relay(?: [^;|&>)]*)", line)
        if "--tag order-relay" in line:
            continue
        for command in with_commands:
            yield shlex.split(command, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for words in commands_shown(page):
        if not words or words[0].startswith("-"):
            known = {option for parameter in group.params for option in parameter.opts} | {"--help", "-h"}
            assert set(words) <= known, words
            continue
        command = group.commands.get(words[0])
        if isinstance(command, TyperGroup) and len(words) > 1:
            command = command.commands.get(words[1])
        assert command is not None, f"order-relay {words[0]}"
        options = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
        used = {word.partition("=")[0] for word in words[1:] if word.startswith("-")}
        assert used <= options, f"order-relay {shlex.join(words)}"


def test_the_readme_names_every_make_target_that_exists_only() -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    for page in PAGES:
        assert set(re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= targets, named(page)


# ---- states --------------------------------------------------------------------------------------------------------


def test_the_state_diagram_is_the_one_that_the_stores_obey() -> None:
    shown, _ = [block.text for block in blocks(STATES) if block.language == "mermaid"]
    assert shown == diagram.of_states(), "put what `python tests/diagram.py` prints into docs/reference/states.md"


def test_the_circuit_diagram_is_the_one_that_the_channels_obey() -> None:
    _, shown = [block.text for block in blocks(STATES) if block.language == "mermaid"]
    assert shown == diagram.of_circuit(), "put what `python tests/diagram.py` prints into docs/reference/states.md"


def test_every_disposition_state_and_outcome_is_explained() -> None:
    rows = {word for row in re.findall(r"(?m)^\| ((?:`\w+`(?:, )?)+) \|", STATES.read_text()) for word in
            re.findall(r"`(\w+)`", row)}  # fmt: skip
    assert {*Disposition, *State, *OUTCOMES, "handed_back"} - rows == set()


# ---- the sandbox ---------------------------------------------------------------------------------------------------


def table(page: Path, after: str) -> list[list[str]]:
    """The cells of the first table after some words, without its head."""
    rows = re.search(r"(?m)(?:^\|.*\n)+", page.read_text().partition(after)[2])
    assert rows is not None, after
    return [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows[0].splitlines()[2:]]


def first_column(page: Path, after: str) -> list[str]:
    """The words in code in it."""
    return [word for row in table(page, after) for word in re.findall(r"`(\w+)`", row[0])]


def test_every_field_of_a_fault_is_explained_with_its_default() -> None:
    effects = first_column(SANDBOX, "one of these at least:")
    more = {row[0].strip("`"): row[2].strip("`") for row in table(SANDBOX, "More about it:")}
    assert sorted([*effects, *more]) == sorted(Fault.__struct_fields__)
    plain = Fault(status=500)
    for name, default in more.items():
        expected = {None: ("none", "no end", "any", "api.errors.unknown"), False: ("false",), 1.0: ("1",)}
        assert default in expected[getattr(plain, name)], name
    for effect in effects:
        value: object = {"drop": "before", "wrong_hash": True, "status": 500}.get(effect, 1.0)
        assert isinstance(msgspec.convert({effect: value}, Fault), Fault)  # is enough for one


def test_every_setting_of_the_sandbox_is_explained_and_its_options_are_the_commands() -> None:
    rows = table(SANDBOX, "relay.sandbox.SandboxSettings")
    assert sorted(row[0].strip("`") for row in rows) == sorted(f.name for f in dataclasses.fields(SandboxSettings))
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    options = {option for parameter in group.commands["sandbox"].params for option in parameter.opts}
    assert {row[1].strip("`") for row in rows} - {""} == options - {"--json"}


def test_the_outcomes_and_endpoints_of_the_sandbox_are_explained() -> None:
    words = set(re.findall(r"`\"?(\w+)\"?`", SANDBOX.read_text()))
    assert {*Outcome, *Endpoint} - words == set()


async def test_what_the_sandbox_says_it_has_seen_has_the_members_that_are_explained() -> None:
    async with sandbox(SandboxSettings()) as jetti, aiohttp.ClientSession() as client:
        headers = {"jetti-webhook-hash": "sandbox-hash", "Content-Type": "application/json"}
        url = f"{jetti.url}/webhooks/custom-channels/manual-sale.json"
        async with client.post(url, data=manual_sale(1), headers=headers) as answer:
            assert answer.status == 200
        state = (await fetched(f"{jetti.url}/sandbox/state")).json
        (request,) = (await fetched(f"{jetti.url}/sandbox/requests?payload=true")).json["requests"]
        (sale,) = (await fetched(f"{jetti.url}/sandbox/sales?payload=true")).json["sales"]
    assert sorted(first_column(SANDBOX, "`GET /sandbox/state`:")) == sorted(state)
    assert sorted(first_column(SANDBOX, "A row of `GET /sandbox/requests`:")) == sorted(request)
    assert sorted(first_column(SANDBOX, "A row of `GET /sandbox/sales`:")) == sorted(sale)


async def test_every_fault_shown_can_be_asked_for() -> None:
    shown = [body for page in PAGES for body in re.findall(r"--(?:data|fault) '([^']*(?:status|latency_s)[^']*)'",
             page.read_text())]  # fmt: skip
    assert len(shown) >= 3
    async with sandbox(SandboxSettings()) as jetti, aiohttp.ClientSession() as client:
        for body in shown:
            async with client.post(f"{jetti.url}/sandbox/faults", data=body) as answer:
                assert answer.status == 200, body


# ---- alerts --------------------------------------------------------------------------------------------------------


def test_the_table_of_the_alerts_is_what_the_rules_say() -> None:
    rows = [
        (name.strip("`"), severity, wait, re.findall(r"runbook/([a-z-]+)\.md", page))
        for name, severity, wait, _, page in table(METRICS, "## What to be woken by")
    ]
    assert rows == [(alert.name, alert.severity, alert.wait, [alert.page]) for alert in alerts()]


def test_every_alert_has_a_page_of_the_runbook_and_every_page_an_alert() -> None:
    assert {alert.page for alert in alerts()} == set(Page)


def test_every_metric_that_the_runbook_names_exists() -> None:
    documented = set(re.findall(r"(?m)^\| `(relay_\w+)` \|", METRICS.read_text()))
    named = {name for page in RUNBOOK.glob("*.md") for name in re.findall(r"\brelay_\w+", page.read_text())}
    assert named - documented == set()


def test_every_page_of_the_runbook_is_known_and_in_its_index() -> None:
    pages = {page.stem for page in RUNBOOK.glob("*.md")} - {"README"}
    assert pages == set(Page)
    assert set(re.findall(r"\(([a-z-]+)\.md\)", (RUNBOOK / "README.md").read_text())) == pages


@pytest.mark.parametrize("page", list(Page))
def test_a_page_of_the_runbook_says_what_it_means_how_to_see_it_what_to_do_and_when_to_worry(page: Page) -> None:
    text = (RUNBOOK / f"{page}.md").read_text()
    assert text.startswith(f"# {page}\n")
    assert re.findall(r"(?m)^## (.*)$", text) == [
        "What it means for orders", "How to see it", "What to do", "When to worry",
    ]  # fmt: skip


# ---- holding -------------------------------------------------------------------------------------------------------


def test_the_rules_that_hold_unpaid_orders_want_those_that_are_paid() -> None:
    found = [tomllib.loads(block.text) for block in blocks(HOLDING) if block.language == "toml"]
    rules = [storefront["accept_when"] for tables in found for storefront in tables["storefronts"].values()]
    paid = {"financial_status": "paid", "status": "processing", "order": {"status": "paid", "total": 5}}
    unpaid = {"financial_status": "pending", "status": "on-hold", "order": {"status": "pending", "total": 5}}
    assert len(rules) == 3
    for rule in rules:
        holds_for = compile_criterion(rule, "accept_when").holds_for
        assert [holds_for(documents.decoded(json.dumps(order).encode())) for order in (paid, unpaid)] == [True, False]


# ---- the mapping language ------------------------------------------------------------------------------------------

CHECKOUT: dict[str, Any] = {"kind": "hmac", "channel": "main", "secrets": ["s"]}


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(one)
    for key, value in other.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and key in both else value
    return both


def is_part_of(expected: object, found: object) -> bool:
    """Whether the one has all that the other shows of it."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(is_part_of(value, found.get(key)) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(is_part_of, expected, found))
    return expected == found


def test_every_expression_on_the_page_finds_what_it_says() -> None:
    order = documents.decoded(blocks(MAPPING)[0].text.encode())
    rows = table(MAPPING, "On this order")
    assert len(rows) > 10
    for row in re.findall(r"(?m)^\| `(.+)` \| `(.+)` \|$", MAPPING.read_text().partition("| finds |")[2])[: len(rows)]:
        expression, expected = row[0].replace("\\|", "|").replace("\\`", "`"), json.loads(row[1])
        assert Evaluation(order).of(compiled(expression), order) == expected, expression


def test_every_function_is_on_the_page() -> None:
    words = set(re.findall(r"`(\w+)[`(]", MAPPING.read_text())) | set(re.findall(r" `(\w+)\(", MAPPING.read_text()))
    assert set(FUNCTIONS) - words == set()


def test_every_mapping_shown_makes_what_is_shown_of_its_order() -> None:
    order, mapping, *rest = blocks(MAPPING)
    assert (order.language, mapping.language, rest[0].language) == ("json", "toml", "json")
    base = merged({"storefronts": {"checkout": CHECKOUT}}, tomllib.loads(mapping.text))
    channels = {"main": {"webhook_hash": "h"}}
    shown = [(mapping, rest[0])]
    for i, block in enumerate(rest[1:], 1):
        if block.language == "toml":
            shown.append((block, rest[i + 1] if rest[i + 1 : i + 2] and rest[i + 1].language == "json" else order))
    assert len(shown) == 8
    for toml, expected in shown:
        tables = merged(base, tomllib.loads(toml.text)) | {"channels": channels}
        settings = Settings.model_validate(tables)
        made = maker_of(settings.storefronts["checkout"]).make(orders.order(), "", order.text.encode())
        assert isinstance(made, Made), made
        sale = json.loads(made.sale)
        if toml is mapping:
            assert sale == json.loads(expected.text)
        elif expected is not order:
            assert is_part_of(json.loads(expected.text), sale), sale


# ---- what is shown, done -------------------------------------------------------------------------------------------


@contextmanager
def started(folder: Path, environ: Mapping[str, str], *arguments: str) -> Iterator[dict[str, str]]:
    """A long-running command; yields the addresses it announces."""
    process = subprocess.Popen(
        [BIN / "order-relay", *arguments, "--json"], cwd=folder, env=dict(environ), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=30)


@dataclass
class Place:
    """A folder like a checkout's, with the pages' addresses moved to free ports."""

    folder: Path
    environ: dict[str, str]
    moved: dict[str, str]

    def __post_init__(self) -> None:
        (self.folder / "tests").symlink_to(ROOT / "tests")

    def run(self, *texts: str) -> str:
        """Run shell blocks as one script; everything they printed."""
        script = "\n".join(texts)
        for there, here in self.moved.items():
            script = script.replace(there, here)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self.environ, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Place, ExitStack]]:
    if any(shutil.which(tool) is None for tool in ("bash", "curl", "openssl", "sed")):
        pytest.skip("the pages' commands need bash, curl, openssl and sed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        private = f"127.0.0.1:{probe.getsockname()[1]}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    environ = kept | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "COLUMNS": "200",
        "RELAY_PUBLIC__LISTEN": "127.0.0.1:0",
        "RELAY_PRIVATE__LISTEN": private,
    }
    with ExitStack() as stack:
        here = Place(tmp_path, environ, {"http://127.0.0.1:9090": f"http://{private}"})
        sandbox = stack.enter_context(started(tmp_path, environ, "sandbox", "--listen", "127.0.0.1:0"))["sandbox"]
        here.moved["http://127.0.0.1:8090"] = sandbox
        yield here, stack


def test_the_tutorial_does_what_it_says(place: tuple[Place, ExitStack]) -> None:
    here, stack = place
    texts = [block.text for block in blocks(TUTORIAL) if block.language == "sh"]
    begin, sandbox, serve = texts[0], texts.index("order-relay sandbox\n"), texts.index("order-relay serve\n")
    checked = here.run(*texts[:sandbox], *texts[sandbox + 1 : serve])
    assert {line.split()[0] for line in checked.splitlines() if line[0] != " "} <= {"ok", "warn"}
    assert "warn storefronts" not in checked
    assert "warn channels" not in checked
    relay = stack.enter_context(started(here.folder / "build/first-order", here.environ, "serve"))
    here.moved["http://127.0.0.1:8080"] = relay["public"]
    printed = here.run(begin, *texts[serve + 1 :])
    assert {path.name for path in here.folder.iterdir()} == {"build", "tests"}, "its files have a folder of their own"
    (answer,) = [block.text for block in blocks(TUTORIAL) if block.language == "json"]
    says = (
        answer, "Delivered at ", "Jetti has revision 1", '"status":"duplicate"', '"duplicate_of":1',
        '"status":"queued"', '"revision":2', '"status":"stale"', "order-relay 0.1.0", "ready",
        '"requests":2', '"sales":1',
        "throttled 429", "throttled 429", "sent 200",
    )  # fmt: skip
    position = 0
    for said in says:
        position = printed.find(said, position) + len(said)
        assert position >= len(said), f"{said!r} is not there, or not where it belongs:\n{printed}"


def test_the_ways_in_for_own_orders_answer_as_the_page_says(place: tuple[Place, ExitStack]) -> None:
    here, stack = place
    (toml,) = [block.text for block in blocks(OWN_ORDERS) if block.language == "toml"]
    assert tomllib.loads(toml)["channels"]["main"]["async_url"].startswith("http://127.0.0.1:8090/")
    (here.folder / "config.toml").write_text(toml.replace("http://127.0.0.1:8090", here.moved["http://127.0.0.1:8090"]))
    relay = stack.enter_context(started(here.folder, here.environ, "serve"))
    here.moved["http://127.0.0.1:8080"] = relay["public"]
    drop_in, orders = [block.text for block in blocks(OWN_ORDERS) if block.language == "sh"]
    (answer,) = [block.text for block in blocks(OWN_ORDERS) if block.language == "json"]
    assert here.run(drop_in) == answer.strip()
    kept, refused = json.loads(here.run(orders))
    assert (kept["status"], kept["order"]) == ("queued", "6001")
    assert refused["status"] == 422
    assert all(error["pointer"].startswith("/") for error in refused["errors"])


# ---- a kind of one's own -------------------------------------------------------------------------------------------


def test_the_kind_of_storefront_that_the_page_adds_works_when_it_is_installed(
    place: tuple[Place, ExitStack],
) -> None:
    """What an installer would do with the page's files: put the module and its metadata where Python looks."""
    here, stack = place
    package, module = blocks(OWN_KIND)[:2]
    project = tomllib.loads(package.text)
    assert module.text.count("\n") < 60
    site = here.folder / "site-packages"
    info = site / "acme_relay-0.1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_relay.py").write_text(module.text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 0.1.0\n")
    points = project["project"]["entry-points"]["order_relay.sources"]
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[order_relay.sources]\n{lines}\n")
    here.environ["PYTHONPATH"] = str(site)
    (config_shown,) = [block.text for block in blocks(OWN_KIND) if "[storefronts.acme]" in block.text]
    url = here.moved["http://127.0.0.1:8090"]
    (here.folder / "config.toml").write_text(config_shown.replace("http://127.0.0.1:8090", url))
    relay = stack.enter_context(started(here.folder, here.environ, "serve"))
    here.moved["http://127.0.0.1:8080"] = relay["public"]
    sends = next(b.text for b in blocks(OWN_KIND) if b.language == "sh" and "curl" in b.text)
    answer = json.loads(here.run(sends))
    assert (answer["status"], answer["order"]) == ("queued", "9001")


# ---- a shop of one's own -------------------------------------------------------------------------------------------


async def until_sold(sandbox: str, external_id: str) -> None:
    """Return once the sandbox has a sale of this order."""
    async with asyncio.timeout(10):
        while True:
            sales = (await fetched(f"{sandbox}/sandbox/sales")).json["sales"]
            if any(sale["externalId"] == external_id for sale in sales):
                return
            await SystemClock().sleep(0.05)


def in_place(here: Place, stack: ExitStack, toml: str, secret: str) -> None:
    """A relay as a page configures it, with this secret, and the sandbox as its Jetti."""
    url = here.moved["http://127.0.0.1:8090"]
    (here.folder / "secret").write_text(secret)
    text = toml.replace('mode = "async"', f'async_url = "{url}/webhooks/custom-channels/manual-sale.json"')
    text = text.replace("change-me-webhook-hash", "sandbox-hash").replace("change-me-checkout-secret", secret)
    (here.folder / "config.toml").write_text(text.replace("/run/secrets/checkout", str(here.folder / "secret")))
    relay = stack.enter_context(started(here.folder, here.environ, "serve"))
    here.moved["https://your-host"] = relay["public"]


def test_what_an_own_checkout_sends_becomes_a_sale(place: tuple[Place, ExitStack]) -> None:
    here, stack = place
    in_place(here, stack, blocks(OWN_CHECKOUT)[1].text, "own-secret")
    (sends,) = [block.text for block in blocks(OWN_CHECKOUT) if "curl" in block.text]
    answer = json.loads(here.run("export SECRET=own-secret", sends))
    assert (answer["status"], answer["order"]) == ("queued", "8001")
    asyncio.run(until_sold(here.moved["http://127.0.0.1:8090"], "8001"))


@pytest.mark.parametrize(
    ("page", "external_id"),
    [("connect-shopify", "5001"), ("connect-woocommerce", "2001"), ("connect-elastic-path", "ep-2001")],
)
def test_a_storefront_can_be_tried_as_its_page_says(
    page: str, external_id: str, place: tuple[Place, ExitStack]
) -> None:
    here, stack = place
    shown = blocks(ROOT / f"docs/how-to/{page}.md")
    configuration, sandboxed = [tomllib.loads(block.text) for block in shown if block.language == "toml"][:2]
    whole = merged(configuration, sandboxed)
    url = here.moved["http://127.0.0.1:8090"]
    whole["channels"]["main"]["async_url"] = whole["channels"]["main"]["async_url"].replace(
        "http://127.0.0.1:8090", url
    )
    (name,) = whole["storefronts"]
    whole["storefronts"][name]["secrets"] = ["hush"]
    for table, variable in (
        (whole["storefronts"][name], f"STOREFRONTS__{name}"),
        (whole["channels"]["main"], "CHANNELS__MAIN"),
    ):
        for key, value in table.items():
            here.environ[f"RELAY_{variable}__{key}".upper()] = value if isinstance(value, str) else json.dumps(value)
    (here.folder / "config.toml").write_text("")
    relay = stack.enter_context(started(here.folder, here.environ, "serve", "--config", "config.toml"))
    (sends,) = [block.text for block in shown if "order-relay send" in block.text]
    said = here.run(sends.replace("order-relay send", f"order-relay send --to {relay['public']}"))
    assert f"order {external_id}, revision 1" in said
    assert said.startswith("queued")
    asyncio.run(until_sold(url, external_id))


def test_the_table_of_features_names_keys_that_there_are() -> None:
    page = (ROOT / "docs/reference/features.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)` = ", page)) | set(re.findall(r"`([a-z_]+) = ", page))
    known = {key.name.rpartition(".")[2] for key in keys()}
    assert len(named) > 25
    assert named - known - {"removed_units"} == set()


def test_what_the_public_library_signs_becomes_a_sale(place: tuple[Place, ExitStack]) -> None:
    here, stack = place
    in_place(here, stack, blocks(STANDARD)[1].text, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    (code,) = [block.text for block in blocks(STANDARD) if block.language == "python"]
    (here.folder / "send.py").write_text(code.replace("https://your-host", here.moved["https://your-host"]))
    assert here.run("SECRET=$(cat secret) python send.py") == "200\n"
    asyncio.run(until_sold(here.moved["http://127.0.0.1:8090"], "7001"))
