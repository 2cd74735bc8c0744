"""What is told is told once, whole, and without anything that should not be in a log."""

import asyncio
import inspect
import io
import json
import logging
import os
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from relay import ingest, listener
from relay.core.breaker import Circuit
from relay.core.delivery import Lane, State
from relay.core.events import (
    AttemptMade,
    ChannelThrottled,
    CircuitMoved,
    Committed,
    DoorMoved,
    EventAccepted,
    EventFound,
    ExportMoved,
    Greeted,
    Happening,
    HeldWanted,
    Housekept,
    LoopLate,
    PermitTaken,
    PersonActed,
    ProbeFailed,
    ReplayAdvanced,
    RequestRefused,
    SaleMade,
    Started,
    Stopped,
    Stopping,
    StoreTrouble,
    Unexpected,
    Warned,
)
from relay.core.order import Disposition
from relay.core.outcome import Cause
from relay.core.pressure import REFUSALS, Limit
from relay.core.sale import Reason
from relay.core.trace import Trace
from relay.observe.logs import Format, Gathered, Level, Logs, libraries_in, logger
from relay.observe.metrics import REFUSED as REFUSED_KNOWN
from relay.observe.metrics import REFUSED_UNKNOWN, ChannelFigures, Figures, Metrics
from relay.observe.pages import ONLY_ALERTS, Page
from relay.sandbox import Fault, SandboxSettings
from relay.store import Size
from tests.fakes import SHOP_SECRET, TILL_SECRET, Shop, manual_sale, shopify_order
from tests.running import UNLIMITED, relay_running

SECRETS = (SHOP_SECRET, TILL_SECRET, UNLIMITED.webhook_hash)
LOGS = Path(__file__).parent.parent / "docs/reference/logs.md"
PERSONAL = (
    "Ada", "Buyer", "Grace", "Receiver", "buyer.example", "private.example", "Ledger Lane", "Parcel Place", "H2Y 1C6",
    "555 01", "Ring twice",
)  # fmt: skip

ATTEMPT = AttemptMade(
    channel="main", storefront="shop", order_id=7, order="1001", reference="#1001", revision=2, lane=Lane.UPDATE,
    outcome="failed", status=500, code="api.x", message="Ada Buyer is unknown", duration_s=0.0123, attempts=3,
    accepted_to_sent_s=None, state=State.SLEEPING, due_at=1_795_000_000_000_000,
)  # fmt: skip
UNAUTHORIZED = Cause("api.errors.unauthorized", "The hash is wrong.", 401)
REFUSED = Cause("http_422", "Ada Buyer has no address", 422)
DOWN = Cause("connect", "no connection", None)
HALTED = CircuitMoved("main", Circuit.CLOSED, Circuit.HALTED, UNAUTHORIZED)
OPENED = CircuitMoved("main", Circuit.CLOSED, Circuit.OPEN, DOWN)
CLOSED = CircuitMoved("main", Circuit.OPEN, Circuit.CLOSED, None)
HAPPENINGS: tuple[Happening, ...] = (
    EventAccepted(
        "shop",
        "orders/create",
        Disposition.QUEUED,
        1,
        "1001",
        "#1001",
        1,
        None,
        3000,
        0.0021,
        channel="main",
        order_id=17,
    ),
    EventFound("main", "shop", "1001", "#1001", 1, Disposition.QUARANTINED, (Reason("/email", "missing"),)),
    RequestRefused("shop", 401, "bad-signature", "the signature matches none", 0.001, "/webhooks/shop"),
    ATTEMPT,
    ChannelThrottled("main", 30.0, Cause("http_429", "too fast", 429), 5.0),
    HALTED,
    ProbeFailed("main", Circuit.HALTED, UNAUTHORIZED, 20.0),
    PersonActed("ada", "pause", "channel main", "a migration"),
    DoorMoved("disk", ("shop",), "100 MB are free"),
    Housekept(10, 20, 30, 4, 5, 4096, 0.004, 1.5),
    ReplayAdvanced(3, 100, 2, 400, ended=False),
    HeldWanted("shop", 40, 2),
    StoreTrouble("accepting an event", "disk full"),
    Unexpected("ingest", ValueError("oh")),
    PermitTaken("main", 0.1),
    Committed(12, 0.003),
    LoopLate(0.02),
)
STARTED = Started("1.2.3", "http://a:1", "http://b:2", "sqlite:relay.db", ("shop", "till"), ("main",))
LIFE: tuple[Happening, ...] = (
    STARTED, Warned("the store is memory:", "set store.url"), Stopping(20.0), Stopped(),
    Greeted("shop", "a ping"), ExportMoved(True, "collector:4318: gone", 8), ExportMoved(False, "", 8),
)  # fmt: skip
"""What has a line, and moves no metric."""


