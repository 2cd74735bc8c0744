"""Writes dashboards/order-relay.json, which Grafana reads: `make dashboard`. Change it here, not there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards/order-relay.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
CHANNEL, SHOP = 'channel=~"$channel"', 'storefront=~"$storefront"'
SENT, RELAY = 'outcome="sent"', 'job="order-relay"'
RATE = "[$__rate_interval]"
GREEN, AMBER, RED = "green", "orange", "red"
WIDE = 24

Panel = dict[str, Any]


def rate(metric: str, *labels: str) -> str:
    selector = f"{{{', '.join(labels)}}}" if labels else ""
    return f"rate({metric}{selector}{RATE})"


def quantile(share: float, metric: str, by: str = "", *labels: str) -> str:
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({grouped}) ({rate(f'{metric}_bucket', *labels)}))"


def stat(title: str, expr: str, unit: str, says: str, *steps: tuple[str, float | None], **options: Any) -> Panel:
    """One figure, coloured by what it means. ``steps``: a colour, and from which value on."""
    return _panel("stat", title, [(expr, "")], unit, says, steps or ((GREEN, None),), (4, 4), **options)


def graph(title: str, unit: str, says: str, *lines: tuple[str, str], width: int = 8, **custom: Any) -> Panel:
    """Lines over time: each an expression, and what it is called in the legend."""
    panel = _panel("timeseries", title, list(lines), unit, says, ((GREEN, None),), (width, 7))
    panel["fieldConfig"]["defaults"] |= {"min": 0, "custom": {"fillOpacity": 8, "showPoints": "never"} | custom}
    panel["options"] = {"legend": {"placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return panel


def words(**named: tuple[str, str]) -> list[dict[str, Any]]:
    """What values are called: ``_0=("no", RED)``."""
    texts = {key.strip("_"): {"text": text, "color": colour} for key, (text, colour) in named.items()}
    return [{"type": "value", "options": texts}]


def stacked() -> dict[str, Any]:
    return {"stacking": {"mode": "normal"}, "fillOpacity": 30}


def _panel(
    kind: str, title: str, lines: list[tuple[str, str]], unit: str, says: str,
    steps: tuple[tuple[str, float | None], ...], size: tuple[int, int], **options: Any,
) -> Panel:  # fmt: skip
    return {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": SOURCE,
        "gridPos": dict(zip("wh", size, strict=True)),
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto"}
            for i, (expr, legend) in enumerate(lines)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "thresholds": {"mode": "absolute", "steps": [{"color": c, "value": v} for c, v in steps]},
                **options,
            },
            "overrides": [],
        },
    }


FLOWING = (
    stat("Accepting", "min(relay_ready)", "none", "Whether webhooks are accepted.", (RED, None), (GREEN, 1),
         mappings=words(_1=("yes", GREEN), _0=("no", RED)), noValue="relay absent"),
    stat("Oldest new order", f'max(relay_oldest_due_age_seconds{{lane="new", {CHANNEL}}})', "s",
         "For how long the oldest new order has been due. The figure to watch at peak.",
         (GREEN, None), (AMBER, 60), (RED, 300)),
    stat("Backlog gone in", f"max(relay_drain_seconds{{{CHANNEL}}})", "s",
         "At the present pace, if nothing more comes in. Infinite: nothing gets through.",
         (GREEN, None), (AMBER, 900), (RED, 3600)),
    stat("Blocked orders", f"sum(relay_orders_blocked{{{CHANNEL}}}) + max(relay_orders_stranded)", "short",
         "Orders whose channel is not sent to: paused, halted, open, resting, or not configured.",
         (GREEN, None), (RED, 1)),
    stat("Dead letters", "sum(max by (channel, cause) (relay_dead_letters_present))", "short",
         "Orders and webhooks that need a person.", (GREEN, None), (AMBER, 1)),
    stat("Alerts", 'count(ALERTS{alertname=~"Relay.*", alertstate="firing"}) or vector(0)', "none",
         "Alerts that fire now. Each names its page of the runbook.", (GREEN, None), (RED, 1)),
    graph("In and out", "reqps", "Webhooks accepted, and orders that Jetti took.",
          (f"sum({rate('relay_events_total', SHOP)})", "accepted"),
          (f"sum({rate('relay_attempts_total', CHANNEL, SENT)})", "sent"),
          (f"sum(relay_channel_rate{{{CHANNEL}}})", "allowed"), width=12),
    graph("Oldest due, by lane", "s", "For how long the longest waiting order of each lane has been due.",
          (f"max by (channel, lane) (relay_oldest_due_age_seconds{{{CHANNEL}}})", "{{channel}} {{lane}}"), width=12),
)  # fmt: skip

COMING_IN = (
    graph("Webhooks by disposition", "reqps", "What became of them when they were committed.",
          (f"sum by (disposition) ({rate('relay_events_total', SHOP)})", "{{disposition}}"), **stacked()),
    graph("Refused", "reqps", "Requests answered with something else than a 2xx.",
          (f"sum by (storefront, type) ({rate('relay_requests_refused_total')})", "{{storefront}} {{type}}")),
    graph("Acknowledgement", "s", "From a webhook's head to its commit.",
          (quantile(0.5, "relay_acknowledgement_seconds", "", SHOP), "half"),
          (quantile(0.99, "relay_acknowledgement_seconds", "", SHOP), "99 of 100"),
          (quantile(0.99, "relay_refusal_seconds"), "refused, 99 of 100")),
    graph("Commit", "s", "How long a transaction took, until it was on the disk.",
          (quantile(0.5, "relay_commit_seconds"), "half"), (quantile(0.99, "relay_commit_seconds"), "99 of 100")),
    graph("Requests a commit", "short", "How many requests share one: more at peak.",
          (f"sum({rate('relay_commit_requests_sum')}) / sum({rate('relay_commit_requests_count')})", "average")),
    graph("Since the last webhook", "s", "By storefront; none: nothing since the relay started.",
          (f"time() - max by (storefront) (relay_last_event_timestamp_seconds{{{SHOP}}} > 0)", "{{storefront}}")),
    graph("Found when mapped", "reqps", "What mapping said more of accepted webhooks.",
          (f"sum by (disposition) ({rate('relay_events_amended_total', SHOP)})", "{{disposition}}")),
    graph("Storefronts refused for want of room", "short", "By what there is no room in.",
          ("max by (limit) (relay_door_refusing)", "{{limit}}")),
)  # fmt: skip

WAITING = (
    graph("Waiting, by lane", "short", "Orders that are due.",
          (f'sum by (channel, lane) (relay_orders{{state="waiting", {CHANNEL}}})', "{{channel}} {{lane}}"),
          **stacked()),
    graph("Not waiting", "short", "Orders between two tries, held back by a rule, and dead.",
          (f'sum by (state) (relay_orders{{state=~"sleeping|held|dead", {CHANNEL}}})', "{{state}}")),
    graph("Blocked, by why", "short", "Orders that wait for a channel which is not sent to.",
          (f"sum by (channel, by) (relay_orders_blocked{{{CHANNEL}}})", "{{channel}} {{by}}")),
    graph("Backlog gone in", "s", "At the pace of that moment.",
          (f"max by (channel) (relay_drain_seconds{{{CHANNEL}}})", "{{channel}}")),
    graph("Held", "short", "Orders that their storefront's rule does not want yet, and those that it came to want.",
          (f"max by (storefront) (relay_held_orders{{{SHOP}}})", "{{storefront}}"),
          (f"sum by (storefront) (increase(relay_held_wanted_total{{{SHOP}}}{RATE}))", "{{storefront}} wanted")),
    graph("Oldest held", "s", "For how long the longest held order of each storefront has been held.",
          (f"max by (storefront) (relay_oldest_held_age_seconds{{{SHOP}}})", "{{storefront}}")),
    graph("Superseded", "reqps", "Revisions that a newer one replaced while they waited.",
          (f"sum by (storefront) ({rate('relay_revisions_superseded_total', SHOP)})", "{{storefront}}")),
    graph("Delivered orders", "short", "Orders whose newest state Jetti has, as far as they are remembered.",
          (f'sum by (channel) (relay_orders{{state="sent", {CHANNEL}}})', "{{channel}}")),
)  # fmt: skip

STANDING = " + ".join(
    (
        f'max by (channel) (relay_circuit{{circuit="open", {CHANNEL}}})',
        f'2 * max by (channel) (relay_circuit{{circuit="halted", {CHANNEL}}})',
        f"4 * max by (channel) (relay_channel_paused{{{CHANNEL}}})",
    )
)
"""0: sent to; else why not."""

GOING_OUT = (
    graph("Attempts by outcome", "reqps", "Requests sent to Jetti, or to a storefront's API.",
          (f"sum by (channel, outcome) ({rate('relay_attempts_total', CHANNEL)})", "{{channel}} {{outcome}}"),
          **stacked()),
    graph("Answers", "s", "How long Jetti, or a storefront's API, took to answer.",
          (quantile(0.5, "relay_attempt_duration_seconds", "channel", CHANNEL), "{{channel}} half"),
          (quantile(0.99, "relay_attempt_duration_seconds", "channel", CHANNEL), "{{channel}} 99 of 100")),
    graph("From accepted to sent", "s", "How long orders took through the relay, by lane: half of them, and 99 of 100.",
          (quantile(0.5, "relay_accepted_to_sent_seconds", "lane", CHANNEL), "{{lane}} half"),
          (quantile(0.99, "relay_accepted_to_sent_seconds", "lane", CHANNEL), "{{lane}} 99 of 100")),
    graph("Pace", "reqps", "Allowed at present, and configured.",
          (f"max by (channel) (relay_channel_rate{{{CHANNEL}}})", "{{channel}} allowed"),
          (f"max by (channel) (relay_channel_configured_rate{{{CHANNEL}}})", "{{channel}} configured")),
    graph("Wait for the pace", "s", "How long sending waited for its permit.",
          (quantile(0.99, "relay_permit_wait_seconds", "channel", CHANNEL), "{{channel}} 99 of 100")),
    graph("In flight", "short", "Requests that Jetti has not answered yet.",
          (f"max by (channel) (relay_in_flight{{{CHANNEL}}})", "{{channel}}")),
    _panel("state-timeline", "Channels", [(STANDING, "{{channel}}")], "none", "Whether each is sent to.",
           ((GREEN, None),), (8, 7),
           mappings=words(_0=("sending", GREEN), _1=("open", AMBER), _2=("halted", RED), _4=("paused", "blue"),
                          _5=("paused", "blue"), _6=("paused", "blue"))),
    graph("Throttled", "short", "Times that Jetti said that it is too fast, and for how much longer the channel rests.",
          (f"sum by (channel) (increase(relay_channel_throttles_total{{{CHANNEL}}}{RATE}))", "{{channel}} throttles"),
          (f"max by (channel) (relay_channel_resting_seconds{{{CHANNEL}}})", "{{channel}} rests, s")),
    graph("Since the last success", "s", "By channel; none: nothing since the relay started.",
          (f"time() - max by (channel) (relay_last_success_timestamp_seconds{{{CHANNEL}}} > 0)", "{{channel}}")),
    graph("Circuit and probes", "short", "Times a circuit opened, halted or closed, and probes that failed.",
          (f"sum by (channel, circuit) (increase(relay_circuit_moves_total{{{CHANNEL}}}{RATE}))",
           "{{channel}} {{circuit}}"),
          (f"sum by (channel) (increase(relay_channel_probes_failed_total{{{CHANNEL}}}{RATE}))",
           "{{channel}} probes failed")),
)  # fmt: skip

PERSONS = (
    graph("New dead letters, by cause", "short", "What became a dead letter, by class of cause.",
          (f"sum by (storefront, cause) (increase(relay_dead_letters_total{{{SHOP}}}{RATE}))",
           "{{storefront}} {{cause}}"), **stacked()),
    graph("Dead letters", "short", "Orders, and webhooks from which no order could be read, by class of cause.",
          ("max by (channel, cause) (relay_dead_letters_present) > 0 or sum(relay_dead_letters_present)",
           "{{channel}} {{cause}}"), **stacked()),
    graph("Replays", "short", "Bulk replays that run, and what came of the dead letters they looked at.",
          ("sum(relay_replays_running)", "running"),
          (f"sum by (result) (increase(relay_replayed_total{RATE}))", "{{result}}")),
    graph("Deeds", "short", "What persons did.", (f"sum by (what) (increase(relay_deeds_total{RATE}))", "{{what}}")),
)  # fmt: skip

MACHINE = (
    graph("Disk", "bytes", "Free space, and what the store takes.", ("min(relay_disk_free_bytes)", "free"),
          ("max(relay_store_bytes)", "store"), ("max(relay_wal_bytes)", "log"),
          ("max(relay_store_unused_bytes)", "unused")),
    graph("Event loop", "s", "By how much timers fire too late: everything that is answered is late by as much.",
          (quantile(0.5, "relay_event_loop_lag_seconds"), "half"),
          (quantile(0.99, "relay_event_loop_lag_seconds"), "99 of 100")),
    graph("Processor", "percentunit", "Of one core.",
          (f"sum by (instance) ({rate('process_cpu_seconds_total', RELAY)})", "{{instance}}")),
    graph("Memory", "bytes", "Resident.",
          (f"max by (instance) (process_resident_memory_bytes{{{RELAY}}})", "{{instance}}")),
    graph("Errors", "short", "Of the store, and defects of the relay that were caught.",
          (f"sum(increase(relay_store_errors_total{RATE}))", "store"),
          (f"sum(increase(relay_unexpected_errors_total{RATE}))", "defects")),
    graph("Housekeeping", "short", "What it deleted.",
          (f"sum by (kind) (increase(relay_housekeeping_deleted_total{RATE}))", "{{kind}}")),
    graph("Housekeeping's hold", "s", "The longest that one step of the last sweep held the writer.",
          ("max(relay_housekeeping_held_seconds)", "held")),
    graph("Version", "none", "What is running.",
          ("max by (version, instance) (relay_build_info)", "{{version}} {{instance}}")),
)  # fmt: skip

ROWS = (
    ("Are orders flowing?", FLOWING),
    ("Coming in", COMING_IN),
    ("Waiting", WAITING),
    ("Going out", GOING_OUT),
    ("Orders that need a person", PERSONS),
    ("The machine", MACHINE),
)


def _placed() -> Iterator[Panel]:
    """Every panel, from left to right and from top to bottom; the first row open, as all are."""
    y = number = 0
    for title, panels in ROWS:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": WIDE, "h": 1}}  # fmt: skip
        x, y, height = 0, y + 1, 0
        for panel in panels:
            number += 1
            size = panel["gridPos"]
            if x + size["w"] > WIDE:
                x, y, height = 0, y + height, 0
            yield {"id": number} | panel | {"gridPos": {"x": x, "y": y, **size}}
            x, height = x + size["w"], max(height, size["h"])
        y += height


def _variable(name: str, label: str, metric: str) -> dict[str, Any]:
    values = f"label_values({metric}, {name})"
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE,
        "query": {"query": values, "refId": name}, "definition": values,
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def dashboard() -> dict[str, Any]:
    """As Grafana's file format has it."""
    return {
        "uid": "order-relay",
        "title": "order-relay",
        "description": "Are orders flowing? The first row says it; the rows below say why not.",
        "tags": ["order-relay"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
                 "current": {"text": "Prometheus", "value": "prometheus"}},
                _variable("channel", "Channel", "relay_channel_rate"),
                _variable("storefront", "Storefront", "relay_last_event_timestamp_seconds"),
            ]
        },
        "annotations": {"list": []},
        "links": [],
        "panels": list(_placed()),
    }  # fmt: skip


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
