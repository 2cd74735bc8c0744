"""The demo shows the main job done, and would say so if it were not."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from relay.core.instant import SECOND
from relay.core.sources import Upsert
from relay.core.sources.shopify import Shopify
from relay.demo import report
from relay.demo.driver import Answer
from relay.demo.evidence import Evidence, Request
from relay.demo.orders import State, content_of
from relay.demo.process import counted
from relay.demo.story import EXPECTED, Kind, Plan, Story, told
from relay.demo.verdict import judge

NOW = 1_800_000_000 * SECOND
PLAN = Plan(orders=40, rate=10)
DEMO = [sys.executable, "-m", "relay", "demo"]


def demo(temporary: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(temporary), "COLUMNS": "80"}
    return subprocess.Popen([*DEMO, *options], stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment)


def test_the_demo_ends_with_nothing_lost_and_a_table_a_stranger_understands(tmp_path: Path) -> None:
    with demo(tmp_path, "--orders", "80", "--rate", "20") as process:
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    figures = dict(line.split()[:2] for line in printed.splitlines() if line.startswith("   ") and line.strip())
    assert figures["lost"] == "0"
    assert int(figures["delivered"]) >= 96
    assert (figures["stale"], figures["duplicate"], figures["unchanged"]) == ("5", "8", "2")
    for promised in (
        "acknowledged",
        "merged",
        "dead letter",
        "pace allowed",
        "20/s",
        "pace used",
        "Everything adds up",
    ):
        assert promised in printed
    assert "at most 21 in any second: 20/s and a burst of 1" in printed
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert [line for line in printed.splitlines() if line != line.rstrip()] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path, "--orders", "100", "--rate", "20") as process:
        assert process.stdout is not None
        while "delivered" not in process.stdout.readline():
            pass
        (folder,) = tmp_path.iterdir()
        assert len(relays_of(folder)) == 1
        process.send_signal(number)
        assert process.wait(timeout=30) == 1
    assert relays_of(folder) == []
    assert list(tmp_path.iterdir()) == []


def relays_of(folder: Path) -> list[str]:
    running = (Path(entry) / "cmdline" for entry in Path("/proc").glob("[0-9]*"))
    return [found for file in running if str(folder) in (found := read(file))]


def read(file: Path) -> str:
    try:
        return file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


# -- the story -------------------------------------------------------------------------------------------------------


def test_every_webhook_of_the_story_is_a_shopify_order_of_a_few_kilobytes() -> None:
    shop = Shopify(("secret",))
    for webhook in told(PLAN, NOW).webhooks:
        identified = shop.identify({"X-Shopify-Topic": webhook.topic}, webhook.body, now=NOW)
        assert getattr(identified, "external_id", None) == webhook.state.order.external_id
        if webhook.kind is not Kind.CANCELLED:
            assert isinstance(identified, Upsert)
            assert identified.version == webhook.state.updated_at
        if webhook.kind is not Kind.TRIMMED:
            assert 1_500 < len(webhook.body) < 6_000


def test_what_the_demo_expects_at_jetti_is_what_the_mapping_makes_of_it() -> None:
    from relay.core.sale import encode
    from relay.core.sources import Mapped

    shop = Shopify(("secret",))
    for webhook in told(PLAN, NOW).webhooks:
        if webhook.kind is not Kind.TRIMMED:
            mapped = shop.sale(webhook.body, webhook.topic)
            assert isinstance(mapped, Mapped)
            assert content_of(encode(mapped.sale)) == webhook.state.content


def test_within_an_act_no_two_webhooks_are_about_one_order() -> None:
    for act in told(PLAN, NOW).rush:
        orders = [webhook.state.order.number for webhook in act.webhooks]
        assert len(set(orders)) == len(orders)


# -- the verdict -----------------------------------------------------------------------------------------------------


def perfect(story: Story) -> Evidence:
    """What a relay without fault would leave behind."""
    answers, requests, sales = [], [], {}
    acted = Counter[str]()
    for n, webhook in enumerate(story.webhooks):
        status = 401 if webhook.kind is Kind.FORGED else 200
        answers.append(Answer(webhook, n / 1000, n / 1000 + 0.002, status, EXPECTED[webhook.kind][0]))
        acted[EXPECTED[webhook.kind][0]] += 1
    newest: dict[str, State] = {}
    for webhook in story.webhooks:
        known = newest.get(webhook.state.order.external_id)
        if webhook.kind not in (Kind.TRIMMED, Kind.FORGED) and (known is None or known.version < webhook.state.version):
            newest[webhook.state.order.external_id] = webhook.state
    kinds = {w.state.order.external_id: w.kind for w in story.webhooks if w.kind in (Kind.NEW, Kind.UPDATE)}
    for n, (order, kind) in enumerate(sorted(kinds.items(), key=lambda item: item[1] is not Kind.NEW)):
        at = 1.0 + n / PLAN.rate
        requests.append(Request(order, at, at - 0.01, 200, newest[order].content))
        sales[order] = newest[order].content
        assert kind in (Kind.NEW, Kind.UPDATE)
    trimmed = next(w for w in story.webhooks if w.kind is Kind.TRIMMED).state.order.external_id
    counters = Counter(
        {f'relay_events_total{{disposition="{said}",storefront="shop"}}': count for said, count in acted.items()}
    )
    del counters['relay_events_total{disposition="bad-signature",storefront="shop"}']
    counters['relay_requests_refused_total{status="401",storefront="shop",type="bad-signature"}'] = 1
    counters['relay_attempts_total{channel="main",outcome="sent"}'] = len(requests)
    counters['relay_events_amended_total{disposition="unchanged",storefront="shop"}'] = 2
    return Evidence(PLAN, answers, requests, sales, 0, counters, {trimmed: "no lines"}, 0)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return perfect(told(PLAN, NOW))


def test_a_relay_without_fault_adds_up(evidence: Evidence) -> None:
    verdict = judge(evidence)
    assert verdict.mistakes == ()
    assert verdict.lost == 0
    parts = verdict.delivered + verdict.merged + verdict.stale + verdict.duplicate + verdict.unchanged + verdict.dead
    assert verdict.acknowledged == parts


@pytest.mark.parametrize(
    ("used", "share", "words"),
    [(1.0, "100.0%", "all of it; "), (1.02, "100.0%", "all of it; "), (0.9996, "100.0%", "all of it; "),
     (0.973, "97.3%", "while orders waited; "), (1.3, "130.0%", "while orders waited; ")],
)  # fmt: skip
def test_a_pace_used_in_full_is_all_of_it_and_never_a_little_more(
    evidence: Evidence, used: float, share: str, words: str
) -> None:
    out = Console(file=StringIO(), width=80)
    report.tell_end(out, evidence, replace(judge(evidence), pace_used=used, most_in_a_second=11))
    assert isinstance(out.file, StringIO)
    (row,) = [line for line in out.file.getvalue().splitlines() if "pace used" in line]
    assert row.split(maxsplit=3) == ["pace", "used", share, f"{words}11 in the busiest second"]


def test_an_acknowledged_order_that_jetti_does_not_have_is_counted_as_lost(evidence: Evidence) -> None:
    gone = evidence.requests[-1].external_id
    sales = {order: content for order, content in evidence.sales.items() if order != gone}
    verdict = judge(replace(evidence, sales=sales))
    assert verdict.lost == 1
    assert not verdict.adds_up
    assert verdict.mistakes[0].startswith("lost: 1 acknowledged orders")


def older(evidence: Evidence) -> Evidence:
    """Jetti has the state before the newest of an order."""
    order = next(a.webhook.state for a in evidence.answers if a.webhook.kind is Kind.CANCELLED).order.external_id
    before = next(a.webhook.state.content for a in evidence.answers if a.webhook.state.order.external_id == order)
    return replace(evidence, sales={**evidence.sales, order: before})


def again(evidence: Evidence) -> Evidence:
    last = evidence.requests[-1]
    return replace(evidence, requests=[*evidence.requests, replace(last, at=last.at + 0.1, earliest_at=last.at + 0.09)])


def in_a_burst(evidence: Evidence) -> Evidence:
    together = [replace(r, at=min(r.at, 3.0 + n / 1000), earliest_at=min(r.earliest_at, 3.0)) for n, r in
                enumerate(evidence.requests)]  # fmt: skip
    return replace(evidence, requests=together)


def updates_first(evidence: Evidence) -> Evidence:
    times = [(r.at, r.earliest_at) for r in evidence.requests]
    turned = [
        replace(r, at=at, earliest_at=early) for r, (at, early) in zip(evidence.requests[::-1], times, strict=True)
    ]
    return replace(evidence, requests=turned)


def miscounted(evidence: Evidence) -> Evidence:
    return replace(evidence, counters=evidence.counters + Counter({"relay_events_total{x}": 1}))


def refused(evidence: Evidence) -> Evidence:
    return replace(evidence, requests=[replace(evidence.requests[0], status=429), *evidence.requests[1:]])


def believed(evidence: Evidence) -> Evidence:
    """The forged webhook was accepted."""
    answers = [replace(a, status=200, said="queued") if a.status == 401 else a for a in evidence.answers]
    return replace(evidence, answers=answers)


def crashed(evidence: Evidence) -> Evidence:
    return replace(evidence, exit_code=-9)


def forgotten(evidence: Evidence) -> Evidence:
    return replace(evidence, dead={})


def overlapping(evidence: Evidence) -> Evidence:
    return replace(evidence, overlaps=1)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (older, "whose newest state Jetti does not have"),
        (again, "arrived twice or backwards"),
        (again, "more or less often than expected"),
        (in_a_burst, "arrived within one second"),
        (updates_first, "while 8 new orders waited"),
        (miscounted, "/metrics says relay_events_total{x} 1, and 0 were seen"),
        (refused, "were not answered 200"),
        (believed, "answered otherwise than expected"),
        (crashed, "exit code after SIGTERM was -9"),
        (forgotten, "dead letters are none"),
        (overlapping, "in flight"),
    ],
)
def test_each_kind_of_mistake_is_told(evidence: Evidence, tamper: Callable[[Evidence], Evidence], said: str) -> None:
    assert any(said in mistake for mistake in judge(tamper(evidence)).mistakes)


def test_counters_are_read_out_of_what_prometheus_scrapes() -> None:
    exposed = '# HELP a_total x\na_total{b="c"} 3.0\nd{e="f"} 1.0\na_total{b="g"} 1e+03\n'
    assert counted(exposed) == {'a_total{b="c"}': 3, 'a_total{b="g"}': 1000}