def lines(*happenings: Happening, level: Level = "info", form: Format = "json") -> list[dict[str, Any]]:
    out = io.StringIO()
    logs = Logs(logger(level, form, out))
    for happening in happenings:
        logs(happening)
    return [json.loads(line) for line in out.getvalue().split("\n") if line]


# -- the log -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("happening", HAPPENINGS[:-3] + LIFE, ids=lambda happening: type(happening).__name__)
def test_everything_that_happens_is_one_line_of_json_with_level_and_time(happening: Happening) -> None:
    (line,) = lines(happening)

    assert line["level"] in ("info", "warning", "error")
    assert line["timestamp"].endswith("Z")


def test_a_permit_is_not_worth_a_line() -> None:
    assert lines(HAPPENINGS[-1]) == []


def test_a_line_names_the_trace_where_there_is_one() -> None:
    trace = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
    accepted = EventAccepted("shop", "orders/create", Disposition.QUEUED, 1, "1001", "#1001", 1, None, 3000, 0.0021)
    found = EventFound("main", "shop", "1001", "#1001", 1, Disposition.HELD, trace=trace)
    refused = RequestRefused("shop", 422, "invalid-sale", "no e-mail", 0.001, "/orders", trace)
    told = (replace(accepted, trace=trace), found, refused, replace(ATTEMPT, trace=trace))

    assert [line["trace_id"] for line in lines(*told)] == [trace.trace_id] * 4
    assert [line for line in lines(*HAPPENINGS) if "trace_id" in line] == []


def test_the_line_of_an_event_has_everything_in_it() -> None:
    (line,) = lines(HAPPENINGS[0])
    del line["timestamp"]

    assert line == {
        "event": "event", "level": "info", "storefront": "shop", "topic": "orders/create", "disposition": "queued",
        "event_id": 1, "order": "1001", "reference": "#1001", "revision": 1, "duplicate_of": None, "bytes": 3000,
        "duration_ms": 2.1, "reasons": [], "channel": "main", "order_id": 17,
    }  # fmt: skip


def test_a_rate_is_written_without_the_noise_of_its_arithmetic() -> None:
    (line,) = lines(ChannelThrottled("main", 1.1 + 2.2, Cause("http_429", "too fast", 429), 4.500000000000002))

    assert (line["seconds"], line["rate"]) == (3.3, 4.5)


def test_an_event_from_which_no_order_can_be_read_is_a_warning_with_its_reasons() -> None:
    accepted = EventAccepted("shop", "", Disposition.QUARANTINED, 1, None, None, None, None, 9, 0.0021, (
        Reason("/id", "expected the order's id"), Reason("", "not an order")))  # fmt: skip
    (line,) = lines(accepted)

    assert (line["level"], line["reasons"]) == ("warning", ["/id: expected the order's id", "body: not an order"])


def test_the_line_of_a_refusal_has_the_path() -> None:
    (line,) = lines(HAPPENINGS[2])

    assert (line["event"], line["path"]) == ("refused", "/webhooks/shop")


def test_the_line_of_a_start_says_what_runs_where() -> None:
    (line,) = lines(STARTED)
    del line["timestamp"]

    assert line == {
        "event": "started", "level": "info", "version": "1.2.3", "public": "http://a:1", "private": "http://b:2",
        "store": "sqlite:relay.db", "storefronts": ["shop", "till"], "channels": ["main"],
    }  # fmt: skip


def test_what_is_wrong_with_the_configuration_is_an_error_and_what_is_only_risky_a_warning() -> None:
    risky, wrong = lines(LIFE[1], Warned("storefronts.shop.secrets is the example's", "put your own there", True))

    assert (risky["level"], risky["remedy"]) == ("warning", "set store.url")
    assert (wrong["level"], wrong["what"]) == ("error", "storefronts.shop.secrets is the example's")


def test_stopping_and_having_stopped_are_a_line_each() -> None:
    assert [line["event"] for line in lines(*LIFE[2:4])] == ["stopping", "stopped"]


