"""What a source is: a few pure functions between one kind of storefront and a sale.

``verify`` and ``identify`` run inside the webhook's request and must stay lean: a partial decode, never a mapping.
``sale`` runs late, when the order's delivery is taken (or earlier, by the inspector), on the newest raw event.
Nothing here raises for anything that a storefront can send: what cannot be understood is an outcome.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relay.core import instant
from relay.core.instant import Instant
from relay.core.sale import Reason, Sale
from relay.core.version import Version, of_time

Headers = Mapping[str, str]
"""Request headers; look-ups ignore case (aiohttp's are so, tests use ``multidict.CIMultiDict``)."""


def moment(value: object) -> Instant | None:
    """A storefront's timestamp; ``None`` for what is none, or is outside 1970 to 9999 and so no date of an order."""
    return of_time(instant.parse(value)) if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Authentic:
    """The body was signed with one of the storefront's secrets."""


@dataclass(frozen=True, slots=True)
class Unauthentic:
    """Refused with 401."""

    reason: str


@dataclass(frozen=True, slots=True)
class Greeting:
    """Not signed, and nothing in it that anybody would have to believe: answered 200, as the storefront needs it to
    begin, and kept nowhere, so that no stranger can fill the store with it."""

    words: str


@dataclass(frozen=True, slots=True)
class Upsert:
    """The order is, as of ``version``, as the body says."""

    external_id: str
    version: Version | None
    """When the storefront last changed the order, by the storefront's own clock or as a number that only grows
    (:mod:`relay.core.version`), so only compared within one order.
    ``None`` when it does not say: then the order of arrival decides. The relay's clock must never stand in for it: a
    shop whose clock is behind would see its next updates called stale."""
    dedupe_key: str
    """The same for two webhooks exactly if they are the same webhook. Unique within a storefront."""
    topic: str
    reference: str | None = None
    """What the customer calls the order: ``#1001``."""
    created_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """The order is cancelled or deleted as of ``version``. This sticks: no later revision of it looks alive again."""

    external_id: str
    version: Version | None
    dedupe_key: str
    topic: str
    reference: str | None = None
    created_at: Instant | None = None
    complete: bool = True
    """Whether the body is the whole order; a deletion that only names it leaves the last whole body to map from."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Something about the order changed; the order is to be fetched before it is delivered (thin webhooks)."""

    external_id: str
    version: Version | None
    dedupe_key: str
    topic: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """Authentic and not about an order, or about one that is not wanted: kept as an event, never sent."""

    reason: str
    dedupe_key: str
    topic: str


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """Authentic, but no order can be read from it: a dead letter, and still a 2xx for the storefront."""

    reasons: tuple[Reason, ...]
    dedupe_key: str
    topic: str


Identified = Upsert | Cancel | Fetch | Ignore | NotUnderstood


@dataclass(frozen=True, slots=True)
class Mapped:
    """The sale, and what a person should know that it leaves out or had to assume."""

    sale: Sale
    notes: tuple[Reason, ...] = ()
    origins: tuple[str | None, ...] = ()
    """For each line, where in the body the storefront's own line is that it was made from, a JSON pointer; ``None`` for
    one of which that is not known. Empty: of none of them. Routing rules can look there (``item``, ``vendor``)."""


@dataclass(frozen=True, slots=True)
class Unmappable:
    """The order cannot be turned into a sale; at least one reason."""

    reasons: tuple[Reason, ...]


class Source(Protocol):
    """One kind of storefront, configured for one shop. Immutable; every method is a pure function."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the headers that :meth:`identify` reads. No secret is among them: they are kept with an event from
        which no order could be read, so that it can be read again."""
        ...

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic | Greeting:
        """Is the body signed with one of the shop's secrets? Constant-time comparison, over the raw bytes."""
        ...

    def identify(self, headers: Headers, body: bytes, *, now: Instant) -> Identified:
        """Which order is this about, and which state of it? ``now`` is for what expires, never for versions."""
        ...

    def strip(self, body: bytes) -> bytes:
        """The body as it may be kept: without the secrets that some storefronts repeat in it, else unchanged.

        To be called right after :meth:`verify`, which needs the bytes as they came; all that follows, :meth:`identify`
        first, is given what this returns, so that no reason, log or store ever holds a secret. Stripping twice changes
        nothing more, and a stripped body is the same order, version and webhook as the one that came.
        """
        ...

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The body of an :class:`Upsert` or a complete :class:`Cancel`, as a manual sale."""
        ...


class Signer(Protocol):
    """A source that can also sign, as its storefront does: so that a relay can be tried without one."""

    def signed(self, body: bytes, *, topic: str, webhook_id: str, now: Instant) -> Mapping[str, str]:
        """The headers with which the storefront would send this body: signed with the first secret, with the topic and
        the webhook's id where it has headers for them."""
        ...


# Thin webhooks: they only name an order, which is read from the storefront's API before it is delivered

FETCHED_TOPIC = "order/fetched"
"""The topic of an event whose body was fetched."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to GET from a storefront's API."""

    path: str
    """Below the API's address, without a slash in front, percent-encoded."""
    query: tuple[tuple[str, str], ...] = ()
    may_be_missing: bool = False
    """Whether a 404 only says that the order has none of it; else it says that there is no such order."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a request brought."""

    request: Request
    body: bytes = field(repr=False)
    """JSON; empty where there is nothing."""


class Thin(Source, Protocol):
    """A kind of storefront whose webhooks only name an order. Its ``sale`` takes what :meth:`assemble` returned.

    To fetch an order is to ask for :meth:`first_request`, and then for :meth:`next_request` until there is none.
    """

    def first_request(self, external_id: str) -> Request:
        """What to ask for first: what has the order's version, so that whatever is read after it is no older."""
        ...

    def next_request(self, pages: Sequence[Page]) -> Request | None:
        """What to ask for after these: a following page, or what else belongs to the order. Comes to an end if the
        API's lists do."""
        ...

    def assemble(self, pages: Sequence[Page]) -> bytes:
        """One JSON document of all that was read: kept as the order's raw body, and mapped as late as any other."""
        ...

    def identify_fetched(self, body: bytes, *, now: Instant) -> Upsert | Cancel | Ignore | NotUnderstood:
        """Which state of the order the document has; ``now`` is not for versions."""
        ...

    def asks_to_wait_s(self, headers: Headers) -> float | None:
        """For how many seconds a 429 with these headers asks to send nothing, where it has no ``Retry-After``."""
        ...
