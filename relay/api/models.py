"""What is answered, as types: the answers are made of them, and so is the OpenAPI document.

Moments are RFC 3339 in UTC (``2026-11-21T19:38:59.429Z``), durations and ages are seconds.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from relay.core import pressure
from relay.core.breaker import Circuit
from relay.core.delivery import Lane, State
from relay.core.order import Disposition

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0, description="Seconds.")]
Moment = Annotated[
    str,
    Meta(
        description="RFC 3339, UTC.", examples=["2026-11-21T19:38:59.429Z"], extra_json_schema={"format": "date-time"}
    ),
]
OrderId = Annotated[int, Meta(ge=1, description="The relay's own id of the order.", examples=[17])]
EventId = Annotated[int, Meta(ge=1, description="The relay's number of the event.", examples=[4031])]
Next = Annotated[
    str | None,
    Meta(
        description="What to ask on with as `cursor`; null: there are no more. A page may be short, even empty, and "
        "have a next one."
    ),
]
Content = Annotated[Any, Meta(description="JSON as it is, else text; null once it is not kept any more.")]
ByLane = Meta(extra_json_schema={"propertyNames": {"enum": [lane.value for lane in Lane]}})
ByState = Meta(extra_json_schema={"propertyNames": {"enum": [state.value for state in State]}})
ChannelState = Annotated[
    str,
    Meta(
        description="The first that is true: `paused` by a person, `halted` or `open` (its circuit), `resting` after a "
        "throttle, `sending`.",
        extra_json_schema={"enum": ["paused", "halted", "open", "resting", "sending"]},
    ),
]
_PLACES = ("delivered", "superseded", "waiting", "in flight", "sleeping", "dead", *Disposition)
Place = Annotated[
    str,
    Meta(description="Where it is, or ended.", extra_json_schema={"enum": sorted({str(place) for place in _PLACES})}),
]


class Answer(msgspec.Struct, frozen=True):
    """An object of an answer. All members are there, but for those that were not asked for."""


# -- parts -------------------------------------------------------------------------------------------------------------


class Cause(Answer, frozen=True):
    """Why something failed."""

    code: Annotated[str, Meta(examples=["http_422"])]
    message: str
    status: Annotated[int | None, Meta(description="Null where no answer came.")]


class Reason(Answer, frozen=True):
    """What is wrong with a field, or what was assumed of it."""

    pointer: Annotated[str, Meta(description="JSON pointer (RFC 6901) to the field.", examples=["/line_items/0/price"])]
    detail: str


class OrderName(Answer, frozen=True):
    """What an order is called."""

    id: OrderId
    storefront: str
    external_id: Annotated[str, Meta(description="The storefront's id of it.", examples=["5001"])]
    reference: Annotated[str | None, Meta(description="What people call it.", examples=["#1001"])]


class Order(OrderName, frozen=True):
    """One order, and where it is."""

    channel: str
    channel_state: Annotated[ChannelState | None, Meta(description="Null: no channel of this name is configured.")]
    revision: Count
    delivered_revision: Annotated[Count, Meta(description="The newest that Jetti has; 0: none.")]
    state: State
    since: Annotated[Moment, Meta(description="For how long it has been in its state.")]
    lane: Lane
    place: Place
    why: Annotated[str, Meta(description="Why it is there, for a person.")]
    cancelled_at: Moment | None
    held_since: Annotated[Moment | None, Meta(description="Since when `accept_when` has not wanted it.")]
    released_at: Annotated[Moment | None, Meta(description="When a person said that it is not to be asked.")]
    due_at: Moment
    attempts: Annotated[Count, Meta(description="That counted, since it last began to wait.")]
    cause: Cause | None


class HeldOrder(Order, frozen=True):
    """An order that `accept_when` does not want yet."""

    held_s: Annotated[float, Meta(ge=0, description="For how long, seconds.")]


class Where(Answer, frozen=True):
    """Where an order is, and why; the same is said on the command line and in the console."""

    place: Place
    words: Annotated[str, Meta(examples=["Waits to be sent behind 214 orders, about 21 s at 10/s."])]
    since: Annotated[Moment, Meta(description="When it came there.")]
    ahead: Annotated[Count | None, Meta(description="How many deliveries leave before it; counted up to 100,000.")]
    expected_s: Annotated[
        Seconds | None,
        Meta(description="In how many seconds it leaves if nothing more arrives; null while nothing gets through."),
    ]
    at_least: Annotated[bool, Meta(description="Whether more may leave before it: what comes meanwhile, for example.")]
    at: Annotated[Moment | None, Meta(description="When it wakes, of one that sleeps; then it waits its turn.")]


class Line(Answer, frozen=True):
    """One thing that happened to an order."""

    at: Moment
    kind: Literal["event", "attempt", "deed"]
    number: Annotated[Count, Meta(description="The event's id; of an attempt, its place in `attempts`, from 1.")]
    what: Annotated[str, Meta(description="The event's topic; what a person did.", examples=["orders/create"])]
    revision: Count | None
    came_to: Annotated[
        str, Meta(description="The event's place; the attempt's outcome and status; who did it.", examples=["sent 200"])
    ]
    words: str


class Event(Answer, frozen=True):
    """One accepted webhook, and where it is."""

    event: EventId
    storefront: str
    topic: str
    received_at: Moment
    version: Annotated[str | None, Meta(description="Of the order, as the storefront has it: a moment, or a count.")]
    disposition: Disposition
    revision: Annotated[int | None, Meta(description="The revision of its order that it became.")]
    duplicate_of: EventId | None
    place: Place
    why: Annotated[str, Meta(description="What it did to its order, and what came of that.")]
    superseded_by: Annotated[EventId | None, Meta(description="The event whose revision took its revision's place.")]
    reasons: list[Reason]


class Attempt(Answer, frozen=True):
    """One request to Jetti, or to a storefront's API, and what it came to."""

    revision: Count
    started_at: Moment
    duration_s: Seconds
    outcome: Annotated[str, Meta(examples=["sent"])]
    status: int | None
    code: str
    message: str
    excerpt: Annotated[str, Meta(description="The beginning of what was answered.")]