def test_the_line_of_an_attempt_has_everything_in_it_but_what_jetti_said_of_the_order() -> None:
    (line,) = lines(ATTEMPT)
    del line["timestamp"]

    assert line == {
        "event": "attempt", "level": "warning", "channel": "main", "storefront": "shop", "order": "1001",
        "reference": "#1001", "revision": 2, "lane": "update", "outcome": "failed", "status": 500, "code": "api.x",
        "message": "", "duration_ms": 12.3, "attempts": 3, "state": "sleeping", "accepted_to_sent_s": None,
        "due_at": "2026-11-18T11:06:40.000Z", "order_id": 7,
    }  # fmt: skip


def test_a_line_stays_one_line_whatever_is_in_it() -> None:
    refused = RequestRefused("shop", 415, "not-json", 'Content-Type is a\nb\r\x1b[31m"\u2028', 0.001)

    assert len(lines(refused)) == 1


def test_only_lines_of_the_level_asked_for_are_written() -> None:
    events = [line["event"] for line in lines(*HAPPENINGS, level="error")]

    assert events == ["circuit", "probe", "door", "store", "unexpected"]


# -- alarms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("happening", "level"),
    [
        (HALTED, "error"),
        (OPENED, "warning"),
        (CLOSED, "info"),
        (ProbeFailed("main", Circuit.HALTED, UNAUTHORIZED, 20.0), "error"),
        (ProbeFailed("main", Circuit.OPEN, DOWN, 2.0), "warning"),
        (ChannelThrottled("main", 30.0, Cause("http_429", "too fast", 429), 5.0), "warning"),
        (PersonActed("ada", "discard", "order 17", "a test"), "info"),
        (DoorMoved("backlog", ("shop",), "10 wait"), "error"),
        (DoorMoved("backlog", (), "9 wait"), "info"),
        (ReplayAdvanced(3, 400, 0, 400, ended=True), "info"),
        (ReplayAdvanced(3, 398, 2, 400, ended=True), "warning"),
    ],
)
def test_the_level_of_a_line_says_whether_a_person_is_needed(happening: Happening, level: str) -> None:
    (line,) = lines(happening)

    assert line["level"] == level


def test_the_line_of_a_circuit_says_what_moved_where_and_why() -> None:
    (line,) = lines(HALTED)
    del line["timestamp"]

    assert line == {
        "event": "circuit", "level": "error", "channel": "main", "circuit": "halted", "before": "closed",
        "code": "api.errors.unauthorized", "status": 401, "message": "", "runbook": "channel-halted",
    }  # fmt: skip


def test_what_jetti_said_of_an_order_is_not_in_the_line_of_the_channel_it_halted() -> None:
    (line,) = lines(CircuitMoved("main", Circuit.CLOSED, Circuit.HALTED, REFUSED))

    assert (line["code"], line["message"]) == ("http_422", "")


def test_every_page_of_the_runbook_is_named_by_a_line_unless_only_alerts_can() -> None:
    dead = replace(ATTEMPT, state=State.DEAD)
    lost = EventAccepted("shop", "", Disposition.QUARANTINED, 1, None, None, None, None, 9, 0.1)
    refusals = [
        RequestRefused("shop", 503, kind, "", 0.1)
        for kind in (
            "busy",
            "too-many-connections",
            "store-failed",
            "internal",
            *(refusal.name for refusal in REFUSALS.values()),
        )
    ]
    doors = [DoorMoved(limit.value, ("shop",), "") for limit in Limit]
    ended = ReplayAdvanced(3, 398, 2, 400, ended=True)
    found = [line.get("runbook") for line in lines(*HAPPENINGS, *refusals, *doors, OPENED, dead, lost, ended)]

    assert set(found) - {None} == set(Page) - ONLY_ALERTS
    assert None not in [line.get("runbook") for line in lines(*refusals, *doors)]


def test_what_asks_nothing_of_anybody_names_no_page() -> None:
    fine = (CLOSED, DoorMoved("disk", (), "free"), ATTEMPT, PersonActed("ada", "resume", "channel main", ""))

    assert [line.get("runbook") for line in lines(*fine)] == [None] * 4


def test_a_line_begins_with_when_how_bad_and_what() -> None:
    for line in lines(*HAPPENINGS, *LIFE, level="debug"):
        assert list(line)[:3] == ["timestamp", "level", "event"]


def test_on_a_terminal_a_line_says_what_there_is_to_say_in_the_order_of_its_fields() -> None:
    out = io.StringIO()
    Logs(logger("info", "console", out))(replace(ATTEMPT, outcome="sent", code="", message="", state=State.SENT))
    line = re.sub(r"\x1b\[\d*m", "", out.getvalue())

    assert re.findall(r"(\w+)=", line)[:4] == ["channel", "storefront", "order", "reference"]
    assert not re.findall(r"=(?:None|''|\[\]|\(\))(?:\s|$)", line)


