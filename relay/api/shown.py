"""How things are shown: what is known, as the answers' types."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import asdict

from relay.api import models
from relay.api.pulse import Arrived, Door
from relay.api.view import ChannelView, LimitView
from relay.core import instant
from relay.core import version as versions
from relay.core.condition import RateForNow
from relay.core.delivery import Lane, State
from relay.core.instant import Instant
from relay.core.masking import masked_text
from relay.core.order import Order
from relay.core.outcome import Cause, Trouble
from relay.core.whereabouts import Whereabouts, whereabouts
from relay.store import Attempt, DeadGroup, Deed, Event, HeldGroup, LostEvent, Replay, Sender, Tally, Timeline
from relay.store.places import Line, of_event, told


def channel(
    name: str,
    view: ChannelView,
    tally: Tally,
    oldest: Mapping[tuple[str, Lane], Instant],
    now: Instant,
    latest: Order | None,
) -> models.Channel:
    """One channel, its backlog included. ``latest``: the newest of the orders that opened or halted it."""
    count = {state: sum(tally.get((name, state, lane), 0) for lane in Lane) for state in State}
    to_send = count[State.WAITING] + count[State.SLEEPING]
    return models.Channel(
        **asdict(standing(view)),
        mode=view.mode,
        rate=round(view.rate, 3),
        configured_rate=view.configured_rate,
        in_flight=view.in_flight,
        trouble=_trouble(view.trouble),
        waiting={lane: tally.get((name, State.WAITING, lane), 0) for lane in Lane},
        oldest_due_age_s={lane: max(0.0, instant.seconds_between(oldest.get((name, lane), now), now)) for lane in Lane},
        orders=count,
        drain_s=view.drain_s(to_send),
        latest_order=None if latest is None else models.OrderName(**_name_of(latest)),
    )


def standing(view: ChannelView) -> models.Standing:
    """Whether the channel is sent to, and if not, why, and since when."""
    breaker, pause = view.condition.breaker, view.condition.pause
    return models.Standing(
        state=view.state,
        pause=None if pause is None else models.Pause(by=pause.by, why=pause.why, since=instant.iso(pause.since)),
        rate_for_now=_rate_for_now(view.condition.rate_for_now),
        circuit=breaker.circuit,
        circuit_since=_moment(breaker.since),
        circuit_cause=_cause(breaker.cause),
        probe_in_s=None if view.probe_in_s is None else round(view.probe_in_s, 1),
        resting_s=round(view.resting_s, 1),
        resting_cause=_cause(view.condition.tempo.cause) if view.resting_s > 0 else None,
    )


def _rate_for_now(said: RateForNow | None) -> models.RateForNow | None:
    if said is None:
        return None
    since, until = instant.iso(said.since), _moment(said.until)
    return models.RateForNow(rate=said.rate, by=said.by, why=said.why, since=since, until=until)


def sender(
    name: str,
    configured: Mapping[str, str | None] | None,
    known: Sender | None,
    door: Door | None,
    *,
    refused: list[str],
    held: int,
) -> models.Sender:
    """One storefront, and what came from it."""
    table = configured or {}
    return models.Sender(
        name=name,
        kind=table.get("kind") or "",
        channel=table.get("channel") or "",
        accept_when=table.get("accept_when"),
        configured=configured is not None,
        last_event_at=None if known is None else instant.iso(known.last_at),
        accepted=0 if known is None else known.accepted,
        refused_requests=0 if door is None else door.refused,
        refused=refused,
        held=held,
    )


def limit(view: LimitView) -> models.Limit:
    """How near a limit is."""
    return models.Limit(
        limit=view.limit,
        channel=view.channel,
        level=round(view.level, 3),
        words=view.words,
        refused=list(view.refused),
    )


def whereabouts_of(
    known: Order, channels: Mapping[str, ChannelView], now: Instant, ahead: int | None = None
) -> Whereabouts:
    """Where an order is. ``channels``: those there are; ``ahead``: how many deliveries leave before it, if counted."""
    view = channels.get(known.channel if known.lease is None else known.lease.channel)
    return whereabouts(known, None if view is None else view.road(known.id), ahead=ahead, now=now)


def order(known: Order, channels: Mapping[str, ChannelView], found: Whereabouts) -> models.Order:
    """One order, and where it is. ``channels``: those there are."""
    view = channels.get(known.channel)
    return models.Order(
        **_name_of(known),
        channel=known.channel,
        channel_state=None if view is None else view.state,
        revision=known.revision,
        delivered_revision=known.delivered_revision,
        state=known.state,
        since=instant.iso(known.since),
        lane=known.lane,
        place=found.place,
        why=found.words,
        cancelled_at=_moment(known.cancelled_at),
        held_since=_moment(known.held_since),
        released_at=_moment(known.released_at),
        due_at=instant.iso(known.due_at),
        attempts=known.attempts,
        cause=_cause(known.cause),
    )


def event(known: Event, timeline: Timeline | None) -> models.Event:
    """One event, and where it is; ``timeline`` is its order's."""
    place = of_event(known, timeline)
    return models.Event(
        event=known.id,
        storefront=known.storefront,
        topic=known.topic,
        received_at=instant.iso(known.received_at),
        version=None if known.version is None else versions.shown(known.version),
        disposition=known.disposition,
        revision=known.revision,
        duplicate_of=known.duplicate_of,
        place=place.name,
        why=place.words,
        superseded_by=place.superseded_by,
        reasons=[models.Reason(pointer=reason.pointer, detail=reason.message) for reason in known.reasons],
    )


