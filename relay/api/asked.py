"""What may be asked: queries and bodies, as values, or a problem that says what is wrong with them."""

import asyncio
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web

from relay.core.instant import Instant
from relay.core.problem import Problem
from relay.core.sale import Reason
from relay.core.sources import moment
from relay.store import EVERYTHING, Selection

BODY_MAX_BYTES = 65_536
BODY_S = 10.0
"""A body takes no longer to arrive, seconds."""
_IDS_MAX = 1000

Who = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Why = Annotated[str, msgspec.Meta(max_length=1000)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Place = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Ids = Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]], msgspec.Meta(max_length=_IDS_MAX)]


class Standing(msgspec.Struct, forbid_unknown_fields=True):
    """Pause or resume a channel."""

    by: Who
    why: Why = ""


class Replaying(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters are to be sent on their way again: named ones, or those for which everything given holds."""

    by: Who
    why: Why = ""
    orders: Ids = []
    events: Ids = []
    code: Word | None = None
    channel: Word | None = None
    storefront: Word | None = None
    since: Word | None = None
    until: Word | None = None
    all: bool = False
    """Every one of them is meant."""

    @property
    def criteria(self) -> bool:
        """Whether anything selects some of them."""
        return any(value is not None for value in (self.code, self.channel, self.storefront, self.since, self.until))

    def selection(self, now: Instant) -> Selection:
        """What is selected, of what is dead by now."""
        until = _instant("until", self.until)
        return Selection(
            self.code, self.channel, self.storefront, _instant("since", self.since), min(until or now, now)
        )


class Discarding(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters need nothing."""

    by: Who
    why: Why
    orders: Ids = []
    events: Ids = []


class Releasing(msgspec.Struct, forbid_unknown_fields=True):
    """Which held orders are to go on: named ones, or a page of all, or of all of a storefront."""

    by: Who
    why: Why
    orders: Ids = []
    all: bool = False
    storefront: Word | None = None
    until: Word | None = None
    after: tuple[Place, Place] | None = None
    """What the page before answered as ``next``."""

    def held_until(self, now: Instant) -> Instant:
        """Only what is held by then."""
        until = _instant("until", self.until)
        return now if until is None else min(until, now)


class DiscardingHeld(msgspec.Struct, forbid_unknown_fields=True):
    """Which held orders need nothing."""

    by: Who
    why: Why
    orders: Ids


class SigningIn(msgspec.Struct, forbid_unknown_fields=True):
    """Who signs in."""

    by: Who
    token: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    why: Why = ""


T = TypeVar("T", Standing, Replaying, Discarding, Releasing, DiscardingHeld, SigningIn)


async def body(request: web.Request, kind: type[T]) -> T:
    """What a changing request says. Only JSON is taken: a form of another site in a browser cannot send that."""
    if request.content_type != "application/json":
        raise Problem(415, "not-json", f"Content-Type is {request.content_type}; send application/json")
    raw = await _read(request)
    try:
        found = msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise Problem(422, "invalid-request", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "malformed-json", f"the body is no JSON: {error}") from None
    found.by, found.why = found.by.strip(), found.why.strip()
    for name in ("by", "why"):
        if not getattr(found, name).isprintable():
            raise _invalid(name, "has a line break or another character that cannot be printed")
    if not found.by:
        raise _invalid("by", "is empty: say who does it")
    return found


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        raise Problem(408, "body-too-slow", f"the body took longer than {BODY_S:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise Problem(413, "body-too-large", f"a body may have {BODY_MAX_BYTES} bytes") from None


async def webhook(request: web.Request, most_bytes: int) -> bytes:
    """A webhook as it came, which may be larger than what else is asked."""
    parts, size = list[bytes](), 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > most_bytes:
                    raise Problem(413, "body-too-large", f"public.body_max_bytes is {most_bytes}")
    except TimeoutError:
        raise Problem(408, "body-too-slow", f"the body took longer than {BODY_S:g} s") from None
    return b"".join(parts)


def say_why(asked: Standing | Discarding | Releasing | DiscardingHeld) -> None:
    """What is not undone by itself needs a reason, for whoever finds it."""
    if not asked.why:
        raise _invalid("why", "is empty: say why, for whoever finds it later")


def selection(request: web.Request) -> Selection:
    """Which dead letters a query asks for."""
    query = request.query
    given = {name: query[name] for name in ("code", "channel", "storefront") if query.get(name)}
    since, until = (_instant(name, query.get(name) or None) for name in ("since", "until"))
    return Selection(**given, since=since, until=until) if given or since or until else EVERYTHING


def limit(request: web.Request, usual: int, most: int = 1000) -> int:
    """How many, at the most."""
    asked = whole(request.query.get("limit", ""))
    return usual if asked is None else min(asked, most)


def raw(request: web.Request) -> bool:
    """Whether bodies are wanted, which hold personal data."""
    return request.query.get("raw") == "true"


def masked(request: web.Request) -> bool:
    """Whether personal data is to be masked."""
    return request.query.get("masked") == "true"


def whole(text: str) -> int | None:
    """A number that fits 64 bits; ``None`` for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _instant(name: str, text: str | None) -> Instant | None:
    if text is None:
        return None
    found = moment(text)
    if found is None:
        raise _invalid(name, "is no moment: write it as 2026-11-21T19:00:00Z")
    return found


def _invalid(name: str, words: str) -> Problem:
    return Problem(422, "invalid-request", f"{name} {words}", {}, (Reason(f"/{name}", words),))
