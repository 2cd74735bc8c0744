"""What may be asked: queries and bodies, as values, or a problem that says what is wrong with them."""

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from relay.api import cursors
from relay.api.pulse import LATEST_MAX
from relay.core import instant
from relay.core.condition import RATE_FOR_MAX_S, RATE_MIN
from relay.core.delivery import State
from relay.core.instant import Instant
from relay.core.order import Disposition, Order
from relay.core.problem import Problem
from relay.core.sale import Reason
from relay.core.search import begins, email_hash_of_hex, is_exactly
from relay.store import EventSearch, Search, Selection

BODY_MAX_BYTES = 65_536
IN_SESSION = web.RequestKey("in_session", bool)
"""What a request is marked with whose asker signed in with a browser."""
BODY_S = 10.0
"""A body takes no longer to arrive, seconds."""
_IDS_MAX = 1000
_INT_MAX = (1 << 63) - 1
CRITERIA = ("code", "channel", "storefront", "since", "until")
_EMPTY = {"by": "is empty: say who does it", "why": "is empty: say why, for whoever finds it later"}

_ODD = r"\x00-\x1f\x7f-\xa0\xad\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb"
"""Control characters, spaces that look like one, and what changes the direction of the text around it."""
_PRINTABLE = rf"^[^{_ODD}]*$"
_SAYS_SOMETHING = rf"^ *[^ {_ODD}][^{_ODD}]*$"


def _line(most: int, description: str, pattern: str = _SAYS_SOMETHING) -> Meta:
    """One line of text. :func:`body` checks the pattern, and says in better words what is wrong."""
    return Meta(max_length=most, description=description, extra_json_schema={"pattern": pattern})


_WHY = "Why, for whoever finds it later. Kept for ever: name no customer."
Who = Annotated[str, _line(200, "Who does it.")]
Why = Annotated[str, _line(1000, _WHY)]
PerhapsWhy = Annotated[str, _line(1000, _WHY, _PRINTABLE)]
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Date = Annotated[str, Meta(max_length=40, examples=["2026-11-21T19:00:00Z"], extra_json_schema={"format": "date-time"})]
Place = Annotated[int, Meta(ge=0, le=_INT_MAX)]
Id = Annotated[int, Meta(ge=1, le=_INT_MAX)]
Ids = Annotated[list[Id], Meta(max_length=_IDS_MAX)]


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What a changing request says: at least who does it."""

    NEEDS_WHY: ClassVar[bool] = True
    RULE: ClassVar[Mapping[str, object]] = {}
    """What must hold of several members together, as JSON Schema."""
    by: Who
    why: PerhapsWhy


def _none(*names: str) -> dict[str, object]:
    """Members that say nothing."""
    empty: dict[str, object] = {"orders": {"maxItems": 0}, "events": {"maxItems": 0}, "all": {"const": False}}
    return {"properties": {name: empty.get(name, {"type": "null"}) for name in names}}


def _any(*names: str) -> dict[str, object]:
    """One member at least that says something."""
    full: dict[str, object] = {"orders": {"minItems": 1}, "events": {"minItems": 1}, "all": {"const": True}}
    return {"anyOf": [{"properties": {name: full.get(name, {"type": "string"})}, "required": [name]} for name in names]}


class Reasoned(Asked):
    """Who does it, and why."""

    why: Why


class Standing(Asked):
    """Who resumes a channel."""

    NEEDS_WHY: ClassVar[bool] = False
    why: PerhapsWhy = ""


class Rating(Asked, kw_only=True):
    """A channel's rate for now."""

    NEEDS_WHY: ClassVar[bool] = False
    RULE: ClassVar[Mapping[str, object]] = {
        "anyOf": [
            {"properties": {"rate": {"type": "null"}}},
            {"properties": {"why": {"pattern": _SAYS_SOMETHING}}, "required": ["why"]},
        ]
    }
    rate: Annotated[
        Annotated[float, Meta(ge=RATE_MIN)] | None,
        Meta(description="Requests a second, fewer than are configured; null takes it back."),
    ]
    for_s: Annotated[
        Annotated[float, Meta(gt=0, le=RATE_FOR_MAX_S)] | None,
        Meta(description="For how long, seconds; null: until it is taken back."),
    ] = None
    why: PerhapsWhy = ""


