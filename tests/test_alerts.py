"""The alerts, judged by Prometheus' own tool: each fires when it should and not before, on series that really exist."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from relay.observe.metrics import ChannelFigures, Figures, Metrics
from relay.store import Size
from tests.prometheus import ALERTS, DEPLOY, ROOT, Alert, alerts, promtool

SHOP = 'storefront="shop"'
MAIN = 'channel="main"'


@dataclass(frozen=True)
class Case:
    """An alert, what leads to it, and what it then says. Times are minutes."""

    alert: str
    series: dict[str, str]
    """What is scraped, a value a minute, in promtool's notation."""
    fires_at: int
    summary: str
    labels: dict[str, str] = field(default_factory=dict)
    quiet_at: int = 0
    """Shortly before, nothing is said."""


def steady(value: float, minutes: int = 60) -> str:
    return f"{value}x{minutes}"


CASES = (
    Case(
        "RelayAbsent", {'up{job="order-relay", instance="relay:9090"}': "1 0x9"}, 3,
        "The relay does not answer Prometheus", {"job": "order-relay", "instance": "relay:9090"}, quiet_at=1,
    ),
    Case("RelayAbsent", {"another": steady(1)}, 2, "The relay does not answer Prometheus", {"job": "order-relay"}),
    Case(
        "RelayNewOrdersLate", {f'relay_oldest_due_age_seconds{{{MAIN}, lane="new"}}': "240+60x10"}, 3,
        "Channel main: a new order has been due for 7m 0s", {"channel": "main", "lane": "new"}, quiet_at=2,
    ),
    Case(
        "RelayDrainSlow", {f"relay_drain_seconds{{{MAIN}}}": steady(7200)}, 10,
        "Channel main: the backlog will be gone in 2h 0m 0s", {"channel": "main"}, quiet_at=9,
    ),
    Case(
        "RelayOrdersStranded", {"relay_orders_stranded": steady(3)}, 5,
        "3 orders wait for a channel that is not configured", quiet_at=4,
    ),
    Case(  # busy yesterday from 10:00, and silent today from 10:00 on
        "RelayStorefrontSilent",
        {f'relay_events_total{{{SHOP}, disposition="queued", instance="a"}}': "0+1x2040 2040x600"}, 2110,
        "Storefront shop sends nothing", {"storefront": "shop"}, quiet_at=2095,
    ),
    Case(  # a few now and then, the last one more than a day ago
        "RelayStorefrontSilent",
        {f'relay_events_total{{{SHOP}, disposition="queued", instance="a"}}': "0x200 1x200 2x3000"}, 1860,
        "Storefront shop sends nothing", {"storefront": "shop"}, quiet_at=1700,
    ),
    Case(
        "RelaySignatureFailures",
        {f'relay_requests_refused_total{{{SHOP}, status="401", type="bad-signature"}}': "0x5 1x20"}, 7,
        "Requests for storefront shop are refused: bad-signature", {"storefront": "shop", "type": "bad-signature"},
        quiet_at=4,
    ),
    Case(
        "RelayIngestErrors",
        {f'relay_requests_refused_total{{{SHOP}, status="503", type="store-failed"}}': "0x5 1+1x20"}, 9,
        "Webhooks of storefront shop are answered 503: store-failed", {"storefront": "shop", "type": "store-failed"},
        quiet_at=5,
    ),
    Case(
        "RelayIngestSlow",
        {
            f'relay_acknowledgement_seconds_bucket{{{SHOP}, le="1.0"}}': "0+90x20",
            f'relay_acknowledgement_seconds_bucket{{{SHOP}, le="2.5"}}': "0+100x20",
            f'relay_acknowledgement_seconds_bucket{{{SHOP}, le="+Inf"}}': "0+100x20",
        },
        10, "One webhook in a hundred waits 2.35s or longer for its answer", quiet_at=5,
    ),
    Case(
        "RelayLoopSlow",
        {
            'relay_event_loop_lag_seconds_bucket{le="0.1"}': "0+100x20",
            'relay_event_loop_lag_seconds_bucket{le="0.25"}': "0+240x20",
            'relay_event_loop_lag_seconds_bucket{le="+Inf"}': "0+240x20",
        },
        10, "The relay's event loop is 224.3ms late", quiet_at=5,
    ),
    Case(
        "RelayRefusesForQueue", {'relay_door_refusing{limit="queue"}': "0x4 2x10"}, 6,
        "2 storefronts are refused: too much comes in at once", {"limit": "queue"}, quiet_at=5,
    ),
    Case(
        "RelayRefusesForBacklog", {'relay_door_refusing{limit="backlog"}': "0x4 1x10"}, 5,
        "1 storefronts are refused: too many orders wait", {"limit": "backlog"}, quiet_at=4,
    ),
    Case(
        "RelayChannelHalted", {f'relay_circuit{{{MAIN}, circuit="halted"}}': "0x4 1x10"}, 5,
        "Channel main is halted", {"channel": "main", "circuit": "halted"}, quiet_at=4,
    ),
    Case(
        "RelayCircuitOpen", {f'relay_circuit{{{MAIN}, circuit="open"}}': "0x4 1x10"}, 10,
        "Channel main: no answer to anything that is sent", {"channel": "main", "circuit": "open"}, quiet_at=9,
    ),
    Case(
        "RelayDeliveryFailing",
        {
            f'relay_attempts_total{{{MAIN}, outcome="failed"}}': "0x10 0+1x30",
            f'relay_attempts_total{{{MAIN}, outcome="sent"}}': "0+3x10 30+2x30",
        },
        22, "Channel main: more than a fifth of the attempts fail", {"channel": "main"}, quiet_at=12,
    ),
    Case(
        "RelayRetriesPersist",
        {
            f'relay_orders{{{MAIN}, state="sleeping", lane="new"}}': steady(2),
            f'relay_orders{{{MAIN}, state="sleeping", lane="update"}}': steady(1),
        },
        15, "Channel main: 3 orders have failed and wait for their next try", {"channel": "main"}, quiet_at=14,
    ),
    Case(
        "RelayChannelThrottled",
        {f"relay_channel_rate{{{MAIN}}}": steady(2.5), f"relay_channel_allowed_rate{{{MAIN}}}": steady(10)},
        15, "Channel main is throttled to 2.5 requests a second", {"channel": "main"}, quiet_at=14,
    ),
    Case(
        "RelayChannelPaused", {f"relay_channel_paused{{{MAIN}}}": steady(1, 90)}, 60,
        "Channel main has been paused for an hour", {"channel": "main"}, quiet_at=59,
    ),
    Case(
        "RelayDeadLetters",
        {
            f'relay_dead_letters_present{{{MAIN}, cause="refused"}}': "0x4 3x10",
            f'relay_dead_letters_present{{{MAIN}, cause="gave_up"}}': "0x14",
            'relay_dead_letters_present{channel="none", cause="unreadable"}': "5x14",
        },
        5, "Channel main: 3 orders need a person (refused)", {"channel": "main", "cause": "refused"}, quiet_at=4,
    ),
    Case(
        "RelayDeadLetters", {'relay_dead_letters_present{channel="unconfigured", cause="unmappable"}': "0x4 2x10"}, 5,
        "Channel unconfigured: 2 orders need a person (unmappable)",
        {"channel": "unconfigured", "cause": "unmappable"}, quiet_at=4,
    ),
    Case(
        "RelayOrdersBlocked",
        {
            f'relay_orders_blocked{{{MAIN}, by="paused"}}': steady(7),
            f'relay_orders_blocked{{{MAIN}, by="open"}}': steady(0),
        },
        30, "Channel main: 7 orders are blocked, it is paused", {"channel": "main", "by": "paused"}, quiet_at=29,
    ),
    Case(
        "RelayManySuperseded",
        {
            f'relay_revisions_superseded_total{{{SHOP}}}': "0+45x120",
            f'relay_events_total{{{SHOP}, disposition="merged"}}': "0+45x120",
            f'relay_events_total{{{SHOP}, disposition="queued"}}': "0+5x120",
        },
        100, "Storefront shop: 2.7k revisions were superseded within an hour", {"storefront": "shop"}, quiet_at=40,
    ),
    Case(
        "RelayDeadLettersGrowing",
        {
            f'relay_dead_letters_total{{{SHOP}, cause="unmappable"}}': "0+1x30",
            f'relay_dead_letters_total{{{SHOP}, cause="refused"}}': "0x30",
        },
        20, "15 dead letters in a quarter of an hour", quiet_at=8,
    ),
    Case(
        "RelayNoOrderRead", {"relay_events_without_order": "0x4 7x10"}, 5,
        "No order could be read from 7 webhooks", quiet_at=4,
    ),
    Case(
        "RelayReplayStuck",
        {
            "relay_replays_running": "1x60",
            'relay_replayed_total{result="revived"}': "0+9x20 180x40",
            'relay_replayed_total{result="left"}': "0x60",
        },
        41, "A bulk replay does not go on", quiet_at=38,
    ),
    Case(
        "RelayDiskFilling", {"relay_disk_free_bytes": "4e8x30"}, 5, "The store's disk fills up", quiet_at=4,
    ),
    Case(  # there is room, and in two hours there will be none
        "RelayDiskFilling", {"relay_disk_free_bytes": "20e9-100e6x90"}, 70, "The store's disk fills up", quiet_at=0,
    ),
    Case(
        "RelayRefusesForDisk", {'relay_door_refusing{limit="disk"}': "0x4 2x10"}, 5,
        "2 storefronts are refused: no room on the disk", {"limit": "disk"}, quiet_at=4,
    ),
    Case("RelayStoreErrors", {"relay_store_errors_total": "0x4 1x20"}, 6, "The store fails", quiet_at=4),
    Case(
        "RelayDefect", {"relay_unexpected_errors_total": "0x4 1x30"}, 6, "A defect of the relay was caught", quiet_at=4,
    ),
)  # fmt: skip