# -- the relay itself --------------------------------------------------------------------------------------------------


class Health(Answer, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Answer, frozen=True):
    """Whether events would be accepted."""

    status: Literal["ready", "not ready"]
    reasons: Annotated[list[str], Meta(description="Why it is not ready.")]


class Pause(Answer, frozen=True):
    """Who paused a channel."""

    by: str
    why: str
    since: Moment


class RateForNow(Answer, frozen=True):
    """What a person said of a channel's pace."""

    rate: Annotated[float, Meta(description="Requests a second, at the most.")]
    by: str
    why: str
    since: Moment
    until: Annotated[Moment | None, Meta(description="Null: until it is taken back.")]


class Standing(Answer, frozen=True):
    """Whether a channel is sent to, and if not, why, and since when."""

    state: ChannelState
    pause: Pause | None
    rate_for_now: RateForNow | None
    circuit: Circuit
    circuit_since: Moment | None
    circuit_cause: Cause | None
    probe_in_s: Annotated[Seconds | None, Meta(description="Until it is tried with one order, seconds.")]
    resting_s: Annotated[Seconds, Meta(description="For how long a throttle keeps it silent, seconds.")]
    resting_cause: Cause | None


class NamedStanding(Standing, frozen=True):
    """The same of the channel that was named."""

    channel: str


class Rated(NamedStanding, frozen=True):
    """The same, and how fast it is sent to."""

    rate: Annotated[float, Meta(description="What is allowed at present, requests a second.")]
    configured_rate: Annotated[float, Meta(description="Requests a second.")]


class Trouble(Answer, frozen=True):
    """What the latest attempts came to, if none got through."""

    outcome: str
    code: str
    message: str
    status: int | None
    since: Moment
    attempts: Annotated[Count, Meta(description="In a row.")]