def found_event(known: Event, timeline: Timeline | None) -> models.FoundEvent:
    """One event, where it is, and what its order is called."""
    name = None if timeline is None else models.OrderName(**_name_of(timeline.order))
    return models.FoundEvent(**asdict(event(known, timeline)), order=name)


def timeline(
    known: Timeline, deeds: Sequence[Deed], channels: Mapping[str, ChannelView], found: Whereabouts, *, mask: bool
) -> models.Timeline:
    """Everything that is remembered of one order, but for what is in it."""
    return models.Timeline(
        where=_where(found),
        timeline=[_line(one) for one in told(known, deeds)],
        order=order(known.order, channels, found),
        events=[event(one, known) for one in known.events],
        attempts=[_attempt(one, mask=mask) for one in known.attempts],
    )


def lost(known: LostEvent, *, raw: bool) -> models.LostEvent:
    """An event from which no order could be read."""
    shown = event(known.event, None)
    if not raw:
        return models.LostEvent(event=shown)
    return models.LostEvent(event=shown, headers=dict(known.headers), body=content_of(known.body))


def content_of(body: bytes | None) -> object:
    """A body as it is, if it is JSON; else as text. ``None`` once it is not kept any more."""
    if body is None:
        return None
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
    return msgspec.Raw(body)


def group(known: DeadGroup) -> models.DeadGroup:
    """Dead letters with one cause."""
    return models.DeadGroup(
        code=known.code,
        channel=known.channel,
        storefront=known.storefront,
        count=known.count,
        first_at=instant.iso(known.first_at),
        last_at=instant.iso(known.last_at),
        message=known.message,
    )


def held_group(known: HeldGroup, now: Instant) -> models.HeldGroup:
    """What is held of one storefront."""
    return models.HeldGroup(
        storefront=known.storefront,
        count=known.count,
        oldest_at=instant.iso(known.oldest_at),
        oldest_age_s=_age_s(known.oldest_at, now),
    )


def held(known: Order, channels: Mapping[str, ChannelView], now: Instant) -> models.HeldOrder:
    """One held order."""
    shown = order(known, channels, whereabouts_of(known, channels, now))
    return models.HeldOrder(**asdict(shown), held_s=_age_s(known.held_since or known.since, now))


def replay(known: Replay) -> models.Replay:
    """How far a bulk replay is."""
    selection = known.selection
    return models.Replay(
        id=known.id,
        selection=models.Selection(
            code=selection.code,
            channel=selection.channel,
            storefront=selection.storefront,
            since=_moment(selection.since),
            until=_moment(selection.until),
        ),
        by=known.by,
        why=known.why,
        begun_at=instant.iso(known.begun_at),
        total=known.total,
        revived=known.revived,
        left=known.left,
        ended_at=_moment(known.ended_at),
    )


def deed(known: Deed) -> models.Deed:
    """What a person did."""
    return models.Deed(
        at=instant.iso(known.at), by=known.by, token=known.token, what=known.what, about=known.about, why=known.why
    )


def door(known: Door) -> models.Door:
    """What came from a storefront since the relay started."""
    return models.Door(accepted=known.accepted, refused=known.refused, last_event_at=_moment(known.last_at))


def arrived(known: Arrived) -> models.Arrived:
    """One of the latest webhooks."""
    what = known.what
    return models.Arrived(
        at=instant.iso(known.at),
        event=what.event_id,
        storefront=what.storefront,
        topic=what.topic,
        disposition=what.disposition,
        external_id=what.order,
        reference=what.reference,
        revision=what.revision,
    )


def _name_of(known: Order) -> dict[str, Any]:
    """What an order is called."""
    return {
        "id": known.id,
        "storefront": known.storefront,
        "external_id": known.external_id,
        "reference": known.reference,
    }


def _where(found: Whereabouts) -> models.Where:
    return models.Where(
        place=found.place,
        words=found.words,
        since=instant.iso(found.since),
        ahead=found.ahead,
        expected_s=None if found.expected_s is None else round(found.expected_s, 1),
        at_least=found.at_least,
        at=_moment(found.at),
    )


def _line(told: Line) -> models.Line:
    return models.Line(
        at=instant.iso(told.at),
        kind=told.kind,
        number=told.number,
        what=told.what,
        revision=told.revision,
        came_to=told.came_to,
        words=told.words,
    )


def _attempt(made: Attempt, *, mask: bool) -> models.Attempt:
    return models.Attempt(
        revision=made.revision,
        started_at=instant.iso(made.started_at),
        duration_s=round(made.duration_s, 4),
        outcome=made.outcome,
        status=made.status,
        code=made.code,
        message=made.message,
        excerpt=_masked_excerpt(made.excerpt) if mask else made.excerpt,
    )


def _masked_excerpt(excerpt: str) -> str:
    """What is cut off is no JSON any more: then nothing of it is shown."""
    found = masked_text(excerpt) if excerpt else ""
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()


def _trouble(trouble: Trouble | None) -> models.Trouble | None:
    if trouble is None:
        return None
    return models.Trouble(
        outcome=trouble.outcome,
        code=trouble.cause.code,
        message=trouble.cause.message,
        status=trouble.cause.status,
        since=instant.iso(trouble.since),
        attempts=trouble.attempts,
    )


def _cause(cause: Cause | None) -> models.Cause | None:
    return None if cause is None else models.Cause(code=cause.code, message=cause.message, status=cause.status)


def _age_s(since: Instant, now: Instant) -> float:
    return round(max(0.0, instant.seconds_between(since, now)), 3)


def _moment(moment: Instant | None) -> str | None:
    return None if moment is None else instant.iso(moment)