CALM: tuple[tuple[str, dict[str, str], int], ...] = (
    ("RelayAbsent", {'up{job="order-relay", instance="relay:9090"}': steady(1)}, 50),
    ("RelayNewOrdersLate", {f'relay_oldest_due_age_seconds{{{MAIN}, lane="update"}}': steady(9000)}, 50),
    (
        "RelayDrainSlow",
        {f"relay_drain_seconds{{{MAIN}}}": " ".join(["Inf"] * 51)},
        50,
    ),  # it stands still: others say so
    ("RelayStorefrontSilent", {f'relay_events_total{{{SHOP}, disposition="queued"}}': "0x4000"}, 3000),  # never used
    ("RelayStorefrontSilent", {f'relay_events_total{{{SHOP}, disposition="queued"}}': "0+1x4000"}, 3000),
    ("RelayIngestErrors", {f'relay_requests_refused_total{{{SHOP}, status="503", type="busy"}}': "0+9x60"}, 50),
    ("RelayDeliveryFailing", {f'relay_attempts_total{{{MAIN}, outcome="failed"}}': "0x10 2x50"}, 16),  # one hiccup
    (
        "RelayDeliveryFailing",
        {
            f'relay_attempts_total{{{MAIN}, outcome="failed"}}': "0+1x60",
            f'relay_attempts_total{{{MAIN}, outcome="sent"}}': "0+9x60",
        },
        50,
    ),
    (
        "RelayChannelThrottled",
        {f"relay_channel_rate{{{MAIN}}}": steady(6), f"relay_channel_allowed_rate{{{MAIN}}}": steady(10)},
        50,
    ),
    (
        "RelayReplayStuck",
        {"relay_replays_running": "1x60", 'relay_replayed_total{result="revived"}': "0+9x60"},
        50,
    ),
    ("RelayDiskFilling", {"relay_disk_free_bytes": "20e9x90"}, 70),
    ("RelayOrdersBlocked", {f'relay_orders_blocked{{{MAIN}, by="resting"}}': " ".join(["5", "0"] * 30)}, 55),
    (  # a few orders that are changed often, and many webhooks of which each is a new state
        "RelayManySuperseded",
        {
            f"relay_revisions_superseded_total{{{SHOP}}}": "0+20x120",
            f'relay_events_total{{{SHOP}, disposition="merged"}}': "0+20x120",
            f'relay_events_total{{{SHOP}, disposition="queued"}}': "0+20x120",
        },
        110,
    ),
    (
        "RelayManySuperseded",
        {
            f"relay_revisions_superseded_total{{{SHOP}}}": "0+5x120",
            f'relay_events_total{{{SHOP}, disposition="merged"}}': "0+5x120",
        },
        110,
    ),
)


