"""One transaction's worth of changes, made in memory: what all stores have in common.

A store loads what a batch of requests is about, lets the ledger apply them one after the other, and saves what the
ledger then holds. So several events of one order in one batch see each other, and every store means the same.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from relay.core import order as rules
from relay.core import version as versions
from relay.core.backlog import Waiting
from relay.core.delivery import TRANSITIONS, HeadStarts, Lane, State
from relay.core.instant import Instant
from relay.core.order import Accepted, Arrival, Disposition, Finding, Lease, Order
from relay.core.sale import Reason
from relay.core.search import email_hash_of_sale
from relay.core.sources import Cancel, Fetch, Ignore, NotUnderstood, Upsert
from relay.store import (
    NO_ORDER,
    Attempt,
    Deed,
    Discarding,
    Event,
    Receipt,
    Release,
    Released,
    Replay,
    Revival,
    Revived,
    Selection,
    Sender,
    Settled,
    Settlement,
)

Key = tuple[str, str]
"""Storefront and external id."""

_UNDER_WAY = (State.WAITING, State.SLEEPING)


def dedupe_digest(arrival: Arrival) -> bytes:
    """What two arrivals share exactly if they are the same webhook: 16 bytes, however long the storefront's key."""
    text = f"{arrival.storefront}\0{arrival.identified.dedupe_key}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def key_of(arrival: Arrival) -> Key | None:
    """The order an arrival is about; ``None`` if it is about none."""
    identified = arrival.identified
    if isinstance(identified, Ignore | NotUnderstood):
        return None
    return arrival.storefront, identified.external_id


def is_lost(event: Event) -> bool:
    """Whether it is an authentic event from which no order could be read, and that still needs a person."""
    return event.order_id is None and event.disposition is Disposition.QUARANTINED


def selects(selection: Selection, letter: Order | Event) -> bool:
    """Whether a dead letter is among those that are selected."""
    code: str | None
    channel: str | None
    if isinstance(letter, Event):
        code, channel, since = NO_ORDER, None, letter.received_at
    else:
        code, channel, since = None if letter.cause is None else letter.cause.code, letter.channel, letter.since
    return (
        selection.code in (None, code)
        and selection.channel in (None, channel)
        and selection.storefront in (None, letter.storefront)
        and (selection.since is None or since >= selection.since)
        and (selection.until is None or since <= selection.until)
    )


def begun(selection: Selection, deed: Deed, *, replay_id: int, total: int) -> Replay:
    """A replay that begins; what dies again meanwhile is not in it."""
    until = deed.at if selection.until is None else min(selection.until, deed.at)
    return Replay(replay_id, replace(selection, until=until), deed.at, deed.by, deed.why, total)


@dataclass(slots=True)
class Kept:
    """A new event, to be saved."""

    event: Event
    digest: bytes | None
    """``None`` for a duplicate, whose key belongs to the earlier event, for what was fetched, and for a webhook after
    which its order may be read too early: see :func:`relay.core.order.may_be_read_early`."""
    body: bytes | None
    """``None`` for a duplicate: the earlier event has it."""
    headers: Mapping[str, str] | None = None
    """Of an event from which no order could be read."""

    @property
    def was_fetched(self) -> bool:
        """Whether it is a document that the relay read, and no webhook that was sent."""
        return self.digest is None and self.body is not None


@dataclass(frozen=True, slots=True)
class MadeSale:
    """A sale that was made, to be saved."""

    revision: int
    sale: bytes
    email: bytes | None
    """Who bought: see :func:`relay.core.search.email_hash`."""


