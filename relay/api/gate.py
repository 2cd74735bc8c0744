"""Who may ask, and how a refusal is answered."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from relay.core.events import Observer, Unexpected
from relay.core.problem import CONTENT_TYPE, Problem
from relay.store import StoreError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


def admission(token: str | None, host: str) -> Middleware:
    """Let in who shows the token. Without one the relay only listens on loopback; then let in who addresses it by
    name: a page of another site, whose name was made to lead to loopback (DNS rebinding), does not."""
    expected = None if token is None else token.encode()

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in _OPEN_PATHS:
            return await handler(request)
        if expected is None:
            if not _is_here(request.headers.get("Host", ""), host):
                raise Problem(
                    421, "wrong-host", "without private.token, requests must be addressed to localhost or 127.0.0.1"
                )
        elif not _shows(request.headers.get("Authorization", ""), expected):
            raise Problem(
                401,
                "bad-credential",
                "Authorization: Bearer is missing or is not private.token",
                {"WWW-Authenticate": "Bearer"},
            )
        return await handler(request)

    return admit


def _shows(authorization: str, expected: bytes) -> bool:
    scheme, _, shown = authorization.partition(" ")
    given = shown.strip().encode("utf-8", "surrogateescape")
    return hmac.compare_digest(expected, given) and scheme.lower() == "bearer"


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
