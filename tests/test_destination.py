"""HTTP out, over real sockets: whatever the other end does comes back as an outcome, within bounds of time and size."""

import asyncio
import gzip
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relay.clock import SystemClock
from relay.core.outcome import Refused, Result, Sent, Throttled, cause_of
from relay.destination import Destination, Endpoint, async_headers, session, sync_headers
from relay.sandbox import Fault, SandboxSettings, sandbox
from tests.fakes import manual_sale

HASH = "the-hash-5b2e"
SALE = b'{"externalId":"1"}'
TIMEOUT_S = 0.4
AMPLE_S = 20.0
"""Where it is not the time that matters: a busy machine takes a while."""

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Other:
    """The other end: a server that does as it is told, and what it was sent."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def other(write: Write, tls: ssl.SSLContext | None = None) -> AsyncIterator[Other]:
    seen = Other()
    connections: list[tuple[Any, asyncio.StreamWriter]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append((asyncio.current_task(), writer))
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                seen.requests.append(head + await reader.readexactly(length))
                await write(writer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    seen.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
    try:
        yield seen
    finally:
        server.close()
        for _, writer in connections:
            writer.transport.abort()
        await asyncio.gather(*(task for task, _ in connections))


@asynccontextmanager
async def destination(url: str, timeout_s: float = AMPLE_S, *codes: str) -> AsyncIterator[Destination]:
    async with session(4) as connections:
        yield Destination(
            Endpoint(url, async_headers(HASH), timeout_s, HASH.encode(), frozenset(codes)), connections, SystemClock()
        )


async def sent_to(url: str, sale: bytes = SALE, timeout_s: float = AMPLE_S) -> Result:
    async with destination(url, timeout_s) as to:
        return await to.send(sale)


def saying(status: int, body: bytes = b"", *headers: str) -> Write:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    return write


def exactly(data: bytes, *, close: bool = False, abort: bool = False) -> Write:
    """These bytes, whatever they are, and then perhaps the end."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if abort:
            writer.transport.abort()
        elif close:
            writer.close()

    return write


async def result_of(write: Write, sale: bytes = SALE) -> Result:
    async with other(write) as end:
        return await sent_to(end.url, sale)


def told(result: Result) -> tuple[str, str]:
    cause = cause_of(result.outcome)
    return type(result.outcome).__name__, "" if cause is None else cause.code


async def test_a_sale_arrives_byte_for_byte_with_the_channels_credential() -> None:
    sale = manual_sale(1)
    async with other(saying(200)) as end:
        result = await sent_to(end.url, sale)
    (request,) = end.requests
    head, _, body = request.partition(b"\r\n\r\n")

    assert (Sent(200), 200, sale) == (result.outcome, result.status, body)
    assert head.startswith(b"POST /in HTTP/1.1\r\n")
    assert b"\r\njetti-webhook-hash: the-hash-5b2e" in head
    assert b"\r\nContent-Type: application/json" in head


def test_the_synchronous_endpoint_is_shown_a_bearer_token() -> None:
    assert sync_headers("t0ken")["Authorization"] == "Bearer t0ken"


def test_a_credential_is_not_in_what_an_endpoint_shows_of_itself() -> None:
    assert HASH not in repr(Endpoint("https://x", async_headers(HASH)))


async def test_an_answer_that_repeats_the_secret_is_not_kept_as_it_is() -> None:
    said = f'{{"title": "api.auth.{HASH}", "detail": "no channel has the hash {HASH}"}}'
    result = await result_of(saying(401, said.encode()))

    assert told(result)[0] == "ChannelWrong"
    assert HASH not in f"{result}"
    assert "(secret)" in result.excerpt


async def test_it_writes_only_when_it_may_leave_also_on_a_connection_that_is_used_again() -> None:
    asked: list[int] = []
    async with other(saying(200)) as end, destination(end.url) as to:

        async def leave() -> None:
            asked.append(len(end.requests))
            await SystemClock().sleep(0.05)
            assert len(end.requests) == asked[-1]

        for _ in range(2):
            assert Sent(200) == (await to.send(SALE, leave)).outcome

    assert asked == [0, 1]


async def test_a_large_sale_arrives_whole() -> None:
    sale = b'"' + b"x" * 3_000_000 + b'"'
    async with other(saying(200)) as end:
        result = await sent_to(end.url, sale, timeout_s=10)

    assert Sent(200) == result.outcome
    assert end.requests[0].endswith(sale)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_sent(status: int) -> None:
    assert Sent(status) == (await result_of(saying(status))).outcome


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_a_problem_with_the_order_is_refused_with_jettis_code_and_words(status: int) -> None:
    body = b'{"title": "api.channels.sale.invalid", "detail": "No line items.", "status": 422}'
    result = await result_of(saying(status, body, "Content-Type: application/problem+json"))

    assert isinstance(result.outcome, Refused)
    cause = result.outcome.cause
    assert ("api.channels.sale.invalid", "No line items.", status) == (cause.code, cause.message, cause.status)
    assert body.decode() == result.excerpt