@dataclass(slots=True)
class Loaded:
    """What the store knows of what a batch is about."""

    orders: Iterable[Order] = ()
    seen: dict[bytes, int] = field(default_factory=dict)
    """Events, by the digest of their dedupe keys."""
    events: Mapping[int, Event] = field(default_factory=dict)
    """Those that are discarded or understood."""
    bodies: Container[int] = ()
    """Events whose bodies are kept, among those that orders to be revived are made from."""
    replays: Mapping[int, Replay] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Numbers that were never given before."""

    event_id: Callable[[], int]
    order_id: Callable[[], int]
    token: Callable[[], int]


class Ledger:
    """What a batch is about, and what became of it."""

    def __init__(self, loaded: Loaded, fresh: Fresh) -> None:
        self._orders = {order.id: order for order in loaded.orders}
        self._ids = {(order.storefront, order.external_id): order.id for order in self._orders.values()}
        self._before = dict(self._orders)
        self._loaded = loaded
        self._fresh = fresh
        self._bodies: set[int] = set()
        """Events whose bodies came in this batch."""
        self.leased: dict[int, Order] = {}
        """Orders that were leased; a store on one node need not save that."""
        self.events: list[Kept] = []
        self.amended: dict[int, Event] = {}
        """Events from which no order could be read, and of which more is known now."""
        self.attempts: list[tuple[int, Attempt]] = []
        self.sales: dict[int, MadeSale] = {}
        self.findings: list[tuple[int, int, Finding]] = []
        """Order id, revision, and what is now known of the event that became it."""
        self.deeds: list[tuple[Deed, Sequence[str]]] = []
        self.subjects: list[tuple[int, str]] = []
        """Ids of deeds that were kept before, and what they were about besides."""
        """And what each was about, one by one, such as ``order:17``, where its own words do not say exactly that."""
        self.replays: dict[int, Replay] = {}
        """Replays that went on."""

    # -- what may be asked -----------------------------------------------------------------------------------------

    def accept(self, arrival: Arrival) -> Receipt:
        """See :meth:`relay.store.Store.accept`."""
        digest = dedupe_digest(arrival)
        earlier = self._loaded.seen.get(digest)
        order = self._order_of(arrival)
        event_id = self._fresh.event_id()
        if earlier is not None:
            duplicate = _event(event_id, arrival, Disposition.DUPLICATE, order, duplicate_of=earlier)
            self.events.append(Kept(duplicate, None, None))
            return Receipt(event_id, Disposition.DUPLICATE, duplicate.order_id, duplicate_of=earlier)
        self._bodies.add(event_id)
        claims = True
        match arrival.identified:
            case Ignore(reason):
                event = _event(event_id, arrival, Disposition.IGNORED, None, reasons=(Reason("", reason),))
                receipt = Receipt(event_id, Disposition.IGNORED)
            case NotUnderstood(reasons):
                event = _event(event_id, arrival, Disposition.QUARANTINED, None, reasons=reasons)
                receipt = Receipt(event_id, Disposition.QUARANTINED)
            case about:
                event, receipt = self._about_an_order(event_id, arrival, about, order)
                claims = not rules.may_be_read_early(self._orders[event.order_id or 0], arrival)
        if claims:
            self._loaded.seen[digest] = event_id
        headers = arrival.headers if is_lost(event) else None
        self.events.append(Kept(event, digest if claims else None, arrival.body, headers))
        return receipt

    def lease(self, order_id: int, channel: str) -> Order | None:
        """Lease an order, if it waits for the channel and is not leased."""
        order = self._orders.get(order_id)
        if order is None or order.lease is not None or order.state is not State.WAITING or order.channel != channel:
            return None
        leased = replace(order, lease=Lease(self._fresh.token(), order.revision, channel))
        self._orders[order_id] = self.leased[order_id] = leased
        if self._before[order_id] is order:
            self._before[order_id] = leased
        return leased

    def settle(self, settlement: Settlement) -> Settled | None:
        """See :meth:`relay.store.Store.settle`."""
        order = self._orders.get(settlement.order_id)
        if order is None or not _may_settle(order, settlement):
            return None
        if settlement.brought is None:
            changed = rules.settled(
                order,
                settlement.after,
                delivered_digest=settlement.delivered_digest,
                now=settlement.now,
                head_starts=settlement.head_starts,
                may_be_there=settlement.may_be_there,
                cancel_after_s=settlement.cancel_after_s,
            )
        else:
            changed = self._fetched(order, settlement.brought, settlement.now)
        self._change(changed)
        revision = settlement.after.revision
        if settlement.attempt is not None:
            self.attempts.append((order.id, settlement.attempt))
        if settlement.sale is not None:
            self.sales[order.id] = MadeSale(revision, settlement.sale, email_hash_of_sale(settlement.sale))
        if settlement.finding is not None:
            self.findings.append((order.id, revision, settlement.finding))
        return Settled(changed, _place(changed) if changed.state is State.WAITING else None)

    def wake(self, order_id: int, now: Instant) -> Waiting | None:
        """Let a sleeping order wait."""
        order = self._orders.get(order_id)
        if order is None or order.state is not State.SLEEPING:
            return None
        return _place(self._change(rules.woken(order, now)))

    def revive(self, revival: Revival) -> list[Revived]:
        """See :meth:`relay.store.Store.revive`."""
        revived: list[Revived] = []
        for order_id in revival.order_ids:
            order = self._orders.get(order_id)
            if order is None or not _is_revived(order, revival) or not self._may_go_on(order):
                continue
            if revival.code is not None and (order.cause is None or order.cause.code != revival.code):
                continue
            again = replace(order, delivered_digest=None) if revival.again else order
            revived.append(self._revive(again, revival.lane, revival.now, revival.head_starts))
        if revived and revival.deed is not None:
            self._done(revival.deed, [one.waiting.order_id for one in revived])
        return revived

    def release(self, release: Release) -> Released:
        """See :meth:`relay.store.Store.release`."""
        waiting: list[Revived] = []
        marked: list[int] = []
        for order_id in dict.fromkeys(release.order_ids):
            order = self._orders.get(order_id)
            if order is None or not self._is_whole(order):
                continue
            if order.state is State.HELD:
                waiting.append(self._release(order, release))
            elif release.deed is not None and order.state in _UNDER_WAY and order.delivered_revision == 0:
                if order.held_since is not None:
                    self._change(rules.marked_released(order, release.now))
                elif order.released_at is None:
                    continue
                marked.append(order_id)
        if (waiting or marked) and release.deed is not None:
            self._done(release.deed, [*(one.waiting.order_id for one in waiting), *marked])
        return Released(tuple(waiting), tuple(marked))

    def discard(self, discarding: Discarding) -> tuple[list[int], list[int]]:
        """See :meth:`relay.store.Store.discard`."""
        deed = discarding.deed
        orders: list[int] = []
        for order_id in discarding.order_ids:
            order = self._orders.get(order_id)
            if order is not None and order.lease is None and order.state in discarding.states:
                self._change(rules.discarded(order, by=deed.by, why=deed.why, now=deed.at))
                orders.append(order_id)
        events: list[int] = []
        for event_id in discarding.event_ids:
            event = self._lost(event_id)
            if event is not None:
                said = Reason("", f"discarded by {deed.by}: {deed.why}")
                reasons = (*event.reasons, said)
                self.amended[event_id] = replace(event, disposition=Disposition.DISCARDED, reasons=reasons)
                events.append(event_id)
        if orders or events:
            self._done(deed, orders, events)
        return orders, events

    def understood(self, event_id: int, arrival: Arrival, deed: Deed | None = None) -> Receipt | None:
        """See :meth:`relay.store.Store.understood`."""
        lost = self._lost(event_id)
        if lost is None:
            return None
        match arrival.identified:
            case NotUnderstood():
                return None
            case Ignore(reason):
                event = _event(event_id, arrival, Disposition.IGNORED, None, reasons=(Reason("", reason),))
                receipt = Receipt(event_id, Disposition.IGNORED)
            case about:
                event, receipt = self._late(event_id, arrival, about, lost.received_at)
        self._bodies.add(event_id)
        self.amended[event_id] = replace(event, received_at=lost.received_at)
        if deed is not None:
            self._done(deed, [] if event.order_id is None else [event.order_id])
        return receipt

    def advance(
        self, replay_id: int, order_ids: Sequence[int], *, now: Instant, head_starts: Mapping[str, HeadStarts]
    ) -> tuple[Replay, list[Revived]] | None:
        """Revive what a replay still selects among the orders, which were the next above its place in id order."""
        replay = self._replay(replay_id)
        if replay is None:
            return None
        revived: list[Revived] = []
        left = 0
        for order_id in order_ids:
            order = self._orders.get(order_id)
            if order is None or order_id <= replay.order_id or order.state is not State.DEAD:
                continue
            if not selects(replay.selection, order):
                continue
            if self._may_go_on(order):
                revived.append(self._revive(order, Lane.REPLAY, now, head_starts))
            else:
                left += 1
        advanced = replace(
            replay,
            revived=replay.revived + len(revived),
            left=replay.left + left,
            order_id=max((replay.order_id, *order_ids)),
        )
        self.replays[replay_id] = advanced
        if replay.deed_id is not None:
            self.subjects += [(replay.deed_id, f"order:{one.waiting.order_id}") for one in revived]
        return advanced, revived

    def note_replay(
        self, replay_id: int, *, event_id: int, revived: int, left: int, ended_at: Instant | None
    ) -> Replay | None:
        """See :meth:`relay.store.Store.note_replay`."""
        replay = self._replay(replay_id)
        if replay is None:
            return None
        noted = self.replays[replay_id] = replace(
            replay,
            event_id=max(replay.event_id, event_id),
            revived=replay.revived + revived,
            left=replay.left + left,
            ended_at=ended_at,
        )
        return noted

    # -- what became of it -----------------------------------------------------------------------------------------

    def changed(self) -> list[Order]:
        """Orders to save."""
        return [order for order in self._orders.values() if self._before.get(order.id) is not order]

    def deltas(self) -> dict[tuple[str, State, Lane], int]:
        """By how much the tally changes."""
        deltas: dict[tuple[str, State, Lane], int] = {}
        for order in self.changed():
            before = self._before.get(order.id)
            if before is not None:
                at = (before.channel, before.state, before.lane)
                deltas[at] = deltas.get(at, 0) - 1
            at = (order.channel, order.state, order.lane)
            deltas[at] = deltas.get(at, 0) + 1
        return {at: delta for at, delta in deltas.items() if delta}

    def held_deltas(self) -> dict[str, int]:
        """By how much the number of held orders changes, by storefront."""
        deltas: dict[str, int] = {}
        for order in self.changed():
            before = self._before.get(order.id)
            was = before is not None and before.state is State.HELD
            if was != (order.state is State.HELD):
                deltas[order.storefront] = deltas.get(order.storefront, 0) + (-1 if was else 1)
        return {storefront: delta for storefront, delta in deltas.items() if delta}

    def dead_deltas(self) -> dict[tuple[str, str], int]:
        """By how much the number of dead letters changes, by channel (none: ``""``) and code of the cause."""
        deltas: dict[tuple[str, str], int] = {}
        for order in self.changed():
            for known, by in ((self._before.get(order.id), -1), (order, 1)):
                if known is not None and known.state is State.DEAD:
                    at = (known.channel, "" if known.cause is None else known.cause.code)
                    deltas[at] = deltas.get(at, 0) + by
        lost = sum(is_lost(kept.event) for kept in self.events) - sum(not is_lost(e) for e in self.amended.values())
        deltas["", NO_ORDER] = deltas.get(("", NO_ORDER), 0) + lost
        return {at: delta for at, delta in deltas.items() if delta}

    def senders(self) -> dict[str, Sender]:
        """What each storefront sent, and when the last of it came."""
        senders: dict[str, Sender] = {}
        for kept in self.events:
            if kept.was_fetched:
                continue
            before = senders.get(kept.event.storefront)
            accepted = 1 if before is None else before.accepted + 1
            senders[kept.event.storefront] = Sender(accepted, kept.event.received_at)
        return senders

    # -- how -------------------------------------------------------------------------------------------------------

    def _order_of(self, arrival: Arrival) -> Order | None:
        key = key_of(arrival)
        return self._orders.get(self._ids[key]) if key in self._ids else None

    def _about_an_order(
        self, event_id: int, arrival: Arrival, about: Upsert | Cancel | Fetch, order: Order | None
    ) -> tuple[Event, Receipt]:
        return self._concluded(event_id, arrival, order, self._decided(event_id, arrival, about, order))

    def _fetched(self, order: Order, arrival: Arrival, now: Instant) -> Order:
        """The order as its document says. The document is an event like any other, but for having no dedupe key: what
        is fetched twice may be the same, and the order goes on all the same."""
        event_id = self._fresh.event_id()
        accepted = rules.fetched(order, arrival, event_id=event_id)
        if accepted is None:
            return rules.refetched(order, now)
        made = _event(event_id, arrival, accepted.disposition, order, accepted.revision, reasons=accepted.reasons)
        self._bodies.add(event_id)
        self.events.append(Kept(made, None, arrival.body))
        return accepted.order

    def _late(
        self, event_id: int, arrival: Arrival, about: Upsert | Cancel | Fetch, received_at: Instant
    ) -> tuple[Event, Receipt]:
        """An event that is understood long after it was accepted.

        It is no live traffic: where it makes an order wait, that waits in the lane of replays; an order that was under
        way keeps its lane and its place. And it is as old as its arrival: where versions do not decide, what was
        accepted after it is newer, and only a cancellation among such events still counts.
        """
        before = self._order_of(arrival)
        if before is not None and _overtaken(before, about, event_id):
            if not isinstance(about, Cancel):
                return self._concluded(event_id, arrival, before, Accepted(before, Disposition.STALE, None))
            about = replace(about, complete=False)  # the newer body stays the one that the sale is made from
        stays = before is not None and before.lease is None and before.state in _UNDER_WAY
        # The rules move an order that waits to be replayed to a live lane when a live event comes; this one is none.
        seen = replace(before, lane=Lane.UPDATE) if before is not None and stays else before
        accepted = self._decided(event_id, arrival, about, seen)
        now = accepted.order
        if before is not None and (stays or accepted.disposition is Disposition.STALE):
            now = replace(now, lane=before.lane)
        elif now.lease is None and now.state in _UNDER_WAY:
            now = replace(now, lane=Lane.REPLAY, urgency=arrival.head_starts.urgency(Lane.REPLAY, now.due_at))
        if (
            isinstance(about, Cancel)
            and versions.time_of(about.version) is None
            and (before is None or before.cancelled_at is None)
        ):
            now = replace(now, cancelled_at=received_at)
        return self._concluded(event_id, arrival, before, replace(accepted, order=now))

    def _decided(
        self, event_id: int, arrival: Arrival, about: Upsert | Cancel | Fetch, order: Order | None
    ) -> Accepted:
        if order is None:
            return rules.first(arrival, about, order_id=self._fresh.order_id(), event_id=event_id)
        return rules.newer(order, arrival, about, event_id=event_id)

    def _concluded(
        self, event_id: int, arrival: Arrival, before: Order | None, accepted: Accepted
    ) -> tuple[Event, Receipt]:
        now = self._change(accepted.order)
        event = _event(event_id, arrival, accepted.disposition, now, accepted.revision, reasons=accepted.reasons)
        waiting = _place(now) if _waits_elsewhere(before, now) else None
        return event, Receipt(event_id, accepted.disposition, now.id, accepted.revision, waiting=waiting)

    def _may_go_on(self, order: Order) -> bool:
        """Whether there is what its sale is made of, or that is to be fetched."""
        return order.to_be_fetched or self._is_whole(order)

    def _is_whole(self, order: Order) -> bool:
        event_id = order.event_id
        return event_id is not None and (event_id in self._bodies or event_id in self._loaded.bodies)

    def _release(self, order: Order, release: Release) -> Revived:
        channel = release.channels.get(order.storefront, order.channel)
        released = self._change(
            rules.released(
                order,
                channel=channel,
                lane=release.lane,
                by_person=release.deed is not None,
                now=release.now,
                head_starts=release.head_starts.get(channel, HeadStarts()),
            )
        )
        return Revived(channel, _place(released))

    def _done(self, deed: Deed, order_ids: Sequence[int], event_ids: Sequence[int] = ()) -> None:
        """Keep what a person did, to be found by each that it was done to, however many its words name."""
        subjects = dict.fromkeys([f"order:{one}" for one in order_ids] + [f"event:{one}" for one in event_ids])
        self.deeds.append((deed, [subject for subject in subjects if subject != deed.about]))

    def _revive(self, order: Order, lane: Lane | None, now: Instant, head_starts: Mapping[str, HeadStarts]) -> Revived:
        starts = head_starts.get(order.channel, HeadStarts())
        revived = self._change(rules.revived(order, lane=lane, now=now, head_starts=starts))
        return Revived(revived.channel, _place(revived))

    def _replay(self, replay_id: int) -> Replay | None:
        replay = self.replays.get(replay_id) or self._loaded.replays.get(replay_id)
        return None if replay is None or replay.ended_at is not None else replay

    def _lost(self, event_id: int) -> Event | None:
        event = self.amended.get(event_id) or self._loaded.events.get(event_id)
        return event if event is not None and is_lost(event) else None

    def _change(self, order: Order) -> Order:
        before = self._orders.get(order.id)
        if before is not None and before.state is not order.state and order.state not in TRANSITIONS[before.state]:
            raise AssertionError(f"order {order.id}: no way from {before.state} to {order.state}")
        self._orders[order.id] = order
        self._ids[order.storefront, order.external_id] = order.id
        return order


def _event(
    event_id: int,
    arrival: Arrival,
    disposition: Disposition,
    order: Order | None,
    revision: int | None = None,
    *,
    duplicate_of: int | None = None,
    reasons: tuple[Reason, ...] = (),
) -> Event:
    identified = arrival.identified
    return Event(
        id=event_id,
        storefront=arrival.storefront,
        topic=identified.topic,
        received_at=arrival.received_at,
        disposition=disposition,
        order_id=None if order is None else order.id,
        version=None if isinstance(identified, Ignore | NotUnderstood) else identified.version,
        revision=revision,
        duplicate_of=duplicate_of,
        reasons=reasons,
        trace=None if revision is None else arrival.trace,
    )


def _waits_elsewhere(before: Order | None, now: Order) -> bool:
    """Whether the order waits, free to be taken, where nobody was told before that it does."""
    if now.state is not State.WAITING or now.lease is not None:
        return False
    if before is None or before.state is not State.WAITING:
        return True
    return before.channel != now.channel or before.urgency != now.urgency


def _overtaken(order: Order, about: Upsert | Cancel | Fetch, event_id: int) -> bool:
    """Whether the order's newest whole event was accepted after this one, and no version says otherwise."""
    if about.version is not None and order.version is not None:
        decided = versions.is_older(about.version, order.version) or versions.is_older(order.version, about.version)
    else:
        decided = False
    return not decided and order.event_id is not None and event_id < order.event_id


def _is_revived(order: Order, revival: Revival) -> bool:
    """Whether it is in a state that is meant. A cancellation that was called is not called again."""
    if order.state is State.SENT:
        return revival.again and not rules.is_cancelling(order.channel)
    return order.state in (State.DEAD, State.DISCARDED)


def _may_settle(order: Order, settlement: Settlement) -> bool:
    if settlement.token is not None:
        return order.lease is not None and order.lease.token == settlement.token
    # Whoever looked without a lease may have seen the order as it was before an attempt that has ended since.
    seen = (settlement.after.revision, settlement.after.attempts, settlement.delivered_digest)
    unmoved = seen == (order.revision, order.attempts, order.delivered_digest)
    overruled = settlement.after.state is State.HELD and order.released_at is not None
    elsewhere = rules.is_fetching(order.channel) or rules.is_cancelling(order.channel)  # where nobody looks
    return order.lease is None and order.state in _UNDER_WAY and unmoved and not overruled and not elsewhere


def _place(order: Order) -> Waiting:
    return Waiting(order.urgency, order.id)
