"""Every endpoint of the private listener, once: the router and the OpenAPI document are both made of this table."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from aiohttp import web

from relay.api import asked, models, refusals
from relay.api.acting import Acting
from relay.api.looking import Looking
from relay.api.previewing import Previewing
from relay.api.refusals import Refusal
from relay.api.sessions import Sessions
from relay.api.watching import Watching

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Parts:
    """Whoever answers."""

    looking: Looking
    acting: Acting
    previewing: Previewing
    watching: Watching
    sessions: Sessions
    document: Handler
    """The document that is made of this table."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What endpoints are about."""

    name: str
    words: str


RELAY = Tag("relay", "The relay itself: whether it works, and how much there is to do.")
ORDERS = Tag("orders", "Orders, and what is in them.")
EVENTS = Tag("events", "Accepted webhooks.")
DEAD = Tag("dead letters", "What needs a person: dead orders, and events from which no order could be read.")
HELD = Tag("held orders", "What `accept_when` does not want yet.")
CHANNELS = Tag("channels", "Where orders are delivered to.")
STOREFRONTS = Tag("storefronts", "Where webhooks come from.")
RECORD = Tag("record", "What persons did, and what is being done.")
SESSIONS = Tag("sessions", "Signing in with a browser.")
TAGS = (RELAY, ORDERS, EVENTS, DEAD, HELD, CHANNELS, STOREFRONTS, RECORD, SESSIONS)


@dataclass(frozen=True, slots=True)
class Success:
    """What is answered when all is well."""

    model: type | None = None
    """``None``: a text."""
    status: int = 200
    words: str = "Done."
    headers: Mapping[str, str] = field(default_factory=dict)
    """That it has, and what they say."""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. Parameters of its path are described by the document."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    operation: str
    """The ``operationId``."""
    tag: Tag
    handler: Callable[[Parts], Handler]
    summary: str
    answers: tuple[Success, ...]
    query: type[msgspec.Struct] | None = asked.Nothing
    """``None``: anything is taken, and ignored."""
    body: Any = None
    """The model of the request; ``Any``: whatever it is."""
    refuses: tuple[Refusal, ...] = ()
    """Besides what any request may be answered."""
    open: bool = False
    """Whether it needs no credential."""
    example: object = None
    """Of the request's body."""

    @property
    def is_api(self) -> bool:
        """Whether it is guarded, and answers problems."""
        return self.path.startswith("/api/")

    @property
    def problems(self) -> tuple[Refusal, ...]:
        """Every one it may answer."""
        if not self.is_api:
            return (refusals.INTERNAL, refusals.STORE_FAILED)
        changes = self.method != "GET"
        found = (*refusals.ANYWHERE, *(refusals.OF_BODIES if self.body is not None else ()), *self.refuses)
        return (*found, refusals.NO_CSRF_TOKEN) if changes and not self.open else found


def _ok(model: type, words: str = "Done.") -> tuple[Success, ...]:
    return (Success(model, words=words),)