def test_a_traceback_never_shows_local_variables() -> None:
    forms: tuple[Format, ...] = ("json", "console")
    for form in forms:
        out = io.StringIO()
        try:
            broken(f"the-{Lane.NEW and 'local'}-secret")
        except ValueError as error:
            Logs(logger("info", form, out))(Unexpected("ingest", error))

        assert "ValueError" in out.getvalue()
        assert "the-local-secret" not in out.getvalue()


def broken(secret: str) -> None:
    raise ValueError(len(secret))


def test_an_exception_is_told_with_all_that_is_behind_it_and_without_its_words() -> None:
    personal = " ".join(PERSONAL[:2])  # not as it is in the line that a traceback shows
    (line,) = lines(Unexpected("ingest", grouped(personal)))

    assert personal not in json.dumps(line)
    assert re.findall(r"(?m)^\w+$", line["exception"]) == ["ExceptionGroup", "KeyError", "TypeError", "ValueError"]
    assert f'File "{__file__}", line' in line["exception"]


def grouped(said: str) -> ExceptionGroup[Exception]:
    made = ExceptionGroup(f"of {said}", [KeyError(said), TypeError(said)])
    with suppress(ExceptionGroup):
        try:
            int(said)
        except ValueError as error:
            raise made from error
    return made


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("expected the order's id, found 'Ada'; the shop's own", "expected the order's id, found •••; the shop's own"),
        ("""found "Ada O'Buyer", not a number""", "found •••, not a number"),
        (r"found 'Ada \'the\' Buyer\\' and 'Grace'", "found ••• and •••"),
        ("expected text, found a list", "expected text, found a list"),
    ],
)
def test_a_reason_says_what_is_wrong_where_and_not_the_value(message: str, shown: str) -> None:
    reasons = (Reason("/email", message),)
    found = lines(
        EventFound("main", "shop", "1", None, 1, Disposition.QUARANTINED, reasons),
        RequestRefused("till", 422, "invalid-sale", message, 0.1, "/orders", reasons=reasons),
    )

    assert [line["reasons"] for line in found] == [[f"/email: {shown}"]] * 2
    assert found[1]["detail"] == shown


def test_of_many_reasons_the_first_are_told() -> None:
    reasons = tuple(Reason(f"/lines/{i}", "wrong") for i in range(100))
    (line,) = lines(EventFound("main", "shop", "1", None, 1, Disposition.QUARANTINED, reasons))

    assert len(line["reasons"]) == 11
    assert line["reasons"][-1] == "body: and 90 more reasons"


def test_a_code_that_is_a_sentence_is_not_repeated() -> None:
    (line,) = lines(replace(ATTEMPT, code="api.Ada Buyer is unknown"))

    assert line["code"] == "unreadable"


@pytest.mark.parametrize("outcome", ["sent", "fetched", "cancelled", "not_yet", "handed_back"])
def test_an_attempt_that_is_nobodys_fault_is_routine(outcome: str) -> None:
    well = replace(ATTEMPT, outcome=outcome, state=State.SENT)
    dead = replace(well, state=State.DEAD)

    assert [(line["level"], line["due_at"]) for line in lines(well, dead)] == [("info", None), ("warning", None)]


def test_what_is_quiet_is_written_only_where_it_is_somebodys_fault() -> None:
    out = io.StringIO()
    logs = Logs(logger("info", "json", out, quiet=("event", "attempt")))
    lost = EventAccepted("shop", "", Disposition.QUARANTINED, 1, None, None, None, None, 9, 0.1)
    for happening in (HAPPENINGS[0], replace(ATTEMPT, outcome="sent"), STARTED, lost, ATTEMPT):
        logs(happening)

    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["started", "event", "attempt"]


