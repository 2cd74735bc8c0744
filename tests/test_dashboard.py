"""A real Prometheus scrapes a real relay: everything that the dashboard and the alerts ask for is there.

The alerts' conditions are tested in test_alerts, on made-up figures; here it is seen that what they are made of exists.
"""

import asyncio
import json
import re
import runpy
from collections.abc import AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from yarl import URL

from relay.clock import SystemClock
from relay.core.delivery import State
from relay.core.events import AttemptMade
from relay.sandbox import Fault, SandboxSettings
from tests.fakes import SHOP_SECRET, Shop, fetched, shopify_order
from tests.prometheus import ALERTS, DEPLOY, alerts, program, promtool
from tests.running import relay_running

GRAFANA = DEPLOY / "grafana"
DASHBOARD = GRAFANA / "dashboards/order-relay.json"
FIRING = {"RelayDeadLetters", "RelayNoOrderRead", "RelaySignatureFailures"}
"""What fires after :func:`something_of_everything`."""
WINDOW = "60s"
"""What ``$__rate_interval`` is here: longer than the test takes."""


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def asked() -> dict[str, str]:
    """Every expression of the dashboard, as Grafana would ask it for all channels and storefronts."""
    found = {}
    for panel in panels():
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", WINDOW)
            found[f"{panel['title']} {target['refId']}"] = re.sub(r"\$(channel|storefront)\b", ".*", expr)
    return found


def selectors(expr: str) -> set[str]:
    """What an expression reads: names with their labels."""
    return set(re.findall(r"\b(?:relay_|process_)\w+(?:\{[^}]*\})?|\bup\{[^}]*\}", expr))


# ---- as files ------------------------------------------------------------------------------------------------------


def test_the_dashboard_is_what_its_description_in_python_makes() -> None:
    made = runpy.run_path(str(GRAFANA / "dashboard.py"))["text"]()
    assert DASHBOARD.read_text() == made, "run `make dashboard`"


def test_the_first_row_answers_whether_orders_are_flowing() -> None:
    first, *rest = dashboard()["panels"]
    row = rest[: next(i for i, panel in enumerate(rest) if panel["type"] == "row")]
    assert (first["type"], first["title"], first["gridPos"]["y"]) == ("row", "Are orders flowing?", 0)
    text = " ".join(target["expr"] for panel in row for target in panel["targets"])
    for metric in ("relay_ready", "relay_oldest_due_age_seconds", "relay_drain_seconds", "relay_orders_blocked",
                   "relay_events_total", "relay_attempts_total", "ALERTS"):  # fmt: skip
        assert metric in text


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    placed = dashboard()["panels"]
    assert len({panel["id"] for panel in placed}) == len(placed)
    taken: set[tuple[int, int]] = set()
    for panel in placed:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_panel_says_what_it_shows() -> None:
    assert [panel["title"] for panel in panels() if not panel["description"].endswith(".")] == []


def test_the_dashboard_is_what_grafana_can_read() -> None:
    """Its schema, as far as this dashboard uses it: what Grafana does not know, it leaves out without a word."""
    whole = dashboard()
    variables = {variable["name"] for variable in whole["templating"]["list"]} | {"__rate_interval"}
    assert (whole["uid"], whole["schemaVersion"] >= 36, {"time", "refresh", "title", "tags"} <= whole.keys()) == (
        "order-relay", True, True,
    )  # fmt: skip
    for panel in panels():
        defaults, title = panel["fieldConfig"]["defaults"], panel["title"]
        assert panel["type"] in {"stat", "timeseries", "state-timeline"}, title
        assert defaults["unit"] in {"none", "short", "s", "reqps", "bytes", "percentunit"}, title
        values = [step["value"] for step in defaults["thresholds"]["steps"]]
        assert values[0] is None, title
        assert values[1:] == sorted(values[1:]), title
        for mapping in defaults.get("mappings", ()):
            assert mapping["type"] == "value"
            assert all(option.keys() == {"text", "color"} for option in mapping["options"].values()), title
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), title
        for target in panel["targets"]:
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables, title
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, title


