"""HTTP in: the public listener. Verify, identify, commit, answer; nothing else happens inside a webhook's request."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from aiohttp import HttpVersion11, web

from relay.clock import Clock
from relay.core.delivery import HeadStarts
from relay.core.events import EventAccepted, Greeted, Observer, RequestRefused, StoreTrouble, Unexpected
from relay.core.order import Arrival
from relay.core.pressure import REFUSALS, Limit, Refusal
from relay.core.problem import CONTENT_TYPE, Problem
from relay.core.sources import Greeting, Identified, Ignore, NotUnderstood, Source, Unauthentic, Unmappable
from relay.core.sources.native import Malformed, Native, split
from relay.core.trace import Trace, Tracer
from relay.store import Receipt, StoreError, StoreFull

ITEMS_MAX = 1000
"""Sales in one request to ``/orders`` at the most."""

_JSON = "application/json"
_NDJSON = "application/x-ndjson"
_JSON_LIKE = frozenset({_JSON, _NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_STOREFRONT = web.RequestKey("storefront", str)
"""Where a request keeps the storefront it is for, once that is known."""
_NO_ENCODING = frozenset({"", "identity"})
_NO_HEADERS: Mapping[str, str] = {}
_PATH_MAX_CHARACTERS = 200
"""Of a refused request's path, for the log: a stranger may have chosen it."""
_NAMES_SHOWN = 20
_DRAINED_MAX_BYTES = 65_536
"""Of a body that is refused unread: so much is read and thrown away, because a new connection would cost more."""
_HEADER_KEPT_BYTES = 1024
"""Of each header that is kept with an event that was not understood."""


@dataclass(frozen=True, slots=True)
class Door:
    """One storefront's way in."""

    storefront: str
    channel: str
    source: Source
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """For manual sales: what a caller shows, as bearer token or as hash. Signed webhooks need none here."""
    head_starts: HeadStarts = field(default_factory=HeadStarts)
    new_order_window_s: float = 86_400.0
    refuse_at: float = 1.0
    """The share of the commit queue, in use, from which its events are refused."""
    fetch_after_s: float = 0.0
    """See :attr:`relay.core.order.Arrival.fetch_after_s`."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """One event's way in."""

    started: float
    """When its request's head was there, on the monotonic clock."""
    trace: Trace | None = None
    """Its span's place; like the path only where traces are made."""
    path: str = ""


_VISIT = web.RequestKey("visit", _Visit)
"""Where a request keeps it, once it is known who sent it."""


