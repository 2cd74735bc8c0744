"""Signing in with a browser: the token is shown once, a cookie stands for it from then on.

Sessions live in this process: a restart, a sign-out and a new token end them. The cookie is out of scripts' reach
(``HttpOnly``) and no other site's request carries it (``SameSite=Strict``); a changing request must also show the
session's CSRF token, which only a page of this origin has read.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from relay.api import asked, models
from relay.api.answers import json
from relay.clock import Clock
from relay.core import instant
from relay.core.instant import Instant
from relay.core.problem import Problem

COOKIE = "order_relay_session"
CSRF_HEADER = "X-CSRF-Token"
LASTS_S = 12 * 3600
"""A session ends so long after signing in, seconds."""
_SESSIONS_MAX = 200
_READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Session:
    """Someone who has shown the token."""

    by: str
    """Who they say they are: what their deeds are signed with."""
    csrf: str = field(repr=False)
    ends_at: Instant
    token: str | None
    """The name of the token that was shown."""


_TOKEN = web.RequestKey("relay_token", str)


def shown_by(request: web.Request, token: str | None) -> None:
    """Remember which token a request showed, or the session that it belongs to."""
    if token is not None:
        request[_TOKEN] = token


def token_of(request: web.Request) -> str | None:
    """The name of that token; ``None``: nobody needs one."""
    return request.get(_TOKEN)


class Sessions:
    """Who is signed in. ``tokens``: one of which they must show, by name; none where nobody needs to."""

    def __init__(self, tokens: Mapping[str, str], clock: Clock) -> None:
        self._tokens = {name: token.encode() for name, token in tokens.items()}
        self._clock = clock
        self._known: dict[str, Session] = {}

    def name_of(self, shown: str) -> str | None:
        """The name of a token; ``None``: it is none. However much of one it is, this takes the same time."""
        given = shown.encode("utf-8", "surrogateescape")
        same = [name for name, token in self._tokens.items() if hmac.compare_digest(token, given)]
        return same[0] if same else None

    @property
    def needed(self) -> bool:
        """Whether anyone has to sign in."""
        return bool(self._tokens)

    def of(self, request: web.Request) -> Session | None:
        """The session that a request belongs to. Raises :class:`Problem` if it would change something and cannot show
        that a page of this origin sent it."""
        session = self._known.get(request.cookies.get(COOKIE, ""))
        if session is None or session.ends_at <= self._clock.now():
            return None
        shown = request.headers.get(CSRF_HEADER, "").encode("utf-8", "surrogateescape")
        if request.method not in _READING and not hmac.compare_digest(session.csrf.encode(), shown):
            raise Problem(403, "no-csrf-token", f"a session's changing request shows its token as {CSRF_HEADER}")
        return session

    # -- answers ---------------------------------------------------------------------------------------------------

    async def look(self, request: web.Request) -> web.Response:
        """Who is signed in."""
        return json(_shown(self.of(request)))

    async def sign_in(self, request: web.Request) -> web.Response:
        """Take the token, give a cookie."""
        wanted = await asked.body(request, asked.SigningIn)
        token = self.name_of(wanted.token)
        if self.needed and token is None:
            raise Problem(
                401, "bad-credential", "this is not private.token, nor one of private.tokens",
                {"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        now = self._clock.now()
        self._known = {key: session for key, session in self._known.items() if session.ends_at > now}
        while len(self._known) >= _SESSIONS_MAX:
            del self._known[next(iter(self._known))]
        key = secrets.token_urlsafe(32)
        self._known[key] = session = Session(wanted.by, secrets.token_urlsafe(32), instant.after(now, LASTS_S), token)
        answer = json(_shown(session))
        answer.set_cookie(
            COOKIE, key, path="/api", max_age=LASTS_S, httponly=True, samesite="Strict",
            secure=request.secure or request.headers.get("X-Forwarded-Proto") == "https",
        )  # fmt: skip
        return answer

    async def sign_out(self, request: web.Request) -> web.Response:
        """Forget a session."""
        self._known.pop(request.cookies.get(COOKIE, ""), None)
        answer = json(_shown(None))
        answer.del_cookie(COOKIE, path="/api", httponly=True, samesite="Strict")
        return answer


def _shown(session: Session | None) -> models.Session:
    if session is None:
        return models.Session(by=None, token=None, csrf=None, ends_at=None)
    ends_at = instant.iso(session.ends_at)
    return models.Session(by=session.by, token=session.token, csrf=session.csrf, ends_at=ends_at)