def test_every_line_there_is_is_documented_with_its_levels_and_its_fields() -> None:
    everything = (
        *HAPPENINGS, *LIFE, OPENED, CLOSED, replace(ATTEMPT, outcome="sent"),
        SaleMade("main", "shop", "1001", 1, 0, 0.1, to_be_sent=True, trace=Trace("4b" * 16, "f0" * 8, sampled=True)),
        EventAccepted("shop", "", Disposition.QUARANTINED, 1, None, None, None, None, 9, 0.1),
        EventFound("main", "shop", "1001", "#1001", 1, Disposition.HELD),
        RequestRefused("shop", 503, "busy", "", 0.1), RequestRefused("shop", 503, "internal", "", 0.1),
        ProbeFailed("main", Circuit.OPEN, DOWN, 2.0), DoorMoved("disk", (), "free"),
        ReplayAdvanced(3, 398, 2, 400, ended=True), Warned("wrong", "mend it", is_wrong=True),
    )  # fmt: skip
    levels: dict[str, set[str]] = defaultdict(set)
    fields: dict[str, set[str]] = defaultdict(set)
    for line in lines(*everything, level="debug"):
        levels[line["event"]].add(line["level"])
        fields[line["event"]] |= line.keys() - {"event", "level", "timestamp", "runbook"}
    rows = re.findall(r"(?m)^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]*)\|$", LOGS.read_text())
    documented = {event: (set(re.findall(r"`(\w+)`", said)), set(re.findall(r"`(\w+)`", names))) for event, said, names
                  in rows}  # fmt: skip
    unemitted = {"library": {"logger", "message", "error", "exception"}, "lines_dropped": {"lines"}}

    assert {type(happening) for happening in everything} == set(get_args(Happening))
    assert {event: names for event, (_, names) in documented.items()} == {**fields, **unemitted}
    assert {event: said for event, (said, _) in documented.items() if event in levels} == levels


def test_what_libraries_complain_of_is_in_the_same_log_without_what_a_stranger_sent() -> None:
    out = io.StringIO()
    with libraries_in(logger("info", "json", out)):
        logging.getLogger("asyncio").warning("slow: %s", "callback")
        logging.getLogger("asyncio").info("no warning")
        for name in ("aiohttp.server", "asyncio"):
            try:
                int("Authorization: Bearer t0" + "ken")
            except ValueError as error:
                said = f"Error handling request\nfuture: <Task exception={error!r}>"  # as asyncio words it
                logging.getLogger(name).log(logging.ERROR, said, exc_info=True)
    logging.getLogger("asyncio").debug("not any more")
    found = [json.loads(line) for line in out.getvalue().splitlines()]

    assert [(line["logger"], line["level"]) for line in found] == [
        ("asyncio", "warning"), ("aiohttp.server", "error"), ("asyncio", "error"),
    ]  # fmt: skip
    assert [(line["message"], line["error"]) for line in found[1:]] == [("Error handling request", "ValueError")] * 2
    assert "t0ken" not in out.getvalue()


async def test_one_line_per_event_and_per_attempt_and_nothing_personal_in_any(tmp_path: Path) -> None:
    out = io.StringIO()
    faults = (Fault(status=422, external_id="1002", title="api.sale.invalid"), Fault(status=500, count=1))
    jetti = SandboxSettings(async_rate=None, faults=faults)
    logs = Logs(logger("debug", "json", out))
    async with relay_running(tmp_path, jetti=jetti, observers=(logs,)) as (relay, _), Shop(relay.public_url) as shop:
        await shop.send(shopify_order(1001))
        await shop.send(shopify_order(1002))
        await shop.send(shopify_order(1003, email="Ada Buyer"))
        await shop.send(shopify_order(1004, customer=None, email=None, contact_email=None))
        await shop.send(b'{"note": "Ada Buyer"', topic="orders/create")
        await shop.post("/orders", manual_sale(5), {"Authorization": f"Bearer {TILL_SECRET}"})
        await shop.post("/orders", manual_sale(6, customer="Ada"), {"Authorization": f"Bearer {TILL_SECRET}"})
        await shop.post("/webhooks/shop", shopify_order(7), {"X-Shopify-Hmac-Sha256": SHOP_SECRET})
        await relay.happenings.until(
            lambda: (
                len([made for made in relay.happenings.of(AttemptMade) if made.outcome != "failed"]) == 4
                and len(relay.happenings.of(EventFound)) == 1
            )
        )
        told = list(relay.happenings)
    found = [json.loads(line) for line in out.getvalue().splitlines()]

    counts = {kind: len([line for line in found if line["event"] == kind]) for kind in ("event", "attempt", "refused")}
    assert counts == {
        "event": len([h for h in told if isinstance(h, EventAccepted)]),
        "attempt": len([h for h in told if isinstance(h, AttemptMade)]),
        "refused": 2,
    }
    assert counts["event"] == 6
    assert [word for word in (*SECRETS, *PERSONAL) if word in out.getvalue()] == []


# -- metrics -----------------------------------------------------------------------------------------------------------