class Channel(Standing, frozen=True):
    """One channel, its backlog included."""

    mode: Annotated[str, Meta(examples=["async"])]
    rate: Annotated[float, Meta(description="What is allowed at present, requests a second.")]
    configured_rate: Annotated[float, Meta(description="Requests a second.")]
    in_flight: Count
    trouble: Trouble | None
    waiting: Annotated[dict[Lane, Count], ByLane]
    oldest_due_age_s: Annotated[dict[Lane, Seconds], ByLane]
    orders: Annotated[dict[State, Count], ByState]
    drain_s: Annotated[
        Seconds | None,
        Meta(description="When the backlog will be gone if nothing more arrives, seconds; null: unknown."),
    ]
    latest_order: Annotated[
        OrderName | None, Meta(description="The newest of the orders that opened or halted the channel.")
    ]


class Storefront(Answer, frozen=True):
    """One storefront, as it is configured, and whether its events are refused."""

    kind: str
    channel: str
    accept_when: str | None
    refused: Annotated[list[str], Meta(description="Why its events are refused at present.")]


class Sender(Answer, frozen=True):
    """One storefront: how it is configured, and what came from it."""

    name: str
    kind: str
    channel: str
    accept_when: str | None
    configured: Annotated[bool, Meta(description="Whether it still is; else its kind and channel are empty.")]
    last_event_at: Annotated[Moment | None, Meta(description="Of the latest webhook that was accepted, ever.")]
    accepted: Annotated[Count, Meta(description="Webhooks, ever, duplicates and what says nothing new included.")]
    refused_requests: Annotated[Count, Meta(description="Since the relay started.")]
    refused: Annotated[list[str], Meta(description="Why its events are refused at present.")]
    held: Annotated[Count, Meta(description="Orders that `accept_when` does not want yet.")]


class Storefronts(Answer, frozen=True):
    """Every storefront that is configured, or has sent anything; by name."""

    storefronts: list[Sender]


class Limit(Answer, frozen=True):
    """How near a limit is beyond which new events are refused."""

    limit: Annotated[str, Meta(extra_json_schema={"enum": [limit.value for limit in pressure.Limit]})]
    channel: str | None
    level: Annotated[float, Meta(ge=0, description="0: far away; 1: reached.")]
    words: str
    refused: Annotated[list[str], Meta(description="Storefronts whose events are refused for it at present.")]


class HeldGroup(Answer, frozen=True):
    """What is held of one storefront."""

    storefront: str
    count: Count
    oldest_at: Moment
    oldest_age_s: Seconds


class Selection(Answer, frozen=True):
    """Which dead letters: those for which everything that is given holds."""

    code: str | None
    channel: str | None
    storefront: str | None
    since: Moment | None
    until: Moment | None


class Replay(Answer, frozen=True):
    """A bulk replay, and how far it is."""

    id: Annotated[int, Meta(ge=1)]
    selection: Selection
    by: str
    why: str
    begun_at: Moment
    total: Annotated[Count, Meta(description="Dead letters that were selected when it began.")]
    revived: Count
    left: Annotated[Count, Meta(description="Looked at, and left as they are: what they need is not there.")]
    ended_at: Moment | None


class Status(Answer, frozen=True):
    """The operator's one look."""

    version: str
    started_at: Moment
    now: Moment
    ready: bool
    reasons: list[str]
    store: str
    storefronts: Annotated[dict[str, Storefront], Meta(description="By name.")]
    channels: Annotated[dict[str, Channel], Meta(description="By name.")]
    limits: list[Limit]
    held: list[HeldGroup]
    dead_letters: Annotated[Count, Meta(description="Dead orders, and events from which no order could be read.")]
    events_without_order: Count
    replays: Annotated[list[Replay], Meta(description="Bulk replays that run.")]


class Door(Answer, frozen=True):
    """What came from a storefront since the relay started."""

    accepted: Count
    refused: Count
    last_event_at: Moment | None


class Arrived(Answer, frozen=True):
    """One of the latest webhooks."""

    at: Moment
    event: EventId
    storefront: str
    topic: str
    disposition: Disposition
    external_id: str | None
    reference: str | None
    revision: int | None