async def test_a_code_that_is_known_to_be_permanent_is_refused_whatever_its_status() -> None:
    body = b'{"title": "api.channels.process_sale.missing", "detail": "x"}'

    assert told(await result_of(saying(500, body))) == ("Refused", "api.channels.process_sale.missing")


async def test_a_code_that_the_operator_calls_permanent_is_refused() -> None:
    body = b'{"title": "api.mine", "detail": "x"}'
    async with other(saying(500, body)) as end, destination(end.url, AMPLE_S, "api.mine") as to:
        assert told(await to.send(SALE)) == ("Refused", "api.mine")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("Retry-After: 7", 7.0), ("Retry-After: 0", 0.0), ("Retry-After: soon", None), ("X: y", None)],
)
async def test_429_says_how_long_to_wait(header: str, seconds: float | None) -> None:
    result = await result_of(saying(429, b"", header))

    assert isinstance(result.outcome, Throttled)
    assert seconds == result.outcome.retry_after_s


async def test_429_may_say_until_when_to_wait() -> None:
    outcome = (await result_of(saying(429, b"", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT"))).outcome

    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s is not None
    assert outcome.retry_after_s > 1e9


async def test_503_with_retry_after_is_a_throttle_and_without_one_a_failure() -> None:
    assert told(await result_of(saying(503, b"", "Retry-After: 3"))) == ("Throttled", "http_503")
    assert told(await result_of(saying(503))) == ("Failed", "http_503")


@pytest.mark.parametrize("status", [408, 418, 425, 500, 502, 504, 599, 999])
async def test_what_may_pass_is_failed(status: int) -> None:
    assert ("Failed", f"http_{status}") == told(await result_of(saying(status, b"<html>oh</html>")))


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 415])
async def test_what_says_that_the_channel_is_wrong_is_no_fault_of_the_order(status: int) -> None:
    assert ("ChannelWrong", f"http_{status}") == told(await result_of(saying(status)))


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_the_credential_follows_none(status: int) -> None:
    async with other(saying(200)) as elsewhere, other(saying(status, b"", f"Location: {elsewhere.url}")) as end:
        result = await sent_to(end.url)

    assert ("ChannelWrong", f"http_{status}") == told(result)
    assert elsewhere.requests == []


async def test_cookies_are_not_kept() -> None:
    async with other(saying(200, b"", "Set-Cookie: a=b; Path=/")) as end, destination(end.url) as to:
        for _ in range(2):
            await to.send(SALE)

    assert [b"cookie" in request.lower() for request in end.requests] == [False, False]


async def test_nobody_listening_is_failed() -> None:
    async with other(saying(200)) as end:
        pass

    assert told(await sent_to(end.url)) == ("Failed", "connect")


async def test_an_unknown_host_is_failed() -> None:
    assert told(await sent_to("http://nowhere.invalid/in", timeout_s=10)) == ("Failed", "connect")


CUT = {
    "before a word": exactly(b"", close=True),
    "reset before a word": exactly(b"", abort=True),
    "in the status line": exactly(b"HTTP/1.1 20", close=True),
    "in the headers": exactly(b"HTTP/1.1 200 OK\r\nContent-Le", close=True),
    "in the body": exactly(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", close=True),
    "reset in the body": exactly(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", abort=True),
    "in a chunk": exactly(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", close=True),
}


@pytest.mark.parametrize("write", CUT.values(), ids=CUT)
async def test_an_answer_that_breaks_off_is_failed_because_it_may_have_worked(write: Write) -> None:
    assert told(await result_of(write)) == ("Failed", "connection")


NOT_HTTP = {
    "another protocol": b"SSH-2.0-OpenSSH_9.7\r\n\r\n",
    "noise": bytes(range(256)) * 4,
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28" * 10,
    "a status in words": b"HTTP/1.1 OK fine\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a chunk of size zz": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a huge header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    "10,000 headers": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_not_http_is_failed(data: bytes) -> None:
    assert told(await result_of(exactly(data, close=True))) == ("Failed", "connection")


SLOW = {
    "silence": b"",
    "headers that stop": b"HTTP/1.1 200 OK\r\nX: ",
    "a body that stops": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "100 Continue and no more": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("data", SLOW.values(), ids=SLOW)
async def test_an_answer_that_does_not_come_in_time_is_failed_with_an_unknown_outcome(data: bytes) -> None:
    async with other(exactly(data)) as end:
        result = await sent_to(end.url, timeout_s=TIMEOUT_S)

    assert told(result) == ("Failed", "timeout")
    assert "whether it worked is unknown" in str(result.outcome)
    assert TIMEOUT_S - 0.01 <= result.duration_s < TIMEOUT_S + 1


async def test_a_connection_that_breaks_while_a_large_sale_is_sent_is_failed() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    result = await sent_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in", b"x" * 5_000_000, 10)
    server.close()

    assert told(result) == ("Failed", "connection")


async def endless(writer: asyncio.StreamWriter, head: bytes, part: bytes) -> None:
    writer.write(head)
    while not writer.is_closing():
        writer.write(part)
        await writer.drain()


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"HTTP/1.1 422 No\r\nConnection: close\r\n\r\n", b"a" * 65_536),
        (b"HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"a" * 65_536 + b"\r\n"),
        (b"HTTP/1.1 422 No\r\nContent-Length: 99999999999\r\n\r\n", b"a" * 65_536),
    ],
    ids=["until closed", "chunked", "declared"],
)
async def test_an_endless_answer_is_read_no_further_than_it_is_of_use(head: bytes, part: bytes) -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        await endless(writer, head, part)

    async with other(write) as end:
        result = await sent_to(end.url, timeout_s=10)

    assert told(result) == ("Refused", "http_422")
    assert result.excerpt == "a" * 2048
    assert result.duration_s < 5


async def test_endless_headers_end_with_their_bound() -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        await endless(writer, b"HTTP/1.1 200 OK\r\nX: ", b"a" * 65_536)

    async with other(write) as end:
        result = await sent_to(end.url, timeout_s=10)

    assert told(result) == ("Failed", "connection")
    assert result.duration_s < 5


@pytest.mark.parametrize(("status", "outcome"), [(200, "Sent"), (422, "Refused"), (500, "Failed")])
async def test_a_packed_answer_is_judged_by_its_status_and_never_unpacked(status: int, outcome: str) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    result = await result_of(saying(status, bomb, "Content-Encoding: gzip"))

    assert outcome == type(result.outcome).__name__
    assert len(result.excerpt) <= 2048


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b'{"title": 7}', b'{"title": null, "detail": []}', b"\xff\xfe", b"[" * 60_000, b'{"a":"\\ud800"}'],
    ids=lambda body: str(body[:20]),
)
async def test_a_problem_that_is_none_is_judged_by_its_status(body: bytes) -> None:
    assert told(await result_of(saying(422, body))) == ("Refused", "http_422")


async def test_a_connection_is_kept_between_requests_and_replaced_when_it_breaks() -> None:
    async with other(saying(200)) as end, destination(end.url) as to:
        assert [Sent(200)] * 3 == [(await to.send(SALE)).outcome for _ in range(3)]
    broken = [exactly(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", close=True)]
    async with other(broken[0]) as end, destination(end.url) as to:
        assert Sent(200) == (await to.send(SALE)).outcome
        await SystemClock().sleep(0.05)
        assert Sent(200) == (await to.send(SALE)).outcome


async def test_a_cancelled_request_is_cancelled_and_no_outcome_is_made_up() -> None:
    async with other(exactly(b"")) as end, destination(end.url, 10) as to:
        sending = asyncio.create_task(to.send(SALE))
        await SystemClock().sleep(0.1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


async def test_tls_to_what_speaks_none_is_a_wrong_channel() -> None:
    async with other(exactly(b"HTTP/1.1 400 Bad Request\r\n\r\n", close=True)) as end:
        server = await asyncio.start_server(_not_tls, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        result = await sent_to(f"https://127.0.0.1:{port}/in", timeout_s=5)
        server.close()

    assert end.requests == []
    assert told(result) == ("ChannelWrong", "tls")


async def _not_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_a_certificate_that_nobody_vouches_for_is_a_wrong_channel_and_shown_no_credential(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "1", "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate),
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await made.wait() == 0
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with other(saying(200), tls) as end:
        result = await sent_to(end.url, timeout_s=5)

    assert end.requests == []
    assert told(result) == ("ChannelWrong", "tls")


async def test_no_outcome_names_the_credential() -> None:
    for write in (*CUT.values(), saying(401), saying(500), exactly(b"noise\r\n\r\n")):
        assert HASH not in repr(await result_of(write))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=429, retry_after=3), ("Throttled", "api.errors.unknown")),
        (Fault(status=500), ("Failed", "api.errors.unknown")),
        (Fault(drop="after"), ("Failed", "connection")),
        (Fault(hang_s=5), ("Failed", "timeout")),
        (Fault(wrong_hash=True), ("ChannelWrong", "")),
    ],
    ids=["429", "500", "drop", "hang", "hash"],
)
async def test_the_sandboxs_faults_come_back_as_outcomes(fault: Fault, expected: tuple[str, str]) -> None:
    async with sandbox(SandboxSettings(webhook_hash=HASH, async_rate=None)) as jetti:
        url = f"{jetti.url}/webhooks/custom-channels/manual-sale.json"
        await jetti.impose(fault)
        kind, code = told(await sent_to(url, manual_sale(1), timeout_s=1.5))

    assert expected == (kind, code if expected[1] else "")