class Accept(Protocol):
    """How an arrival is kept: :meth:`relay.store.Store.accept`."""

    def __call__(self, arrival: Arrival, *, share: float) -> Awaitable[Receipt]: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may cost."""

    body_max_bytes: int = 5 * 1024 * 1024
    body_timeout_s: float = 10.0
    """For the whole body to arrive, seconds."""
    bodies_max_bytes: int = 128 * 1024 * 1024
    """Of all bodies that are being received."""
    queue_max: int = 2048
    """Events that wait for their commit."""
    retry_after_s: int = 5
    """What a refused storefront is told to wait, seconds."""


class Ingest:
    """Answers the public listener's requests. An aiohttp low-level handler: four paths need no router."""

    def __init__(
        self,
        doors: Mapping[str, Door],
        accept: Accept,
        hand_on: Callable[[str, Receipt], None],
        refusal: Callable[[str], Refusal | None],
        limits: Limits,
        clock: Clock,
        observe: Observer,
    ) -> None:
        """``refusal``: why a storefront's events are not taken at present, if they are not; asked at every request."""
        self._doors = doors
        self._callers = [(secret, door) for door in doors.values() for secret in door.secrets]
        self._known = _shown(name for name, door in doors.items() if not door.secrets)
        self._accept = accept
        self._hand_on = hand_on
        self._refusal = refusal
        self._limits = limits
        self._clock = clock
        self._observe = observe
        self.tracer: Tracer | None = None
        """Where traces are made."""
        self._unread = 0
        self._keeping = 0

    @property
    def queue_share(self) -> float:
        """How much of the commit queue is in use, 0 to 1."""
        return self._keeping / self._limits.queue_max

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        started = self._clock.monotonic()
        try:
            return await self._route(request, started)
        except Problem as problem:
            return self._refuse(request, problem, started)
        except Exception as error:  # noqa: BLE001 - whatever it was, the storefront is to come again
            self._observe(Unexpected("ingest", error))
            return self._refuse(request, self._come_again("internal", "an unexpected error of the relay"), started)

    async def _route(self, request: web.BaseRequest, started: float) -> web.Response:
        match request.path.split("/"):
            case ["", "webhooks", "custom-channels", "manual-sale.json"]:
                _only_post(request)
                return await self._manual_sale(request, self._caller_by_hash(request), started)
            case ["", "webhooks", storefront]:
                _only_post(request)
                return await self._webhook(request, self._door(storefront), started)
            case ["", "api", "channels", _, "manual-sale.json"]:
                _only_post(request)
                return await self._manual_sale(request, self._caller_by_token(request), started)
            case ["", "orders"]:
                _only_post(request)
                return await self._orders(request, self._caller_by_token(request), started)
            case _:
                raise Problem(404, "unknown-path", "nothing is here: webhooks go to /webhooks/{storefront}")

    # -- the ways in -----------------------------------------------------------------------------------------------

    async def _webhook(self, request: web.BaseRequest, door: Door, started: float) -> web.Response:
        request[_STOREFRONT] = door.storefront
        self._let_in(door)
        body = await self._body(request)
        now = self._clock.now()
        verdict = door.source.verify(request.headers, body, now=now)
        if isinstance(verdict, Unauthentic):
            raise Problem(401, "bad-signature", verdict.reason)
        if isinstance(verdict, Greeting):
            self._observe(Greeted(door.storefront, verdict.words))
            return _answer(200, {"status": "greeted", "reason": verdict.words})
        visit = request[_VISIT] = self._visit(request, started)
        body = door.source.strip(body)
        identified = door.source.identify(request.headers, body, now=now)
        headers = _kept_headers(door.source, request) if isinstance(identified, NotUnderstood) else {}
        receipt = await self._keep(door, identified, body, now, visit, headers)
        return _answer(200, _words(identified, receipt))

    async def _manual_sale(self, request: web.BaseRequest, door: Door, started: float) -> web.Response:
        request[_STOREFRONT] = door.storefront
        visit = request[_VISIT] = self._visit(request, started)
        _only_json(request)
        self._let_in(door)
        body = await self._body(request)
        identified = _validated(_native(door), request, body, self._clock.now(), 0)
        receipt = await self._keep(door, identified, body, self._clock.now(), visit)
        return _answer(200, _words(identified, receipt))

    async def _orders(self, request: web.BaseRequest, door: Door, started: float) -> web.Response:
        request[_STOREFRONT] = door.storefront
        _only_json(request)
        self._let_in(door)
        body = await self._body(request)
        items = split(body, request.content_type)
        if isinstance(items, Malformed):
            raise _malformed(items)
        if not items:
            raise Problem(422, "no-sales", "there is no sale in the request: send one, an array of some, or lines")
        if len(items) > ITEMS_MAX:
            raise Problem(413, "too-many-items", f"{len(items)} sales in one request; at most {ITEMS_MAX} are taken")
        as_lines = request.content_type != _JSON and request.content_type in _JSON_LIKE
        single = not as_lines and body.lstrip()[:1] != b"["
        answers = await asyncio.gather(*(self._item(request, door, i, item, started) for i, item in enumerate(items)))
        if single:
            return _only_answer(answers)
        status = _common_status(answers)
        members = [a.members() if isinstance(a, Problem) else a for a in answers]
        if as_lines:
            return _answer(status, b"".join(msgspec.json.encode(m) + b"\n" for m in members), _NDJSON)
        return _answer(status, members)

    async def _item(
        self, request: web.BaseRequest, door: Door, position: int, item: bytes | Malformed, started: float
    ) -> "dict[str, object] | Problem":
        now, visit = self._clock.now(), self._visit(request, started)
        try:
            if isinstance(item, Malformed):
                raise _malformed(item)
            self._let_in(door)
            identified = _validated(_native(door), request, item, now, position)
            return _words(identified, await self._keep(door, identified, item, now, visit))
        except Problem as problem:
            self._tell(request, problem, visit)
            return problem

    def _let_in(self, door: Door) -> None:
        """Refuse while there is no room, before anything is read, verified or decoded: that is when it counts."""
        if self.queue_share >= door.refuse_at:
            raise self._come_again(REFUSALS[Limit.QUEUE].name, REFUSALS[Limit.QUEUE].words)
        refusal = self._refusal(door.storefront)
        if refusal is not None:
            raise self._come_again(refusal.name, refusal.words)

    def _visit(self, request: web.BaseRequest, started: float) -> _Visit:
        """Of somebody who has proved who they are: others make no spans, because there may be any number of them."""
        if self.tracer is None:
            return _Visit(started)
        parents, states = (request.headers.getall(name, ()) for name in ("traceparent", "tracestate"))
        return _Visit(started, self.tracer.received(parents, states), _printable(request.path))

    async def _keep(
        self, door: Door, identified: Identified, body: bytes, now: int, visit: _Visit,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Receipt:  # fmt: skip
        """Commit, hand on, tell. Only after this may a 2xx be sent."""
        arrival = Arrival(
            door.storefront,
            door.channel,
            identified,
            body,
            now,
            door.head_starts,
            door.new_order_window_s,
            headers,
            door.fetch_after_s,
            visit.trace,
        )
        self._keeping += 1
        asked_at = self._clock.monotonic()
        try:
            receipt = await self._accept(arrival, share=door.refuse_at)
        except StoreFull:
            raise self._come_again(REFUSALS[Limit.QUEUE].name, REFUSALS[Limit.QUEUE].words) from None
        except StoreError as error:
            self._observe(StoreTrouble("accepting an event", str(error)))
            raise self._come_again("store-failed", "the event could not be kept; send it again later") from None
        finally:
            self._keeping -= 1
        kept_at = self._clock.monotonic()
        self._hand_on(door.channel, receipt)
        about = None if isinstance(identified, Ignore | NotUnderstood) else identified
        reasons = identified.reasons if isinstance(identified, NotUnderstood) else ()
        self._observe(
            EventAccepted(
                door.storefront, identified.topic, receipt.disposition, receipt.event_id,
                None if about is None else about.external_id, getattr(about, "reference", None), receipt.revision,
                receipt.duplicate_of, len(body), self._clock.monotonic() - visit.started, reasons,
                path=visit.path, commit_s=kept_at - asked_at, trace=visit.trace,
                channel=door.channel, order_id=receipt.order_id,
            )
        )  # fmt: skip
        return receipt

    # -- who is there ----------------------------------------------------------------------------------------------

    def _door(self, storefront: str) -> Door:
        door = self._doors.get(storefront)
        if door is None:
            raise Problem(404, "unknown-storefront", "no storefront of this name is configured")
        if door.secrets:
            raise Problem(404, "unknown-storefront", "this storefront sends manual sales: use /orders")
        return door

    def _caller_by_hash(self, request: web.BaseRequest) -> Door:
        return self._caller(request.headers.get("jetti-webhook-hash", ""), "jetti-webhook-hash")

    def _caller_by_token(self, request: web.BaseRequest) -> Door:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self._caller(token.strip() if scheme.lower() == "bearer" else "", "Authorization: Bearer")

    def _caller(self, shown: str, header: str) -> Door:
        """Every secret is compared, and in constant time, so that the answer's time says nothing about them."""
        given = shown.encode("utf-8", "surrogateescape")
        found = [door for secret, door in self._callers if hmac.compare_digest(secret, given)]
        if not shown or not found:
            challenge = {"WWW-Authenticate": "Bearer"} if header.startswith("Auth") else {}
            raise Problem(401, "bad-credential", f"{header} is missing or matches no storefront's secret", challenge)
        return found[0]

    # -- the request -----------------------------------------------------------------------------------------------

    async def _body(self, request: web.BaseRequest) -> bytes:
        if request.headers.get("Content-Encoding", "").lower() not in _NO_ENCODING:
            raise Problem(415, "encoded-body", "send the body without Content-Encoding: a signature covers plain bytes")
        most = self._limits.body_max_bytes
        if (request.content_length or 0) > most:
            raise Problem(413, "body-too-large", f"a body may have {most} bytes (public.body_max_bytes)")
        try:
            if request.content.is_eof():
                return await request.read()
            with self._reading(most if request.content_length is None else request.content_length):
                async with asyncio.timeout(self._limits.body_timeout_s):
                    await _continue(request)
                    return await request.read()
        except TimeoutError:
            limit_s = self._limits.body_timeout_s
            raise Problem(408, "body-too-slow", f"the body took longer than {limit_s:g} s") from None
        except web.HTTPRequestEntityTooLarge:
            raise Problem(413, "body-too-large", f"a body may have {most} bytes (public.body_max_bytes)") from None
        except (web.RequestPayloadError, ConnectionError) as error:
            # What it says may quote what did arrive.
            raise Problem(400, "broken-body", f"the body did not arrive whole ({type(error).__name__})") from None

    @contextmanager
    def _reading(self, size: int) -> Iterator[None]:
        """Bodies that are on their way take memory before anybody has proved who they are: so much and no more."""
        if self._unread + size > self._limits.bodies_max_bytes:
            raise self._come_again("busy", "too many large bodies are being received at once")
        self._unread += size
        try:
            yield
        finally:
            self._unread -= size

    def _come_again(self, name: str, detail: str) -> Problem:
        return Problem(503, name, detail, {"Retry-After": str(self._limits.retry_after_s)})

    def _refuse(self, request: web.BaseRequest, problem: Problem, started: float) -> web.Response:
        self._tell(request, problem, request.get(_VISIT) or _Visit(started))
        response = web.Response(
            body=problem.encode(), status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers
        )
        if not request.content.is_eof() and not (problem.status == 503 and _is_soon_read(request)):
            response.force_close()  # what is left of the body is not worth reading
        return response

    def _tell(self, request: web.BaseRequest, problem: Problem, visit: _Visit) -> None:
        storefront = request.get(_STOREFRONT, "unknown")
        took_s, errors = self._clock.monotonic() - visit.started, tuple(problem.errors)
        detail, path = problem.detail, _printable(request.path)
        if problem.name == "unknown-storefront":  # the operator may know the names, a stranger may not
            detail = f"{detail}; configured for webhooks: {self._known}"
        self._observe(
            RequestRefused(
                storefront, problem.status, problem.name, detail, took_s, path, trace=visit.trace, reasons=errors
            )
        )


# -- answers ---------------------------------------------------------------------------------------------------------


def _words(identified: Identified, receipt: Receipt) -> dict[str, object]:
    """What a storefront is told: ``{"status": disposition, "event": id, "order": external id, "revision": n}``."""
    words: dict[str, object] = {"status": receipt.disposition.value, "event": receipt.event_id}
    match identified:
        case Ignore(reason):
            words["reason"] = reason
        case NotUnderstood(reasons):
            words["reason"] = "; ".join(f"{r.pointer or 'body'}: {r.message}" for r in reasons)
        case about:
            words["order"] = about.external_id
    if receipt.revision is not None:
        words["revision"] = receipt.revision
    if receipt.duplicate_of is not None:
        words["duplicate_of"] = receipt.duplicate_of
    return words


def _answer(status: int, content: Any, content_type: str = _JSON) -> web.Response:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return web.Response(body=body, status=status, content_type=content_type)


def _only_answer(answers: "Sequence[dict[str, object] | Problem]") -> web.Response:
    (answer,) = answers
    if isinstance(answer, Problem):
        return _answer(answer.status, answer.members(), CONTENT_TYPE)
    return _answer(202, answer)


def _common_status(answers: "Iterable[dict[str, object] | Problem]") -> int:
    """202 as soon as one item was kept: each item says what became of it."""
    refused = [answer.status if isinstance(answer, Problem) else 202 for answer in answers]
    return 202 if 202 in refused else max(refused)


# -- manual sales ----------------------------------------------------------------------------------------------------


def _native(door: Door) -> Native:
    assert isinstance(door.source, Native)  # noqa: S101 - only such doors have secrets (see relay.app)
    return door.source


def _validated(source: Native, request: web.BaseRequest, body: bytes, now: int, position: int) -> Identified:
    """The caller waits, so the sale is validated here, and refused rather than quarantined."""
    parsed = source.parse(body)
    if isinstance(parsed, Malformed):
        raise _malformed(parsed)
    if isinstance(parsed, Unmappable):
        raise Problem(422, "invalid-sale", "the sale has fields that cannot be sent as they are", {}, parsed.reasons)
    identified = source.identify(request.headers, body, now=now, position=position)
    if isinstance(identified, NotUnderstood):
        raise Problem(422, "invalid-sale", "the sale names no order", {}, identified.reasons)
    return identified


def _malformed(found: Malformed) -> Problem:
    line = "" if found.line is None else f" in line {found.line},"
    return Problem(400, "malformed-json", f"not JSON,{line} at byte {found.position}: {found.message}")


def _shown(names: Iterable[str]) -> str:
    known = sorted(names)
    more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
    return ", ".join(known[:_NAMES_SHOWN]) + more or "none"


def _printable(path: str) -> str:
    """A path that cannot flood a log, or move a terminal's cursor."""
    cut = path if len(path) <= _PATH_MAX_CHARACTERS else path[: _PATH_MAX_CHARACTERS - 1] + "…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut)


def _is_soon_read(request: web.BaseRequest) -> bool:
    """Whether the rest of a body costs less than the connection: the server reads it, and throws it away."""
    declared = request.content_length
    return declared is not None and declared <= _DRAINED_MAX_BYTES and "Expect" not in request.headers


def _kept_headers(source: Source, request: web.BaseRequest) -> dict[str, str]:
    """What the source reads, so that the event can be read again: as text that any store can keep."""
    found = {name: request.headers[name] for name in source.reads if name in request.headers}
    return {name: _bounded(value) for name, value in found.items()}


def _bounded(value: str) -> str:
    return value.encode("utf-8", "surrogateescape")[:_HEADER_KEPT_BYTES].decode("utf-8", "replace")


async def _continue(request: web.BaseRequest) -> None:
    """A client that asked first (RFC 9110, 10.1.1) is told to go on: by now we want the body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


def _only_post(request: web.BaseRequest) -> None:
    if request.method != "POST":
        raise Problem(405, "only-post", f"{request.method} does nothing here; send a POST", {"Allow": "POST"})


def _only_json(request: web.BaseRequest) -> None:
    if "Content-Type" in request.headers and request.content_type not in _JSON_LIKE:
        raise Problem(415, "not-json", f"Content-Type is {request.content_type}; send application/json")