class Pulse(Answer, frozen=True):
    """Figures of complete seconds, oldest first, and the latest webhooks, newest first."""

    first: Annotated[Count, Meta(description="The first of the seconds, since 1970.")]
    accepted: list[Count]
    delivered: list[Count]
    not_delivered: Annotated[list[Count], Meta(description="Requests that came to nothing, to whomever.")]
    storefronts: dict[str, Door]
    latest: list[Arrived]


class Session(Answer, frozen=True):
    """Who is signed in; nulls: nobody."""

    by: str | None
    token: Annotated[str | None, Meta(description="The name of the token that was shown.", examples=["ada"])]
    csrf: Annotated[str | None, Meta(description="To be shown as `X-CSRF-Token` by every changing request.")]
    ends_at: Moment | None


# -- orders ------------------------------------------------------------------------------------------------------------


class Orders(Answer, frozen=True):
    """Orders that were found, newest first; those that are exactly what was typed before all others."""

    orders: list[Order]
    next: Next


class FoundEvent(Event, frozen=True):
    """One event, and what its order is called."""

    order: Annotated[OrderName | None, Meta(description="Null: it is about none, or about one that is not kept.")]


class Events(Answer, frozen=True):
    """Events that were found, those accepted last first."""

    events: list[FoundEvent]
    next: Next


class OneEvent(Answer, frozen=True):
    """One event, and its order."""

    event: Event
    order: Annotated[Order | None, Meta(description="Null: it is about none.")]
    has_body: Annotated[bool, Meta(description="Whether the raw webhook is still kept.")]


class Resent(Answer, frozen=True):
    """The order, which waits to be sent again."""

    order: Order


class Timeline(Answer, frozen=True):
    """Everything that is remembered of one order, oldest first."""

    where: Where
    timeline: Annotated[list[Line], Meta(description="Everything that happened to it, in the order of time.")]
    order: Order
    events: list[Event]
    attempts: list[Attempt]
    body: Annotated[Content, Meta(description="With `raw=true`: the webhook that the sale is made of.")] = UNSET
    sale: Annotated[Content, Meta(description="With `raw=true`: the newest sale that was made.")] = UNSET


class OrderContent(Answer, frozen=True):
    """What is in an order."""

    body: Content
    sale: Content


class RevealedOrder(OrderContent, frozen=True):
    """The same, and what was answered."""

    answers: Annotated[list[str], Meta(description="The excerpts of the attempts, in their order.")]


class EventContent(Answer, frozen=True):
    """What is in an event."""

    body: Content


# -- what needs a person -----------------------------------------------------------------------------------------------


_ORDERS_AND_EVENTS = Meta(
    extra_json_schema={
        "items": {"anyOf": [{"$ref": "#/components/schemas/Order"}, {"$ref": "#/components/schemas/Event"}]}
    }
)
"""msgspec takes no union of two structs."""


class DeadLetters(Answer, frozen=True):
    """Dead orders, and events from which no order could be read; newest first."""

    dead_letters: Annotated[list[Any], _ORDERS_AND_EVENTS]
    next: Next


class DeadGroup(Answer, frozen=True):
    """Dead letters with one cause."""

    code: Annotated[str, Meta(examples=["http_422", "no_order"])]
    channel: Annotated[str | None, Meta(description="Null: events from which no order could be read.")]
    storefront: str
    count: Count
    first_at: Moment
    last_at: Moment
    message: Annotated[str, Meta(description="Of the newest one's cause.")]


class DeadGroups(Answer, frozen=True):
    """Dead letters by cause, the largest group first."""

    groups: list[DeadGroup]


class LostEvent(Answer, frozen=True):
    """An event from which no order could be read."""

    event: Event
    headers: Annotated[dict[str, str] | UnsetType, Meta(description="With `raw=true`.")] = UNSET
    body: Annotated[Content, Meta(description="With `raw=true`.")] = UNSET


class Held(Answer, frozen=True):
    """What `accept_when` does not want yet: by storefront, and the orders, those held longest first."""

    now: Moment
    groups: list[HeldGroup]
    held: list[HeldOrder]
    next: Next


class Replays(Answer, frozen=True):
    """Bulk replays, newest first."""

    replays: list[Replay]
    next: Next