FIGURES = Figures(
    tally={("main", State.WAITING, Lane.NEW): 3},
    oldest_due={("main", Lane.NEW): 1_000_000},
    dead={(None, "no_order"): 7, ("main", "http_422"): 2, ("main", "unmappable"): 3, ("gone", "timeout"): 4},
    channels={
        "main": ChannelFigures(2, 5.0, 10.0, Circuit.OPEN, paused=True, resting_s=1.5, state="paused", drain_s=None)
    },
    size=Size(store=4096, wal=512, unused=256, disk_free=1_000_000),
    now=3_500_000,
    ready=False,
)


def exposed(metrics: Metrics, figures: Figures = FIGURES) -> list[str]:
    return metrics.expose(figures).decode().splitlines()


def fresh() -> Metrics:
    return Metrics(version="1.2.3", storefronts=["shop"], channels=["main"], now=lambda: 5_000_000)


def test_gauges_are_what_the_store_and_the_channel_say_when_asked() -> None:
    text = exposed(fresh())

    for line in (
        'relay_orders{channel="main",lane="new",state="waiting"} 3.0',
        'relay_orders{channel="main",lane="update",state="dead"} 0.0',
        'relay_oldest_due_age_seconds{channel="main",lane="new"} 2.5',
        'relay_oldest_due_age_seconds{channel="main",lane="update"} 0.0',
        'relay_drain_seconds{channel="main"} +Inf',
        'relay_orders_blocked{by="paused",channel="main"} 3.0',
        'relay_orders_blocked{by="halted",channel="main"} 0.0',
        "relay_orders_stranded 0.0",
        "relay_ready 0.0",
        'relay_in_flight{channel="main"} 2.0',
        'relay_channel_resting_seconds{channel="main"} 1.5',
        'relay_channel_paused{channel="main"} 1.0',
        'relay_circuit{channel="main",circuit="open"} 1.0',
        'relay_circuit{channel="main",circuit="closed"} 0.0',
        'relay_circuit{channel="main",circuit="halted"} 0.0',
        "relay_events_without_order 7.0",
        'relay_dead_letters_present{cause="unreadable",channel="none"} 7.0',
        'relay_dead_letters_present{cause="refused",channel="main"} 2.0',
        'relay_dead_letters_present{cause="unmappable",channel="main"} 3.0',
        'relay_dead_letters_present{cause="gave_up",channel="main"} 0.0',
        'relay_dead_letters_present{cause="gave_up",channel="unconfigured"} 4.0',
        "relay_store_bytes 4096.0",
        "relay_wal_bytes 512.0",
        "relay_store_unused_bytes 256.0",
        "relay_disk_free_bytes 1e+06",
        'relay_channel_rate{channel="main"} 5.0',
        'relay_channel_configured_rate{channel="main"} 10.0',
        'relay_build_info{version="1.2.3"} 1.0',
    ):
        assert line in text


def test_everything_that_happens_moves_a_metric() -> None:
    for happening in HAPPENINGS:
        metrics = fresh()
        before = set(exposed(metrics))
        metrics(happening)
        moved = [line for line in set(exposed(metrics)) - before if line.startswith("relay_")]
        assert moved, happening


def test_starting_and_stopping_move_no_metric() -> None:
    metrics = fresh()
    before = exposed(metrics)
    for happening in LIFE:
        metrics(happening)

    assert [line for line in before if line.startswith("relay_")] == [
        line for line in exposed(metrics) if line.startswith("relay_")
    ]


def test_a_clock_that_goes_backwards_makes_no_negative_age() -> None:
    metrics = fresh()
    text = exposed(metrics, replace(FIGURES, oldest_due={("main", Lane.NEW): 9}, now=1))

    assert 'relay_oldest_due_age_seconds{channel="main",lane="new"} 0.0' in text


def test_a_store_without_a_disk_shows_no_sizes_rather_than_a_full_disk() -> None:
    text = exposed(fresh(), replace(FIGURES, size=None))

    assert [line for line in text if "_disk_" in line or "_wal_" in line] == []


def test_what_happens_to_a_channel_is_counted_by_what_it_came_to() -> None:
    metrics = fresh()
    for happening in (HALTED, OPENED, CLOSED, *HAPPENINGS):
        metrics(happening)
    text = exposed(metrics)

    for line in (
        'relay_channel_throttles_total{channel="main"} 1.0',
        'relay_circuit_moves_total{channel="main",circuit="halted"} 2.0',
        'relay_circuit_moves_total{channel="main",circuit="closed"} 1.0',
        'relay_channel_probes_failed_total{channel="main",circuit="halted"} 1.0',
        'relay_deeds_total{what="pause"} 1.0',
        'relay_door_refusing{limit="disk"} 1.0',
        'relay_housekeeping_deleted_total{kind="bodies"} 20.0',
        "relay_housekeeping_returned_bytes_total 4096.0",
        "relay_housekeeping_held_seconds 0.004",
        "relay_replays_running 1.0",
    ):
        assert line in text