class Replaying(Asked):
    """Which dead letters are to be sent on their way again: named ones, or those for which everything given holds."""

    NEEDS_WHY: ClassVar[bool] = False
    RULE: ClassVar[Mapping[str, object]] = {
        "anyOf": [
            _any("orders", "events") | _none(*CRITERIA, "all"),
            _any(*CRITERIA, "all") | _none("orders", "events"),
        ]
    }
    why: PerhapsWhy = ""
    orders: Ids = []
    events: Ids = []
    code: Annotated[Word | None, Meta(description="Of the cause; `no_order`: events without an order.")] = None
    channel: Word | None = None
    storefront: Word | None = None
    since: Annotated[Date | None, Meta(description="Dead since then or later.")] = None
    until: Annotated[Date | None, Meta(description="Dead since then or earlier.")] = None
    all: Annotated[bool, Meta(description="Every one of them is meant.")] = False

    @property
    def criteria(self) -> bool:
        """Whether anything selects some of them."""
        return any(getattr(self, name) is not None for name in CRITERIA)

    def selection(self, now: Instant) -> Selection:
        """What is selected, of what is dead by now."""
        until = _instant("until", self.until)
        return Selection(
            self.code, self.channel, self.storefront, _instant("since", self.since), min(until or now, now)
        )


class Discarding(Asked):
    """Which dead letters need nothing."""

    RULE: ClassVar[Mapping[str, object]] = _any("orders", "events")
    why: Why
    orders: Ids = []
    events: Ids = []


class Releasing(Asked):
    """Which held orders are to go on: named ones, or a page of all, or of all of a storefront."""

    RULE: ClassVar[Mapping[str, object]] = {
        "anyOf": [_any("orders") | _none("all", "storefront"), _any("all") | _none("orders")]
    }
    why: Why
    orders: Ids = []
    all: bool = False
    storefront: Word | None = None
    until: Annotated[Date | None, Meta(description="Only what is held since then or longer.")] = None
    after: Annotated[tuple[Place, Place] | None, Meta(description="What the page before answered as `next`.")] = None

    def held_until(self, now: Instant) -> Instant:
        """Only what is held by then."""
        until = _instant("until", self.until)
        return now if until is None else min(until, now)


class DiscardingHeld(Asked):
    """Which held orders need nothing."""

    RULE: ClassVar[Mapping[str, object]] = _any("orders")
    why: Why
    orders: Ids


class SigningIn(Asked):
    """Who signs in."""

    NEEDS_WHY: ClassVar[bool] = False
    token: Annotated[str, Meta(max_length=4096)] = ""
    why: PerhapsWhy = ""


T = TypeVar("T", bound=Asked)


async def body(request: web.Request, kind: type[T]) -> T:
    """What a changing request says. Only JSON is taken: a form of another site in a browser cannot send that."""
    if request.content_type != "application/json":
        raise Problem(415, "not-json", f"Content-Type is {request.content_type}; send application/json")
    raw = await _read(request)
    try:
        found = msgspec.convert(_with_whole_numbers(msgspec.json.decode(raw)), kind)
    except msgspec.ValidationError as error:
        raise Problem(422, "invalid-request", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "malformed-json", f"the body is no JSON: {error}") from None
    _check_line(found, "by", required=True)
    _check_line(found, "why", required=found.NEEDS_WHY or (isinstance(found, Rating) and found.rate is not None))
    return found


def _check_line(found: Asked, name: str, *, required: bool) -> None:
    text = getattr(found, name).strip()
    if not re.match(_PRINTABLE, text):
        raise _invalid(name, "has a line break or another character that cannot be printed")
    if required and not text:
        raise _invalid(name, _EMPTY[name])
    setattr(found, name, text)