_ADA = {"by": "ada", "why": "Jetti is being migrated"}

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/healthz", "healthz", RELAY, lambda its: its.looking.healthz, "Whether the process answers",
        _ok(models.Health, "It does."), query=None, open=True,
    ),
    Route(
        "GET", "/readyz", "readyz", RELAY, lambda its: its.looking.readyz, "Whether events would be accepted",
        (
            Success(models.Readiness, words="They would."),
            Success(models.Readiness, 503, "They would not, and why."),
        ),
        query=None, open=True,
    ),
    Route(
        "GET", "/metrics", "metrics", RELAY, lambda its: its.looking.metrics, "Figures for Prometheus",
        (Success(words="Prometheus' text format.", content_type="text/plain"),), query=None, open=True,
    ),
    Route(
        "GET", "/api/openapi.json", "openapi", RELAY, lambda its: its.document, "This document",
        (Success(dict, words="OpenAPI 3.1."),),
    ),
    Route(
        "GET", "/api/status", "status", RELAY, lambda its: its.looking.status, "The operator's one look",
        _ok(models.Status, "How everything is."),
    ),
    Route(
        "GET", "/api/pulse", "pulse", RELAY, lambda its: its.watching.pulse,
        "The last quarter of an hour, second by second", _ok(models.Pulse, "Figures of complete seconds."),
        query=asked.Since,
    ),
    Route(
        "GET", "/api/session", "lookAtSession", SESSIONS, lambda its: its.sessions.look, "Who is signed in",
        _ok(models.Session, "Whoever it is; nulls where nobody needs to."),
    ),
    Route(
        "POST", "/api/session", "signIn", SESSIONS, lambda its: its.sessions.sign_in,
        "Take the token, give a cookie", (
            Success(models.Session, words="Signed in.", headers={"Set-Cookie": "The session."}),
        ),
        body=asked.SigningIn, open=True, example={"by": "ada", "token": "…"},
    ),
    Route(
        "DELETE", "/api/session", "signOut", SESSIONS, lambda its: its.sessions.sign_out, "Forget a session",
        (Success(models.Session, words="Nobody is signed in.", headers={"Set-Cookie": "None any more."}),),
    ),
    Route(
        "GET", "/api/orders", "findOrders", ORDERS, lambda its: its.looking.orders,
        "Orders that are looked for, newest first",
        _ok(models.Orders, "Those for which everything that is given holds."),
        query=asked.FindOrders,
    ),
    Route(
        "GET", "/api/orders/{id}", "showOrder", ORDERS, lambda its: its.looking.order, "One order's timeline",
        _ok(models.Timeline, "Where it is and why; every event, every attempt, and what persons did."),
        query=asked.OfTimeline, refuses=(refusals.UNKNOWN_ORDER, refusals.REVEAL_INSTEAD),
    ),
    Route(
        "GET", "/api/orders/{id}/preview", "previewOrder", ORDERS, lambda its: its.previewing.order,
        "What the order would be sent as now, of its newest whole webhook", _ok(models.Preview, "Nothing was done."),
        query=asked.Masked,
        refuses=(
            refusals.UNKNOWN_ORDER, refusals.UNKNOWN_STOREFRONT, refusals.BODY_GONE, refusals.REVEAL_INSTEAD,
            refusals.BUSY,
        ),
    ),
    Route(
        "GET", "/api/orders/{id}/content", "showOrderContent", ORDERS, lambda its: its.watching.content,
        "The webhook and the sale side by side, masked", _ok(models.OrderContent, "Without personal data."),
        query=asked.OfContent, refuses=(refusals.UNKNOWN_ORDER, refusals.UNKNOWN_EVENT),
    ),
    Route(
        "POST", "/api/orders/{id}/reveal", "revealOrder", ORDERS, lambda its: its.watching.reveal,
        "The same unmasked, on record", _ok(models.RevealedOrder, "With personal data."),
        query=asked.OfContent, body=asked.Reasoned, refuses=(refusals.UNKNOWN_ORDER, refusals.UNKNOWN_EVENT),
        example={"by": "ada", "why": "the customer asks for the address"},
    ),
    Route(
        "POST", "/api/orders/{id}/resend", "resendOrder", ORDERS, lambda its: its.acting.resend,
        "Send an order's newest state again, whatever became of it; at least once, under the same externalId",
        _ok(models.Resent, "It waits in lane `replay`."), body=asked.Reasoned,
        refuses=(refusals.UNKNOWN_ORDER, refusals.NOT_NOW, refusals.BODY_GONE),
        example={"by": "ada", "why": "deleted at Jetti by mistake"},
    ),
    Route(
        "POST", "/api/orders/{id}/discard", "discardOrder", ORDERS, lambda its: its.acting.discard_order,
        "Say of a dead or held order that it needs nothing", _ok(models.Discarded, "It was."), body=asked.Reasoned,
        refuses=(refusals.UNKNOWN_ORDER, refusals.NOT_NOW), example={"by": "ada", "why": "entered by hand"},
    ),
    Route(
        "GET", "/api/events", "findEvents", EVENTS, lambda its: its.looking.events,
        "Accepted webhooks that are looked for, those accepted last first",
        _ok(models.Events, "Those for which everything that is given holds."), query=asked.FindEvents,
    ),
    Route(
        "GET", "/api/events/{id}", "showEvent", EVENTS, lambda its: its.looking.event, "One event, and its order",
        _ok(models.OneEvent, "The event."), refuses=(refusals.UNKNOWN_EVENT,),
    ),
    Route(
        "GET", "/api/storefronts", "listStorefronts", STOREFRONTS, lambda its: its.looking.storefronts,
        "What each storefront is, and what came from it", _ok(models.Storefronts, "By name."),
    ),
    Route(
        "POST", "/api/storefronts/{name}/preview", "previewWebhook", STOREFRONTS, lambda its: its.previewing.webhook,
        "What would become of a webhook; its headers are those of the request",
        _ok(models.Preview, "Nothing was done."),
        query=asked.OfWebhook, body=Any,
        refuses=(refusals.UNKNOWN_STOREFRONT, refusals.UNKNOWN_PATH, refusals.REVEAL_INSTEAD, refusals.BUSY),
    ),
    Route(
        "GET", "/api/dead-letters", "listDeadLetters", DEAD, lambda its: its.looking.dead_letters,
        "Dead letters, newest first", _ok(models.DeadLetters, "Those for which everything that is given holds."),
        query=asked.SomeDead,
    ),
    Route(
        "GET", "/api/dead-letters/groups", "groupDeadLetters", DEAD, lambda its: its.looking.dead_groups,
        "Dead letters by cause", _ok(models.DeadGroups, "The largest group first."),
    ),
    Route(
        "POST", "/api/dead-letters/replay", "replayDeadLetters", DEAD, lambda its: its.acting.replay,
        "Send dead letters on their way again: named ones, or selected ones",
        (
            Success(models.Replayed, words="Of named ones: which were."),
            Success(models.OneReplay, 202, "Of selected ones: it has begun.", {"Location": "How far it is."}),
        ),
        body=asked.Replaying,
        refuses=(refusals.MIXED_SELECTION, refusals.SELECTS_EVERYTHING, refusals.NO_DEAD_LETTERS),
        example={"by": "ada", "why": "fallback_email is set", "code": "unmappable"},
    ),
    Route(
        "POST", "/api/dead-letters/discard", "discardDeadLetters", DEAD, lambda its: its.acting.discard,
        "Say of dead letters that they need nothing", _ok(models.Discarded, "Which were."), body=asked.Discarding,
        refuses=(refusals.NOTHING_NAMED,), example={"by": "ada", "why": "entered by hand", "orders": [17]},
    ),
    Route(
        "GET", "/api/dead-letters/events/{id}", "showLostEvent", DEAD, lambda its: its.looking.lost_event,
        "An event from which no order could be read", _ok(models.LostEvent, "The event."), query=asked.Raw,
        refuses=(refusals.UNKNOWN_EVENT, refusals.REVEAL_INSTEAD),
    ),
    Route(
        "GET", "/api/dead-letters/events/{id}/content", "showLostEventContent", DEAD,
        lambda its: its.watching.lost_content, "What is in it, masked",
        _ok(models.EventContent, "Without personal data."), refuses=(refusals.UNKNOWN_EVENT,),
    ),
    Route(
        "POST", "/api/dead-letters/events/{id}/reveal", "revealLostEvent", DEAD, lambda its: its.watching.reveal_lost,
        "The same unmasked, on record", _ok(models.EventContent, "With personal data."), body=asked.Reasoned,
        refuses=(refusals.UNKNOWN_EVENT,), example={"by": "ada", "why": "to see which field is missing"},
    ),
    Route(
        "GET", "/api/held", "listHeldOrders", HELD, lambda its: its.looking.held,
        "What is not wanted yet, by storefront, and the orders, those held longest first",
        _ok(models.Held, "Groups and orders."), query=asked.SomeHeld,
    ),
    Route(
        "POST", "/api/held/release", "releaseHeldOrders", HELD, lambda its: its.acting.release,
        "Send held orders although they are not wanted yet: named ones, or the next 100",
        _ok(models.Released, "Which were."), body=asked.Releasing,
        refuses=(refusals.MIXED_SELECTION, refusals.SELECTS_EVERYTHING, refusals.NO_HELD_ORDERS),
        example={"by": "ada", "why": "paid by bank transfer", "orders": [17]},
    ),
    Route(
        "POST", "/api/held/discard", "discardHeldOrders", HELD, lambda its: its.acting.discard_held,
        "Say of held orders that they need nothing", _ok(models.Discarded, "Which were."), body=asked.DiscardingHeld,
        refuses=(refusals.NOTHING_NAMED,), example={"by": "ada", "why": "never paid", "orders": [17]},
    ),
    Route(
        "POST", "/api/channels/{name}/pause", "pauseChannel", CHANNELS, lambda its: its.acting.pause,
        "Send nothing until someone resumes it; accepting goes on", _ok(models.NamedStanding, "How it is now."),
        body=asked.Reasoned,
        refuses=(refusals.UNKNOWN_CHANNEL, refusals.UNKNOWN_PATH, refusals.ALREADY_PAUSED), example=_ADA,
    ),
    Route(
        "POST", "/api/channels/{name}/resume", "resumeChannel", CHANNELS, lambda its: its.acting.resume,
        "End a pause, a rest, an open circuit, a halt", _ok(models.NamedStanding, "How it is now."),
        body=asked.Standing,
        refuses=(refusals.UNKNOWN_CHANNEL, refusals.UNKNOWN_PATH, refusals.SECRETS_UNREADABLE), example=_ADA,
    ),
    Route(
        "POST", "/api/channels/{name}/rate", "setChannelRate", CHANNELS, lambda its: its.acting.rate,
        "Send no faster than this for now, or as configured again", _ok(models.Rated, "How it is now."),
        body=asked.Rating,
        refuses=(
            refusals.UNKNOWN_CHANNEL, refusals.UNKNOWN_PATH, refusals.NO_RATE_FOR_NOW, refusals.NOT_BELOW_CONFIGURED,
        ),
        example={"by": "ada", "why": "Jetti asked us to slow down", "rate": 2.5, "for_s": 1800},
    ),
    Route(
        "GET", "/api/replays", "listReplays", RECORD, lambda its: its.looking.replays, "Bulk replays, newest first",
        _ok(models.Replays, "How far each is."), query=asked.SomeReplays,
    ),
    Route(
        "GET", "/api/replays/{id}", "showReplay", RECORD, lambda its: its.looking.replay, "How far a bulk replay is",
        _ok(models.OneReplay, "How far it is."), refuses=(refusals.UNKNOWN_REPLAY,),
    ),
    Route(
        "GET", "/api/deeds", "listDeeds", RECORD, lambda its: its.looking.deeds, "What persons did, newest first",
        _ok(models.Deeds, "Who, what, about what, and why."), query=asked.SomeDeeds,
    ),
)  # fmt: skip
