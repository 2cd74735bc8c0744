"""The stand-in for Jetti keeps the vendor's rules, and shows what a test needs to judge a sender."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from relay.clock import SystemClock
from relay.sandbox import Endpoint, Fault, RunningSandbox, SandboxSettings, sandbox
from relay.sandbox.faults import Faults
from relay.sandbox.jetti import Account
from relay.sandbox.journal import Journal, Outcome
from relay.sandbox.limits import READ_COST, LeakyBucket
from relay.sandbox.lookup import Lookup, parse
from relay.sandbox.payload import Payload, Rejected, read
from relay.sandbox.problems import Problem

ASYNC = "/webhooks/custom-channels/manual-sale.json"
SYNC = "/api/channels/1/manual-sale.json"
HASH = {"jetti-webhook-hash": "sandbox-hash"}
BEARER = {"Authorization": "Bearer sandbox-token"}
JSON = {"Content-Type": "application/json"}


class Client:
    """Speaks to one running sandbox over a real socket."""

    def __init__(self, running: RunningSandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = running
        self.session = session

    def post(self, path: str, body: Any, **headers: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.session.post(path, data=raw, headers=JSON | headers)

    async def send(self, body: Any, path: str = ASYNC) -> int:
        async with self.post(path, body, **(HASH if path == ASYNC else BEARER)) as answer:
            await answer.read()
            return answer.status

    async def write(self, body: Any, path: str = SYNC) -> tuple[int, Any]:
        async with self.post(path, body, **BEARER) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str) -> Any:
        async with self.session.get(path, headers=BEARER) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def fault(self, **fault: Any) -> None:
        async with self.post("/sandbox/faults", fault) as answer:
            assert answer.status == 200, await answer.text()


@asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[Client]:
    limits: dict[str, Any] = {"async_rate": None, "sync_rate": None}
    chosen = SandboxSettings(**(limits | settings))
    async with sandbox(chosen) as running, aiohttp.ClientSession(running.url) as session:
        yield Client(running, session)


@pytest.fixture
async def jetti() -> AsyncIterator[Client]:
    async with client() as connected:
        yield connected


def sale(order: str = "1", reference: str = "#1", **more: Any) -> dict[str, Any]:
    line = {"externalId": f"{order}_1", "name": "Mug", "quantity": 1, "price": 20.1, "variant": {"externalId": "v1"}}
    return {"externalId": order, "saleDefaults": {"reference": reference}, "lineItems": [line]} | more


def encoded(**about: Any) -> bytes:
    return json.dumps(sale(**about)).encode()


def payload(**about: Any) -> Payload | Rejected:
    return read(encoded(**about), "application/json", check_customer=True)


# Importing


async def test_the_asynchronous_import_creates_and_then_updates_one_sale(jetti: Client) -> None:
    assert [await jetti.send(sale(reference=name)) for name in ("#1", "#2")] == [200, 200]
    found = await jetti.get("/api/sales.json?where[externalId]=1")
    assert [(row["externalId"], row["reference"], row["channelId"]) for row in found] == [("1", "#2", 1)]
    kept = jetti.sandbox.account.sale("1")
    assert kept is not None
    assert (kept.requests, kept.sequence) == (2, [1, 2])


async def test_the_asynchronous_endpoint_answers_200_whatever_was_sent_and_the_import_log_says_what_was_wrong(
    jetti: Client,
) -> None:
    bad = [b"{", b"[]", {"lineItems": []}, sale(lineItems=[{"externalId": "a"}, {"externalId": "a"}])]
    assert [await jetti.send(body) for body in bad] == [200] * 4
    log = await jetti.get("/api/sale-imports.json?where[status]=error")
    assert [row["problem"]["status"] for row in log] == [400, 422, 422, 422]
    assert [row["payload"] for row in log[:3]] == ["{", [], {"lineItems": []}]
    assert [row["externalId"] for row in log] == [None, None, None, "1"]
    assert jetti.sandbox.account.sales == 0


async def test_an_import_is_not_visible_before_the_import_delay_is_over() -> None:
    async with client(import_delay_s=0.2) as jetti:
        assert await jetti.send(sale()) == 200
        assert await jetti.get("/api/sales.json?where[externalId]=1") == []
        assert jetti.sandbox.account.waiting == 1
        await SystemClock().sleep(0.25)
        assert len(await jetti.get("/api/sales.json?where[externalId]=1")) == 1


async def test_the_synchronous_import_answers_the_sale_with_its_id(jetti: Client) -> None:
    status, answer = await jetti.write(sale())
    assert (status, answer["id"], answer["externalId"], answer["reference"]) == (200, 1, "1", "#1")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        ({}, 422),
        ({"externalId": ""}, 422),
        ({"externalId": "1", "lineItems": "none"}, 422),
        ({"externalId": "1", "customer": {"firstName": "A"}}, 422),
        ({"externalId": "1", "customer": {"email": "a@b.c", "phone": "1" * 31}}, 422),
    ],
)
async def test_the_synchronous_import_answers_bad_data_with_a_problem(jetti: Client, body: Any, status: int) -> None:
    answered, problem = await jetti.write(body)
    assert (status, status) == (answered, problem["status"])
    assert "https://problems.jetti.io/details#" + problem["title"] == problem["type"]


async def test_an_unknown_item_is_a_500_until_it_is_acknowledged() -> None:
    async with client(known_variants=frozenset({"v0"})) as jetti:
        status, problem = await jetti.write(sale())
        assert (status, problem["title"]) == (500, "api.channels.process_sale.missing")
        assert problem["details"] == {"externalId": "1", "variant": "v1"}
        path = "/api/channels/1/acknowledge-variant.json"
        async with jetti.session.put(path, json={"externalId": "v1", "sku": "MUG"}, headers=BEARER) as answer:
            assert answer.status == 200
        assert (await jetti.write(sale()))[0] == 200


async def test_an_unknown_item_is_acknowledged_on_the_way_when_the_options_say_so() -> None:
    async with client(known_variants=frozenset()) as jetti:
        assert (await jetti.write(sale(options={"findOrCreateChannelVariant": True})))[0] == 200
        assert (await jetti.write(sale("2")))[0] == 200


async def test_amounts_come_back_as_they_were_written(jetti: Client) -> None:
    line = b'{"externalId":"a","price":0.10000000000000000555,"quantity":1}'
    await jetti.send(b'{"externalId":"1","saleDefaults":{"total":12345678901234567.10},"lineItems":[' + line + b"]}")
    async with jetti.session.get("/api/sales.json?where[externalId]=1", headers=BEARER) as answer:
        text = await answer.read()
    assert b'"total":12345678901234567.10,' in text
    assert b'"price":0.10000000000000000555,' in text


async def test_what_the_payload_says_cannot_change_who_the_sale_is(jetti: Client) -> None:
    await jetti.send(sale(saleDefaults={"id": 9, "externalId": "9", "channelId": 9}))
    [found] = await jetti.get("/api/sales.json")
    assert (found["id"], found["externalId"], found["channelId"]) == (1, "1", 1)


async def test_a_repeated_sale_defaults_loses_the_first_one(jetti: Client) -> None:
    await jetti.send(b'{"externalId":"1","saleDefaults":{"reference":"#1"},"saleDefaults":{"total":1}}')
    [found] = await jetti.get("/api/sales.json")
    assert None is found["reference"]


async def test_a_sale_can_be_cancelled_by_its_id(jetti: Client) -> None:
    await jetti.send(sale())
    assert [(await jetti.write({}, f"/api/sales/{n}/cancel.json"))[0] for n in (2, 1)] == [404, 200]
    [found] = await jetti.get("/api/sales.json")
    assert (found["cancelled"], found["cancellationStatus"]) == (True, "full")
    assert None is not found["cancelledAt"]


async def test_a_cancelled_sale_stays_cancelled_when_it_is_imported_again_and_its_cancel_calls_are_counted(
    jetti: Client,
) -> None:
    await jetti.send(sale())
    for _ in range(2):
        assert (await jetti.write({}, "/api/sales/1/cancel.json"))[0] == 200
    await jetti.send(sale(reference="#1 again"))
    [found] = await jetti.get("/api/sales.json?where[externalId]=1&where[channelId]=1")
    [row] = (await jetti.get("/sandbox/sales"))["sales"]
    assert (found["reference"], found["cancellationStatus"], row["cancellation_status"]) == ("#1 again", "full", "full")
    assert (row["cancels"], jetti.sandbox.state()["cancelled"]) == (2, 1)


async def test_a_cancel_call_is_a_request_for_its_order(jetti: Client) -> None:
    await jetti.send(sale())
    await jetti.fault(latency_s=0.1)
    await asyncio.gather(jetti.write({}, "/api/sales/1/cancel.json"), jetti.send(sale()))
    assert (jetti.sandbox.state()["overlaps"], jetti.sandbox.state()["max_in_flight_per_order"]) == (1, 2)


# Credentials and limits


async def test_a_wrong_hash_is_refused_and_imports_nothing() -> None:
    async with client(wrong_hash_status=403) as jetti:
        for headers in ({"jetti-webhook-hash": "wrong"}, {"jetti-webhook-hash": "ä"}, {}):
            async with jetti.post(ASYNC, sale(), **headers) as answer:
                assert (answer.status, answer.content_type) == (403, "application/problem+json")
        assert (jetti.sandbox.account.sales, jetti.sandbox.state()["outcomes"]) == (0, {"unauthorized": 3})


async def test_a_wrong_token_is_refused_everywhere(jetti: Client) -> None:
    for method, path in [("POST", SYNC), ("GET", "/api/sales.json"), ("GET", "/api/sale-imports.json")]:
        async with jetti.session.request(method, path, json={}, headers={"Authorization": "Bearer x"}) as answer:
            assert answer.status == 401


async def test_the_hash_picks_the_channel_and_each_channel_has_its_own_sales() -> None:
    async with client(other_channels={7: "seven"}) as jetti:
        await jetti.send(sale())
        async with jetti.post(ASYNC, sale(), **{"jetti-webhook-hash": "seven"}) as answer:
            assert answer.status == 200
        found = await jetti.get("/api/sales.json?where[externalId]=1")
        assert [row["channelId"] for row in found] == [1, 7]
        assert [row["id"] for row in await jetti.get("/api/sales.json?where[channelId]=7")] == [2]
        assert (await jetti.write(sale(), "/api/channels/8/manual-sale.json"))[0] == 404


async def test_beyond_the_asynchronous_limit_the_answer_is_429_with_retry_after() -> None:
    async with client(async_rate=2, async_burst=3) as jetti:
        assert [await jetti.send(sale()) for _ in range(3)] == [200, 200, 200]
        async with jetti.post(ASYNC, sale(), **HASH) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert jetti.sandbox.state()["outcomes"] == {"accepted": 3, "throttled": 1}


async def test_a_read_uses_the_same_limit_as_a_synchronous_import() -> None:
    async with client(sync_rate=1) as jetti:
        assert (await jetti.write(sale()))[0] == 200
        async with jetti.session.get("/api/sales.json", headers=BEARER) as answer:
            assert answer.status == 429


def test_the_bucket_takes_one_write_or_two_reads_a_second() -> None:
    bucket = LeakyBucket(1.0, 1.0)
    assert bucket.wait_s(0.0) == 0
    assert bucket.wait_s(0.5) > 0.4
    assert bucket.wait_s(1.0) == 0
    assert [bucket.wait_s(2.0, READ_COST) == 0 for _ in range(3)] == [True, True, False]


def test_the_bucket_forgives_jitter_but_not_a_faster_pace() -> None:
    bucket = LeakyBucket(10.0, 1.0)
    assert [bucket.wait_s(at) for at in (0.0, 0.06, 0.2)] == [0.0] * 3
    taken = sum(bucket.wait_s(1 + step / 1000) == 0 for step in range(80_000))
    assert 800 <= taken <= 802


def test_a_bucket_without_a_rate_takes_everything() -> None:
    assert {0.0} == {LeakyBucket(rate, 1.0).wait_s(0.0) for rate in (None, 0.0) for _ in range(100)}


async def test_a_body_beyond_the_bound_is_refused() -> None:
    async with client(max_body_bytes=1000) as jetti:
        assert await jetti.send(b" " * 2000) == 413
        assert jetti.sandbox.state()["outcomes"] == {"refused": 1}


async def test_other_addresses_and_methods_are_not_found(jetti: Client) -> None:
    for method, path in [("GET", ASYNC), ("POST", "/api/channels/x/manual-sale.json"), ("GET", "/")]:
        async with jetti.session.request(method, path) as answer:
            assert (answer.status, answer.content_type) == (404, "application/problem+json")


# Reading back


async def test_sales_are_found_by_many_ids_at_once_and_only_with_the_attributes_asked_for(jetti: Client) -> None:
    for number in range(5):
        await jetti.send(sale(str(number), f"#{number}"))
    wanted = "where[externalId][$in][0]=1&where[externalId][$in][1]=3&where[externalId][$in][2]=9"
    found = await jetti.get(f"/api/sales.json?{wanted}&attributes[0]=externalId&attributes[1]=id")
    assert found == [{"id": 2, "externalId": "1"}, {"id": 4, "externalId": "3"}]


async def test_sales_are_found_by_reference_and_in_pages(jetti: Client) -> None:
    for number in range(5):
        await jetti.send(sale(str(number), f"#{number % 2}"))
    found = await jetti.get("/api/sales.json?where[reference]=%231")
    assert [row["externalId"] for row in found] == ["1", "3"]
    page = await jetti.get("/api/sales.json?limit=2&from=1&order[attribute]=id&order[descending]=true")
    assert [row["externalId"] for row in page] == ["3", "2"]


@pytest.mark.parametrize("name", ["where[price]", "order[attribute]", "limit", "from", "strange"])
def test_a_question_that_is_not_understood_is_a_problem_and_not_an_empty_answer(name: str) -> None:
    assert isinstance(parse([(name, "x")], ["id"]), Problem)


def test_a_question_without_parameters_has_a_limit() -> None:
    assert Lookup({}) == parse([], ["id"])
    bounded = parse([("limit", "99999")], ["id"])
    assert isinstance(bounded, Lookup)
    assert bounded.limit == 250


# What a test sees


async def test_the_sequence_tells_when_which_order_and_what_was_answered(jetti: Client) -> None:
    await jetti.send(sale("1", "#1"))
    await jetti.send(sale("2", "#2"))
    await jetti.write({}, SYNC)
    rows = (await jetti.get("/sandbox/requests?after=1&payload=true"))["requests"]
    assert [(row["seq"], row["externalId"], row["reference"], row["status"], row["endpoint"]) for row in rows] == [
        (2, "2", "#2", 200, "async"),
        (3, None, None, 422, "sync"),
    ]
    assert [sale("2", "#2"), {}] == [row["payload"] for row in rows]
    assert rows[0]["at"] <= rows[0]["answered_at"] <= rows[1]["at"]
    state = await jetti.get("/sandbox/state")
    assert tuple(state[name] for name in ("requests", "first_seq", "last_seq", "sales", "overlaps")) == (
        3,
        1,
        3,
        2,
        0,
    )
    assert state["statuses"] == {"200": 2, "422": 1}


async def test_the_sales_are_listed_with_the_requests_that_made_them(jetti: Client) -> None:
    for order in ("1", "2", "1"):
        await jetti.send(sale(order))
    rows = (await jetti.get("/sandbox/sales"))["sales"]
    assert [(row["externalId"], row["sequence"]) for row in rows] == [("1", [1, 3]), ("2", [2])]
    assert [row["id"] for row in (await jetti.get("/sandbox/sales?after=1"))["sales"]] == [2]


async def test_two_requests_for_one_order_at_a_time_are_counted() -> None:
    async with client(latency_s=0.1) as jetti:
        assert await asyncio.gather(*(jetti.send(sale(order)) for order in ("1", "1", "2"))) == [200] * 3
        assert await jetti.send(sale("1")) == 200
        state = jetti.sandbox.state()
    assert tuple(state[name] for name in ("max_in_flight", "max_in_flight_per_order", "overlaps", "in_flight")) == (
        3,
        2,
        1,
        0,
    )


async def test_a_request_whose_client_has_gone_is_not_in_flight_any_more(jetti: Client) -> None:
    await jetti.fault(hang_s=60, worked=True, count=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(jetti.send(sale()), 0.1)
    assert await jetti.send(sale()) == 200
    state = jetti.sandbox.state()
    assert (state["overlaps"], state["in_flight"], state["outcomes"]) == (0, 0, {"dropped": 1, "accepted": 1})
    assert (state["sales"], state["updated"]) == (1, 1)


def test_the_journal_keeps_the_newest_requests_and_counts_all() -> None:
    journal = Journal(max_requests=3, max_payload_bytes=10)
    for number in range(1, 6):
        received = journal.begin(Endpoint.ASYNC, 1, float(number))
        journal.note(received, b"12345", str(number), None)
        journal.finish(received, number + 0.5, Outcome.ACCEPTED, 200)
    assert (journal.first_seq, journal.last_seq, journal.outcomes[Outcome.ACCEPTED]) == (3, 5, 5)
    assert [received.payload for received in journal.after(0, 10)] == [None, b"12345", b"12345"]
    assert [received.seq for received in journal.after(4, 10)] == [5]


def test_the_account_forgets_the_oldest_sales_beyond_its_bound() -> None:
    account = Account(SandboxSettings(max_sales=2, max_imports=3))
    journal = Journal(10, 1000)
    for order in ("1", "2", "3", "2", "1"):
        account.enqueue(journal.begin(Endpoint.ASYNC, 1, 0.0), 1, payload(order=order), 0.0)
    assert (account.sale("2"), account.totals.forgotten_sales, account.sales) == (None, 2, 4)
    assert [kept.external_id for kept in account.sales_after(0, 10)] == ["3", "1"]
    assert len(account.find_imports(Lookup({}))) == 3


def test_imports_that_wait_are_bounded() -> None:
    account = Account(SandboxSettings(max_imports=3, import_delay_s=60))
    journal = Journal(10, 1000)
    for number in range(5):
        account.enqueue(journal.begin(Endpoint.ASYNC, 1, 0.0), 1, payload(order=str(number)), 0.0)
    assert (account.sales, account.waiting) == (2, 3)
    account.advance(60.0)
    assert (account.sales, account.waiting) == (5, 0)


# Faults on request


async def test_a_status_fault_hits_so_many_requests_and_imports_nothing(jetti: Client) -> None:
    await jetti.fault(status=503, count=2)
    assert [await jetti.send(sale(str(number))) for number in range(3)] == [503, 503, 200]
    assert (jetti.sandbox.account.sales, jetti.sandbox.state()["outcomes"]) == (1, {"fault": 2, "accepted": 1})


async def test_a_throttling_fault_sends_its_retry_after(jetti: Client) -> None:
    await jetti.fault(status=429, retry_after=2, count=1)
    async with jetti.post(ASYNC, sale(), **HASH) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "2")


async def test_a_gateway_can_give_up_on_work_that_went_through(jetti: Client) -> None:
    await jetti.fault(status=504, worked=True, count=1)
    assert await jetti.send(sale()) == 504
    assert jetti.sandbox.account.sales == 1


async def test_a_status_fault_can_carry_a_problem_code(jetti: Client) -> None:
    await jetti.fault(status=500, title="api.channels.process_sale.missing")
    status, problem = await jetti.write(sale())
    assert (status, problem["title"]) == (500, "api.channels.process_sale.missing")


@pytest.mark.parametrize(("when", "sales"), [("before", 0), ("after", 1)])
async def test_a_connection_can_be_dropped_before_or_after_the_work_was_done(
    jetti: Client, when: str, sales: int
) -> None:
    await jetti.fault(drop=when, count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await jetti.send(sale())
    assert (sales, {"dropped": 1}) == (jetti.sandbox.account.sales, jetti.sandbox.state()["outcomes"])


async def test_a_fault_can_be_for_one_order_or_one_endpoint_only(jetti: Client) -> None:
    await jetti.fault(status=500, external_id="2")
    await jetti.fault(status=502, on="sync")
    assert [await jetti.send(sale(order)) for order in ("1", "2")] == [200, 500]
    assert await jetti.send(sale(), SYNC) == 502
    assert len(await jetti.get("/api/sales.json")) == 1


async def test_a_fault_can_be_for_cancel_calls_only_and_for_those_of_one_order(jetti: Client) -> None:
    for order in ("1", "2"):
        await jetti.send(sale(order))
    await jetti.fault(status=504, worked=True, on="cancel", external_id="2")
    statuses = [(await jetti.write({}, f"/api/sales/{number}/cancel.json"))[0] for number in (1, 2)]
    assert (statuses, jetti.sandbox.state()["cancelled"]) == ([200, 504], 2)
    await jetti.fault(status=503, on="api", external_id="1")
    async with jetti.session.get("/api/sales.json?where[externalId]=1", headers=BEARER) as answer:
        assert answer.status == 503
    assert (await jetti.write({}, "/api/sales/1/cancel.json"))[0] == 503
    assert len(await jetti.get("/api/sales.json?where[externalId]=2")) == 1


async def test_the_right_hash_can_be_wrong_for_a_while(jetti: Client) -> None:
    await jetti.fault(wrong_hash=True, count=1)
    assert [await jetti.send(sale()) for _ in range(2)] == [401, 200]


async def test_latency_goes_together_with_other_faults(jetti: Client) -> None:
    await jetti.fault(latency_s=0.1)
    await jetti.fault(status=503, count=1)
    assert [await jetti.send(sale()) for _ in range(2)] == [503, 200]
    for received in jetti.sandbox.journal.after(0, 2):
        assert received.answered_at is not None
        assert received.answered_at - received.at >= 0.09


async def test_faults_are_listed_and_lifted(jetti: Client) -> None:
    await jetti.fault(status=503)
    assert await jetti.get("/sandbox/faults") == [{"status": 503}]
    async with jetti.session.delete("/sandbox/faults") as answer:
        assert (answer.status, await answer.json()) == (200, [])
    assert await jetti.send(sale()) == 200


@pytest.mark.parametrize("fault", [{}, {"status": 99}, {"statsu": 503}, {"rate": 2, "status": 500}, {"count": 1}, 7])
async def test_a_fault_that_makes_no_sense_is_refused(jetti: Client, fault: Any) -> None:
    async with jetti.post("/sandbox/faults", fault) as answer:
        assert answer.status == 422
    assert await jetti.get("/sandbox/faults") == []


async def test_a_fault_can_be_in_force_from_the_start() -> None:
    async with client(faults=(Fault(status=503, count=1),)) as jetti:
        assert [await jetti.send(sale()) for _ in range(2)] == [503, 200]


async def test_connections_are_refused_for_a_while_and_accepted_on_the_same_port_again(jetti: Client) -> None:
    assert await jetti.send(sale()) == 200
    await jetti.sandbox.impose(Fault(refuse_s=0.3))
    with pytest.raises(aiohttp.ClientConnectionError):
        await jetti.send(sale())  # the open connection is closed
    with pytest.raises(aiohttp.ClientConnectorError):
        await jetti.send(sale())
    await SystemClock().sleep(0.4)
    assert await jetti.send(sale()) == 200


async def test_a_refusal_answers_the_request_it_was_asked_with_and_can_be_lifted(jetti: Client) -> None:
    await jetti.fault(refuse_s=60)
    async with aiohttp.ClientSession(jetti.sandbox.url) as other:
        with pytest.raises(aiohttp.ClientConnectorError):
            await other.get("/sandbox/state")
        async with jetti.session.delete("/sandbox/faults") as answer:  # on the connection that was spared
            assert answer.status == 200
        async with other.get("/sandbox/state") as state:
            assert state.status == 200


async def test_a_sandbox_can_be_closed_while_it_refuses_and_while_it_is_silent() -> None:
    async with client() as jetti:
        await jetti.fault(hang_s=60)
        silent = asyncio.create_task(jetti.send(sale()))
        while not jetti.sandbox.journal.in_flight:
            await SystemClock().sleep(0)
        await jetti.sandbox.impose(Fault(refuse_s=60))
    with pytest.raises(aiohttp.ClientConnectionError):
        await silent


def test_a_share_of_the_requests_is_hit_and_the_same_ones_every_time() -> None:
    def hits(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add(Fault(status=500, rate=0.1), 0.0)
        return [faults.draw(0.0, Endpoint.ASYNC, "1").fault is not None for _ in range(1000)]

    assert hits(1) == hits(1) != hits(2)
    assert 60 < sum(hits(1)) < 140


def test_a_fault_runs_out_after_its_time() -> None:
    faults = Faults()
    faults.add(Fault(status=500, seconds=5), 10.0)
    assert [faults.draw(at, Endpoint.SYNC, "1").fault is not None for at in (14.9, 15.0)] == [True, False]
    assert faults.in_force(15.0) == []


def test_the_number_of_faults_is_bounded() -> None:
    faults = Faults()
    for _ in range(100):
        faults.add(Fault(status=500), 0.0)
    with pytest.raises(ValueError, match="more than 100 faults"):
        faults.add(Fault(status=500), 0.0)