def _with_whole_numbers(value: object) -> object:
    """JSON Schema takes 17.0 for an integer."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


# -- queries -----------------------------------------------------------------------------------------------------------

Flag = Annotated[bool, Meta(description="`true` or `false`.")]
Most = Annotated[int, Meta(ge=1, le=1000, description="How many, at the most.")]
Cursor = Annotated[
    str,
    Meta(
        description="`next` of the page before. It says nothing but where to go on.",
        extra_json_schema={"pattern": cursors.PATTERN},
    ),
]
Typed = Annotated[str, Meta(extra_json_schema={"pattern": _SAYS_SOMETHING})]
EmailHash = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-fA-F]{64}$"})]
_TOPIC = re.compile(r"^[!-~]{1,100}$")
Topic = Annotated[str, Meta(examples=["orders/create"], extra_json_schema={"pattern": _TOPIC.pattern})]
_CURSOR = re.compile(cursors.PATTERN)
_TYPED = ("external_id", "reference", "text")
"""The narrowest first."""
Name = Annotated[str | None, Meta(description="Only of this one. Empty: of all.")]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many, and from where on."""

    limit: Most = 100
    cursor: Cursor | UnsetType = UNSET

    @property
    def place(self) -> cursors.Place | None:
        """Where to go on; ``None``: at the beginning."""
        if self.cursor is UNSET:
            return None
        if not _CURSOR.fullmatch(self.cursor):
            raise _invalid("cursor", "is none: take the next of an answer, or leave it out")
        return cursors.decoded(self.cursor)


class FindOrders(Page, frozen=True):
    """Which orders: those for which everything that is given holds."""

    limit: Most = 20
    text: Annotated[
        Typed | UnsetType, Meta(description="Reference or external id begins with it, `#` or not.", examples=["10"])
    ] = UNSET
    reference: Annotated[
        Typed | UnsetType, Meta(description="Reference or external id is this, `#` or not.", examples=["#1001"])
    ] = UNSET
    external_id: Annotated[Typed | UnsetType, Meta(description="The storefront's id of it.")] = UNSET
    email_hash: Annotated[
        EmailHash | UnsetType,
        Meta(description="SHA-256, hexadecimal, of the trimmed and lower-cased e-mail address of who bought."),
    ] = UNSET
    state: State | UnsetType = UNSET
    storefront: Name = None
    channel: Name = None

    @property
    def search(self) -> Search:
        """The same for the store, which looks for what begins with what is typed."""
        given = {name: getattr(self, name) for name in _TYPED if getattr(self, name) is not UNSET}
        for name, text in given.items():
            if not re.match(_SAYS_SOMETHING, text):
                raise _invalid(name, "says nothing that can be looked for: ?reference=%231001")
        email = None if self.email_hash is UNSET else email_hash_of_hex(self.email_hash)
        if self.email_hash is not UNSET and email is None:
            raise _invalid("email_hash", "is no SHA-256 of an e-mail address: 64 hexadecimal digits")
        return Search(
            text=next(iter(given.values()), None),  # the others are looked at in what is found by it
            email=email,
            states=frozenset() if self.state is UNSET else frozenset({self.state}),
            storefront=self.storefront or None,
            channel=self.channel or None,
        )

    def is_meant(self, order: Order) -> bool:
        """Whether an order that the store found by one text is what all of them ask for."""
        if self.text is not UNSET and not begins(self.text, order.reference, order.external_id):
            return False
        if self.reference is not UNSET and not is_exactly(self.reference, order.reference, order.external_id):
            return False
        return self.external_id is UNSET or order.external_id == self.external_id.strip()

    @property
    def is_exact(self) -> bool:
        """Whether only what is exactly this is asked for."""
        return self.reference is not UNSET or self.external_id is not UNSET


class FindEvents(Page, frozen=True):
    """Which events: those for which everything that is given holds."""

    limit: Annotated[int, Meta(ge=1, le=200, description="How many, at the most.")] = 100
    storefront: Name = None
    disposition: Annotated[Disposition | UnsetType, Meta(description="As far as is known by now.")] = UNSET
    order: Annotated[Id | UnsetType, Meta(description="Of this order.")] = UNSET
    since: Annotated[Date | None, Meta(description="Received then or later.")] = None
    until: Annotated[Date | None, Meta(description="Received then or earlier.")] = None

    @property
    def search(self) -> EventSearch:
        """The same for the store."""
        return EventSearch(
            storefront=self.storefront or None,
            dispositions=frozenset() if self.disposition is UNSET else frozenset({self.disposition}),
            order_id=None if self.order is UNSET else self.order,
            since=_instant("since", self.since),
            until=_instant("until", self.until),
        )