def test_orders_of_a_channel_that_is_not_configured_are_stranded() -> None:
    gone = {
        ("gone", State.WAITING, Lane.NEW): 2,
        ("gone", State.SLEEPING, Lane.UPDATE): 1,
        ("gone", State.SENT, Lane.NEW): 9,
    }
    text = exposed(fresh(), replace(FIGURES, tally={**FIGURES.tally, **gone}))

    assert "relay_orders_stranded 3.0" in text
    assert [line for line in text if 'channel="gone"' in line] == []


def test_a_channel_that_sends_says_when_its_backlog_is_gone_and_blocks_nothing() -> None:
    sending = {"main": ChannelFigures(0, 10.0, 10.0, drain_s=0.3)}
    text = exposed(fresh(), replace(FIGURES, channels=sending))

    assert 'relay_drain_seconds{channel="main"} 0.3' in text
    assert [line for line in text if line.startswith("relay_orders_blocked") and not line.endswith(" 0.0")] == []


@pytest.mark.parametrize("name", ["fetch:shop", "cancel:main"])
def test_a_channel_that_is_none_of_the_configuration_is_counted_like_any_other(name: str) -> None:
    metrics = fresh()
    metrics(replace(ATTEMPT, channel=name))
    metrics(PermitTaken(name, 0.1))
    text = exposed(
        metrics,
        replace(FIGURES, channels={**FIGURES.channels, name: ChannelFigures(1, 2.0, 2.0)},
                tally={(name, State.WAITING, Lane.NEW): 4}),
    )  # fmt: skip

    assert f'relay_attempts_total{{channel="{name}",outcome="failed"}} 1.0' in text
    assert f'relay_orders{{channel="{name}",lane="new",state="waiting"}} 4.0' in text
    assert "relay_orders_stranded 0.0" in text


@pytest.mark.parametrize(
    ("happening", "cause"),
    [
        (EventAccepted("shop", "", Disposition.QUARANTINED, 1, None, None, None, None, 9, 0.1), "unreadable"),
        (EventFound("main", "shop", "1", None, 1, Disposition.QUARANTINED), "unmappable"),
        (replace(ATTEMPT, outcome="refused", state=State.DEAD), "refused"),
        (replace(ATTEMPT, outcome="failed", state=State.DEAD), "gave_up"),
        (replace(ATTEMPT, outcome="throttled", state=State.DEAD), "other"),
    ],
)
def test_a_dead_letter_is_counted_by_the_class_of_its_cause(happening: Happening, cause: str) -> None:
    metrics = fresh()
    for each in (happening, ATTEMPT, EventFound("main", "shop", "1", None, 1, Disposition.HELD)):
        metrics(each)
    text = [line for line in exposed(metrics) if line.startswith("relay_dead_letters_total")]

    assert [line for line in text if not line.endswith(" 0.0")] == [
        f'relay_dead_letters_total{{cause="{cause}",storefront="shop"}} 1.0'
    ]


def test_the_last_event_and_the_last_success_have_their_time() -> None:
    metrics = fresh()
    before = exposed(metrics)
    metrics(replace(ATTEMPT, outcome="failed"))
    metrics(HAPPENINGS[0])
    between = exposed(metrics)
    metrics(replace(ATTEMPT, outcome="sent", state=State.SENT))

    assert 'relay_last_event_timestamp_seconds{storefront="shop"} 0.0' in before
    assert 'relay_last_event_timestamp_seconds{storefront="shop"} 5.0' in between
    assert 'relay_last_success_timestamp_seconds{channel="main"} 0.0' in between
    assert 'relay_last_success_timestamp_seconds{channel="main"} 5.0' in exposed(metrics)


def test_the_last_event_of_before_a_restart_is_known_and_no_storefront_that_is_not_configured() -> None:
    metrics = fresh()
    metrics.remember({"shop": 4_000_000, "gone": 4_000_000})
    before = exposed(metrics)
    metrics(HAPPENINGS[0])
    metrics.remember({"shop": 4_000_000})

    assert 'relay_last_event_timestamp_seconds{storefront="shop"} 4.0' in before
    assert not any('"gone"' in line for line in before)
    assert 'relay_last_event_timestamp_seconds{storefront="shop"} 5.0' in exposed(metrics)