class OneReplay(Answer, frozen=True):
    """One bulk replay."""

    replay: Replay


class Deed(Answer, frozen=True):
    """What a person did."""

    at: Moment
    by: str
    token: Annotated[str | None, Meta(description="The name of the API token that was shown; null: none was.")]
    what: Annotated[str, Meta(examples=["replay"])]
    about: Annotated[str, Meta(examples=["order:17"])]
    why: str


class Deeds(Answer, frozen=True):
    """What persons did, newest first."""

    deeds: list[Deed]
    next: Next


class Ids(Answer, frozen=True):
    """Orders and events by their ids."""

    orders: list[OrderId]
    events: list[EventId]


class Replayed(Answer, frozen=True):
    """Which were sent on their way again, and which were left as they are."""

    replayed: Ids
    left: Ids


class Discarded(Answer, frozen=True):
    """Which were discarded, and which were left as they are."""

    discarded: Ids
    left: Ids


class Released(Answer, frozen=True):
    """Which were released, and which were left as they are."""

    released: Ids
    left: Ids
    next: Annotated[
        tuple[int, int] | UnsetType | None,
        Meta(description="Of all: what to ask on with as `after`; null: there are no more."),
    ] = UNSET


# -- previews ----------------------------------------------------------------------------------------------------------


class Signature(Answer, rename={"is_": "is"}, frozen=True):
    """Whether the webhook is known to be the storefront's."""

    is_: Literal["verified", "wrong", "not given", "greeting"]
    says: str


class PreviewedEvent(Answer, rename={"is_": "is"}, frozen=True):
    """Which event a webhook is."""

    is_: Literal["upsert", "cancel", "fetch", "ignore", "not understood"]
    topic: str
    order: Annotated[str | None, Meta(description="The external id.")]
    reference: str | None
    version: str | None
    whole: Annotated[bool | None, Meta(description="Of a cancellation: whether it is the whole order.")]
    created_at: Moment | None
    dedupe_key: str
    dedupe_by: Literal["own id", "digest", "nothing"] | None


class StorefrontRequest(Answer, frozen=True):
    """What would be asked of the storefront's API."""

    path: str
    query: dict[str, str]
    may_be_missing: bool


class LostValues(Answer, frozen=True):
    """Values of a webhook that are not carried over, alike but for their places in lists."""

    pointer: str
    count: Count
    of: Count
    value: Annotated[Any, Meta(description="The first one's.")]
    within: Annotated[str | None, Meta(description="The outermost object or list of which nothing is carried over.")]


class NotCarriedOver(Answer, frozen=True):
    """What of a webhook makes no difference to the sale."""

    values: Annotated[Count, Meta(description="How many the body has.")]
    count: Annotated[Count, Meta(description="How many of them make no difference.")]
    tried: Annotated[bool, Meta(description="Whether each was tried by itself.")]
    told: Annotated[Count, Meta(description="How many groups follow.")]
    groups: list[LostValues]


class Preview(Answer, frozen=True):
    """What would become of a webhook, or of an order as it is mapped now."""

    storefront: str
    kind: str
    channel: str
    signature: Signature | None
    event: PreviewedEvent | None
    fetched: bool
    disposition: Annotated[str, Meta(examples=["queued"])]
    lane: Lane | None
    reasons: Annotated[list[Reason], Meta(description="Why it is not sent.")]
    cancelled_by: Literal["sale", "call"] | None
    left_if_unsent: bool
    requests: list[StorefrontRequest]
    sale: Content
    notes: Annotated[list[Reason], Meta(description="What was left out or assumed on purpose.")]
    not_carried_over: NotCarriedOver | None


# -- refusals ----------------------------------------------------------------------------------------------------------


class Problem(Answer, frozen=True):
    """Why a request was refused (RFC 9457)."""

    type: Annotated[str, Meta(description="Stable, for programs.", examples=["urn:order-relay:problem:unknown-order"])]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: Annotated[str, Meta(description="What is wrong and what to do, for a person.")]
    errors: Annotated[list[Reason] | UnsetType, Meta(description="One entry per field.")] = UNSET