class Raw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether bodies are wanted."""

    raw: Annotated[Flag, Meta(description="Also what is in it: personal data. Not with a session.")] = False


class Masked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether personal data is to be masked."""

    masked: Annotated[Flag, Meta(description="Without personal data. With a session it must be.")] = False


class OfTimeline(Raw, frozen=True):
    """How much of an order is shown."""

    masked: Annotated[Flag, Meta(description="What was answered, without personal data. With a session it is.")] = False


class OfWebhook(Masked, frozen=True):
    """How a webhook is to be previewed."""

    topic: Annotated[Topic | UnsetType, Meta(description="Stands for the header of its topic.")] = UNSET

    @property
    def header(self) -> str | None:
        """The topic, if one is given that a header can have."""
        if self.topic is UNSET:
            return None
        if not _TOPIC.fullmatch(self.topic):
            raise _invalid("topic", "is none that a header can have: up to 100 letters, digits and signs of ASCII")
        return self.topic


class OfContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which webhook."""

    event: Annotated[
        Id | UnsetType, Meta(description="Of this webhook of the order, not of the one its sale is made of.")
    ] = UNSET


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which seconds, and how many webhooks."""

    after: Annotated[Place | UnsetType, Meta(description="Seconds since 1970: those after it.")] = UNSET
    limit: Annotated[int, Meta(ge=0, le=LATEST_MAX, description="Latest webhooks.")] = LATEST_MAX


class SomeReplays(Page, frozen=True):
    """Which replays."""

    limit: Most = 20


class SomeDeeds(Page, frozen=True):
    """Which deeds."""

    about: Annotated[str | None, Meta(description="Done to this, alone or among others.", examples=["order:17"])] = None


class SomeHeld(Page, frozen=True):
    """Which held orders."""

    storefront: Name = None


class SomeDead(Page, frozen=True):
    """Which dead letters: those for which everything that is given holds."""

    code: Annotated[str | None, Meta(description="Of the cause; `no_order`: events without an order.")] = None
    channel: Name = None
    storefront: Name = None
    since: Annotated[Date | None, Meta(description="Dead since then or later.")] = None
    until: Annotated[Date | None, Meta(description="Dead since then or earlier.")] = None

    @property
    def selection(self) -> Selection:
        """The same for the store."""
        return Selection(
            self.code or None,
            self.channel or None,
            self.storefront or None,
            _instant("since", self.since),
            _instant("until", self.until),
        )


Q = TypeVar("Q", bound=msgspec.Struct)


def query(request: web.Request, kind: type[Q]) -> Q:
    """What a query asks for, or 422 with the parameter that is unknown, twice there, or of the wrong kind."""
    given: dict[str, str] = {}
    for name, text in request.query.items():
        if name in given:
            raise _invalid(name, "is given twice")
        given[name] = text
    for name, text in given.items():
        if name in _FLAGS and text not in ("true", "false"):
            raise _invalid(name, "is neither true nor false")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(422, "invalid-request", f"query: {error}") from None


_FLAGS = frozenset({"raw", "masked"})


def is_raw(request: web.Request) -> bool:
    """Whether bodies may be wanted, which hold personal data."""
    return any(text != "false" for text in request.query.getall("raw", []))


def is_masked(request: web.Request) -> bool:
    """Whether personal data is certainly to be masked."""
    return request.query.getall("masked", []) == ["true"]


def whole(text: str) -> int | None:
    """A number that fits 64 bits; ``None`` for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _instant(name: str, text: str | None) -> Instant | None:
    if text is None:
        return None
    found = instant.parse(text)
    if found is None:
        raise _invalid(name, "is no moment: write it as 2026-11-21T19:00:00Z")
    return found


def _invalid(name: str, words: str) -> Problem:
    return Problem(422, "invalid-request", f"{name} {words}", {}, (Reason(f"/{name}", words),))