def test_a_legend_names_labels_that_its_expression_has() -> None:
    for panel in panels():
        for target in panel["targets"]:
            grouped = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            kept = {label.strip() for by in grouped for label in by.split(",")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_every_metric_is_on_the_dashboard_or_has_an_alert() -> None:
    documented = set(re.findall(r"(?m)^\| `(relay_\w+)` \|", (DEPLOY.parent / "docs/reference/metrics.md").read_text()))
    used = {re.sub(r"_(bucket|sum|count)$", "", name) for expr in (*asked().values(), *(a.expr for a in alerts()))
            for name in re.findall(r"\brelay_\w+", expr)}  # fmt: skip
    unseen = {
        "relay_housekeeping_sweeps_total",
        "relay_housekeeping_returned_bytes_total",
        "relay_housekeeping_last_sweep_timestamp_seconds",
    }
    assert used - documented == set()
    assert documented - used == unseen


def test_grafana_finds_its_source_and_its_dashboards_where_compose_puts_them() -> None:
    yaml = YAML(typ="safe")
    services = yaml.load(DEPLOY / "compose.yaml")["services"]
    (source,) = yaml.load(GRAFANA / "provisioning/datasources/prometheus.yml")["datasources"]
    (provider,) = yaml.load(GRAFANA / "provisioning/dashboards/order-relay.yml")["providers"]
    interval = yaml.load(DEPLOY / "prometheus.yml")["global"]["scrape_interval"]
    current = {variable["name"]: variable["current"] for variable in dashboard()["templating"]["list"]}
    mounts = services["grafana"]["volumes"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (source["url"], source["jsonData"]["timeInterval"]) == ("http://prometheus:9090", interval)
    assert current["datasource"]["value"] == source["uid"]
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in mounts
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounts
    assert home == f"{provider['options']['path']}/{DASHBOARD.name}"
    assert services["grafana"]["profiles"] == ["grafana"]


def test_prometheus_finds_the_alerts_where_compose_puts_them() -> None:
    yaml = YAML(typ="safe")
    mounts = yaml.load(DEPLOY / "compose.yaml")["services"]["prometheus"]["volumes"]
    assert yaml.load(DEPLOY / "prometheus.yml")["rule_files"] == [ALERTS.name]
    assert f"./{ALERTS.name}:/etc/prometheus/{ALERTS.name}:ro" in mounts


# ---- a real Prometheus ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples that an expression has now."""
        answer = (await fetched(str(URL(f"{self.url}/api/v1/query").with_query(query=expr)))).json
        assert answer["status"] == "success", (expr, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    async def has(self, expr: str) -> bool:
        """Whether it has a figure: a quantile of nothing is a sample, and none."""
        return any(sample["value"][1] != "NaN" for sample in await self.query(expr))

    async def without(self, wanted: Mapping[str, str]) -> list[str]:
        """Which of the expressions have no figure."""
        return [f"{name}: {expr}" for name, expr in wanted.items() if not await self.has(expr)]

    async def rules_once(self, firing: Set[str]) -> dict[str, dict[str, Any]]:
        """The rules by name, as soon as these fire; as they are, if they do not in time."""
        known: dict[str, dict[str, Any]] = {}
        for _ in range(60):
            groups = (await fetched(f"{self.url}/api/v1/rules")).json["data"]["groups"]
            known = {rule["name"]: rule for group in groups for rule in group["rules"]}
            if firing <= {name for name, rule in known.items() if rule["state"] == "firing"}:
                break
            await SystemClock().sleep(0.25)
        return known


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """Prometheus with our configuration, but faster, and scraping this relay."""
    config = YAML(typ="safe").load(DEPLOY / "prometheus.yml")
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / ALERTS.name).write_text(ALERTS.read_text())
    (folder / "prometheus.yml").write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        "--web.listen-address=127.0.0.1:0", "--log.format=json",
        cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            address = await _listens(process.stderr)
        drained = asyncio.create_task(process.stderr.read())
        yield Prometheus(f"http://{address}")
        drained.cancel()
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _listens(log: asyncio.StreamReader) -> str:
    """Its address, as soon as it answers."""
    said, address = b"", ""
    while line := await log.readline():
        said += line
        if found := re.search(rb'"address":"(127\.0\.0\.1:[1-9]\d*)"', line):
            address = found[1].decode()
        if b"Server is ready" in line:
            return address
    raise AssertionError(f"prometheus ended: {said.decode()}")


async def something_of_everything(shop: Shop) -> None:
    """What is needed for each figure to be one: events that are sent, refused, dead, repeated …"""
    for number in range(1001, 1011):
        await shop.send(shopify_order(number))
    await shop.send(shopify_order(1001), webhook_id="again")
    await shop.send(shopify_order(1001), webhook_id="again")
    await shop.send(b'{"no": "order"}')
    await shop.send(b"{}", topic="products/create")
    await shop.post("/webhooks/shop", shopify_order(7), {"X-Shopify-Hmac-Sha256": SHOP_SECRET})


@pytest.mark.timeout(150)
async def test_everything_that_the_dashboard_and_the_alerts_ask_for_is_there(tmp_path: Path) -> None:
    faults = (Fault(status=422, external_id="1002"), Fault(status=429, retry_after=0.1, count=1))
    jetti = SandboxSettings(async_rate=None, faults=faults)
    async with relay_running(tmp_path, jetti=jetti) as (relay, _), Shop(relay.public_url) as shop:
        address = relay.private_url.removeprefix("http://")
        async with prometheus(tmp_path, address) as watching:
            async with asyncio.timeout(30):
                while not await watching.has('up{job="order-relay"} == 1'):
                    await SystemClock().sleep(0.1)
            await something_of_everything(shop)
            await relay.happenings.until(lambda: any(m.state is State.DEAD for m in relay.happenings.of(AttemptMade)))
            missing = await everything(watching, asked())
            read = {selector: selector for alert in alerts() for selector in selectors(alert.expr)}
            unread = await everything(watching, read)
            rules = await watching.rules_once(FIRING)
        text = (await fetched(f"{relay.private_url}/metrics")).body.decode()

    assert missing == []
    assert len(read) > 20
    assert unread == []
    assert set(rules) == {alert.name for alert in alerts()}
    assert {name: rule["lastError"] for name, rule in rules.items() if rule["health"] != "ok"} == {}
    assert {name for name, rule in rules.items() if rule["state"] == "firing"} == FIRING
    checked = promtool("check", "metrics", stdin=text)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


async def everything(watching: Prometheus, wanted: Mapping[str, str]) -> list[str]:
    """What has no figure, after so many scrapes as there may have to be."""
    missing = list(wanted)
    for _ in range(40):
        missing = await watching.without(wanted)
        if not missing:
            break
        await SystemClock().sleep(0.25)
    return missing


async def test_a_relay_that_is_gone_is_seen_to_be_gone(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, _):
        address = relay.private_url.removeprefix("http://")
    async with prometheus(tmp_path, address) as watching, asyncio.timeout(30):
        (absent,) = [alert for alert in alerts() if alert.name == "RelayAbsent"]
        while not await watching.has('up{job="order-relay"} == 0'):
            await SystemClock().sleep(0.1)
        assert await watching.has(absent.expr)