def test_every_refusal_there_is_has_a_series_from_the_start() -> None:
    source = inspect.getsource(ingest) + inspect.getsource(listener)
    there = set(re.findall(r'Problem\(\s*(\d{3}),\s*"([a-z-]+)"', source))
    there |= {("503", name) for name in re.findall(r'_come_again\(\s*"([a-z-]+)"', source)}
    there |= {("503", refusal.name) for refusal in REFUSALS.values()}

    assert len(there) > 15
    assert there == {*REFUSED_KNOWN, *REFUSED_UNKNOWN}


def test_a_door_that_opens_again_refuses_nobody() -> None:
    metrics = fresh()
    metrics(DoorMoved("disk", ("shop", "till"), ""))
    metrics(DoorMoved("disk", (), ""))

    assert 'relay_door_refusing{limit="disk"} 0.0' in exposed(metrics)


def test_a_replay_is_counted_from_where_this_process_found_it() -> None:
    metrics = fresh()
    for revived, left, ended in ((100, 2, False), (150, 2, False), (198, 4, True)):
        metrics(ReplayAdvanced(3, revived, left, 200, ended=ended))
    text = exposed(metrics)

    assert 'relay_replayed_total{result="revived"} 98.0' in text
    assert 'relay_replayed_total{result="left"} 2.0' in text
    assert "relay_replays_running 0.0" in text


def test_two_relays_in_one_process_count_apart() -> None:
    one, other = fresh(), fresh()
    one(HAPPENINGS[0])

    assert 'relay_events_total{disposition="queued",storefront="shop"} 1.0' in exposed(one)
    assert 'relay_events_total{disposition="queued",storefront="shop"} 0.0' in exposed(other)


@pytest.mark.parametrize("outcome", ["fetched", "cancelled"])
def test_what_is_fetched_or_cancelled_is_a_success_of_its_channel(outcome: str) -> None:
    metrics = fresh()
    metrics(replace(ATTEMPT, outcome=outcome, channel="fetch:shop"))

    assert 'relay_last_success_timestamp_seconds{channel="fetch:shop"} 5.0' in exposed(metrics)


def test_a_revision_that_is_replaced_before_it_was_sent_is_superseded() -> None:
    metrics = fresh()
    for disposition in (Disposition.QUEUED, Disposition.MERGED, Disposition.STALE):
        metrics(EventAccepted("shop", "", disposition, 1, "1001", "#1001", 1, None, 3000, 0.0021))

    assert 'relay_revisions_superseded_total{storefront="shop"} 1.0' in exposed(metrics)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("unmappable", "unmappable"), ("defect", "unmappable"), ("timeout", "gave_up"), ("http_503", "gave_up"),
        ("http_422", "refused"), ("api.channels.process_sale.missing", "refused"), ("order_gone", "refused"),
        ("something_new", "other"),
    ],
)  # fmt: skip
def test_a_dead_letter_that_is_there_is_of_one_class(code: str, cause: str) -> None:
    text = exposed(fresh(), replace(FIGURES, dead={("main", code): 1}))

    assert [line for line in text if line.startswith("relay_dead_letters_present") and line.endswith(" 1.0")] == [
        f'relay_dead_letters_present{{cause="{cause}",channel="main"}} 1.0'
    ]


async def test_a_log_that_nobody_reads_stops_nothing_and_says_later_what_was_missed() -> None:
    reader, writer = os.pipe()
    gathered = Gathered(writer)
    line = json.dumps({"event": "filler", "text": "x" * 200}) + "\n"
    for _ in range(50):
        for _ in range(1000):
            gathered.write(line)
        gathered.flush()
        await asyncio.sleep(0.03)  # noqa: TID251 - the time in which lines gather
    draining = asyncio.create_task(asyncio.to_thread(drained, reader))
    await asyncio.sleep(0.5)  # noqa: TID251 - until the reader has caught up
    gathered.write(line)
    gathered.flush()
    await asyncio.sleep(0.1)  # noqa: TID251 - the same
    await asyncio.to_thread(gathered.close)
    os.close(writer)
    read = (await draining).decode().splitlines()
    os.close(reader)
    told = [json.loads(line) for line in read if "lines_dropped" in line]
    missed = [line["lines"] for line in told]
    assert all(line["timestamp"].endswith("Z") and line["level"] == "error" for line in told)
    assert sum(missed) > 10_000
    assert len(read) - len(missed) + sum(missed) == 50_001


def drained(reader: int) -> bytes:
    """Everything until the other end is closed."""
    parts = []
    while part := os.read(reader, 1 << 20):
        parts.append(part)
    return b"".join(parts)