def _test_of(case: Case, rule: Alert) -> dict[str, Any]:
    fires = {
        "exp_labels": {**case.labels, "severity": rule.severity},
        "exp_annotations": {
            "summary": case.summary, "description": rule.description, "runbook": f"docs/how-to/runbook/{rule.page}.md",
        },
    }  # fmt: skip
    return _group(case.series) | {
        "alert_rule_test": [
            {"alertname": case.alert, "eval_time": f"{case.quiet_at}m", "exp_alerts": []},
            {"alertname": case.alert, "eval_time": f"{case.fires_at}m", "exp_alerts": [fires]},
        ]
    }


def _group(series: dict[str, str]) -> dict[str, Any]:
    return {"interval": "1m", "input_series": [{"series": name, "values": values} for name, values in series.items()]}


def _rules() -> list[dict[str, Any]]:
    return [rule for group in YAML(typ="safe").load(ALERTS)["groups"] for rule in group["rules"]]


def _judged(tests: list[dict[str, Any]], folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "alerts_test.json"  # JSON is YAML
    asked = {asked["alertname"] for test in tests for asked in test["alert_rule_test"]}
    rules = [{"name": "asked", "rules": [rule for rule in _rules() if rule["alert"] in asked]}]  # the others cost time
    (folder / "asked.json").write_text(json.dumps({"groups": rules}))
    file.write_text(json.dumps({"rule_files": ["asked.json"], "evaluation_interval": "1m", "tests": tests}))
    return promtool("test", "rules", str(file))


def test_a_machine_that_cannot_have_prometheus_is_told_what_to_install(tmp_path: Path) -> None:
    for name in ("bash", "mkdir"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    done = subprocess.run(
        ["bash", ROOT / ".ci/prometheus", tmp_path / "tools"],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "install Debian's package 'prometheus', or put" in done.stderr


def test_prometheus_accepts_its_configuration_and_the_alerts() -> None:
    done = promtool("check", "config", str(DEPLOY / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(alerts())} rules found" in done.stdout


@pytest.mark.parametrize("alert", [alert.name for alert in alerts()])
def test_an_alert_fires_when_it_should_and_not_before(alert: str, tmp_path: Path) -> None:
    (rule,) = [rule for rule in alerts() if rule.name == alert]
    fires = [_test_of(case, rule) for case in CASES if case.alert == alert]
    calm = [
        _group(series) | {"alert_rule_test": [{"alertname": name, "eval_time": f"{minute}m", "exp_alerts": []}]}
        for name, series, minute in CALM
        if name == alert
    ]
    assert fires, "no case makes this alert fire"
    done = _judged([*fires, *calm], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_does_not_hold_is_found(tmp_path: Path) -> None:
    rule = alerts()[0]
    wrong = Case(rule.name, {'up{job="order-relay"}': steady(1)}, 5, "anything", {"job": "order-relay"})
    assert _judged([_test_of(wrong, rule)], tmp_path).returncode != 0


def test_what_the_cases_are_made_of_is_what_the_relay_exports() -> None:
    metrics = Metrics(version="1", storefronts=["shop"], channels=["main"], now=lambda: 0)
    channels = {"main": ChannelFigures(0, 1.0, 1.0)}
    metrics.expose(Figures({}, {}, channels=channels, size=Size(1, 1, 1, 1), now=0))
    there = {(s.name, frozenset(s.labels.items())) for family in metrics.registry.collect() for s in family.samples}
    named = {name for case in CASES for name in case.series} | {name for _, series, _ in CALM for name in series}
    missing = set()
    for series in named:
        name, _, selector = series.partition("{")
        labels = frozenset((k, v) for k, v in re.findall(r'(\w+)="([^"]*)"', selector) if k != "instance")
        if name.startswith("relay_") and (name, labels) not in there:
            missing.add(series)
    assert missing == set()


def test_every_alert_says_how_bad_it_is_what_is_wrong_and_where_to_read_on() -> None:
    for rule in _rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
