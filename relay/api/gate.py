"""Who may ask, and how a refusal is answered."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from relay.api import asked
from relay.api.sessions import Sessions, shown_by
from relay.core.events import Observer, Unexpected
from relay.core.masking import masked_sentences, masked_words
from relay.core.problem import CONTENT_TYPE, Problem
from relay.store import StoreError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_OFF_LOOP_BYTES = 100_000
"""A larger answer is gone through in a thread: it would hold up webhooks."""


def admission(sessions: Sessions, host: str) -> Middleware:
    """Let in who shows the token, or has signed in with it. Without one the relay only listens on loopback; then let
    in who addresses it by name: a page of another site, whose name was made to lead to loopback (DNS rebinding), does
    not. What a page of another origin sends is refused in any case, whatever the browser adds to it."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in _OPEN_PATHS:
            return await handler(request)
        if not sessions.needed and not _is_here(request.headers.get("Host", ""), host):
            raise Problem(421, "wrong-host", "without a token, requests must be addressed to localhost or 127.0.0.1")
        if _is_page(request):
            return await handler(request)
        if _is_foreign(request):
            raise Problem(403, "another-origin", "a page of another origin may not ask this; open /console itself")
        signing_in = (request.method, request.path) == ("POST", "/api/session")
        if sessions.needed and not signing_in:
            shown_by(request, _shown(request, sessions) or _admit_session(request, sessions))
        return await _quoting_nothing(request, handler) if _is_for_eyes(request) else await handler(request)

    return admit


def _is_for_eyes(request: web.Request) -> bool:
    """Whether whoever asks is to see no personal data, unless by a reveal."""
    masked = asked.IN_SESSION in request or asked.is_masked(request)
    return masked and not (request.method == "POST" and request.path.endswith("/reveal"))


async def _quoting_nothing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The answer, whose sentences may quote what Jetti or a storefront said of an order, or what is wrong with one."""
    try:
        answer = await handler(request)
    except Problem as problem:
        raise replace(problem, detail=masked_words(problem.detail)) from None
    body = answer.body if isinstance(answer, web.Response) and answer.content_type == "application/json" else None
    if isinstance(answer, web.Response) and isinstance(body, bytes):
        large = len(body) > _OFF_LOOP_BYTES
        answer.body = await asyncio.to_thread(_masked, body) if large else _masked(body)
    return answer


def _masked(body: bytes) -> bytes:
    return msgspec.json.encode(masked_sentences(msgspec.json.decode(body)))


def _admit_session(request: web.Request, sessions: Sessions) -> str | None:
    """The name of the token that whoever is signed in has shown."""
    session = sessions.of(request)
    if session is None:
        raise Problem(
            401, "bad-credential",
            "Authorization: Bearer is missing or is none of the relay's tokens (private.token, private.tokens), and "
            "nobody is signed in",
            {"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
    request[asked.IN_SESSION] = True
    if asked.is_raw(request) or (request.path.endswith("/preview") and not asked.is_masked(request)):
        raise Problem(
            403,
            "reveal-instead",
            "who is signed in sees personal data by POST …/reveal, which is on record, and a preview with ?masked=true",
        )
    return session.token


def _is_page(request: web.Request) -> bool:
    """Whether it asks for the console's own files, which hold no data."""
    return request.path == "/console" or request.path.startswith("/console/")


def _is_foreign(request: web.Request) -> bool:
    """Whether a browser says that a page of another origin sent it; another port is another origin."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("Host", "")


def _shown(request: web.Request, sessions: Sessions) -> str | None:
    """The name of the token that a request shows itself."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    name = sessions.name_of(shown.strip())
    return name if scheme.lower() == "bearer" else None


def _is_here(addressed: str, host: str) -> bool:
    """Whether a ``Host`` header names loopback, or what is listened on."""
    try:
        name = urlsplit(f"//{addressed}").hostname or ""
    except ValueError:
        return False
    if name in {"localhost", host.lower()}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def problems(observe: Observer) -> Middleware:
    """Answer what was refused, and what broke."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            found = problem
        except web.HTTPException as error:
            headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            found = Problem(error.status, "unknown-path" if error.status == 404 else "http", error.reason, headers)
        except StoreError as error:
            found = Problem(503, "store-failed", str(error), {"Retry-After": "5"})
        except Exception as error:  # noqa: BLE001 - answered and told, whatever it is
            observe(Unexpected("api", error))
            found = Problem(500, "internal", "an unexpected error of the relay; it has been logged")
        return web.Response(body=found.encode(), status=found.status, content_type=CONTENT_TYPE, headers=found.headers)

    return answer
