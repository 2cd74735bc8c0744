"""What happens in the demo: which webhooks the shop sends, in which order, and what must become of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from uuid import UUID

from relay.core.instant import SECOND, Instant
from relay.demo.orders import Order, State, made_up

_DAY = 86_400 * SECOND
_FIRST_NUMBER = 1001
_FLOOD_FACTOR = 8
"""How many times what Jetti takes the shop sends."""
BURST = 1
"""Requests that may leave at once: the relay's default, evenly spaced."""


class Kind(StrEnum):
    """What a webhook is there to show."""

    NEW = "new order"
    UPDATE = "update of an old order"
    NEWER = "quick further update"
    CANCELLED = "cancellation"
    AGAIN = "the same webhook again"
    LATE = "late, older state"
    SAME = "update that changes nothing"
    TRIMMED = "order without its lines"
    FORGED = "wrong signature"


EXPECTED: dict[Kind, tuple[str, ...]] = {
    Kind.NEW: ("queued",),
    Kind.UPDATE: ("queued",),
    Kind.NEWER: ("merged",),  # or queued, if the state before it had left: the verdict looks at that
    Kind.CANCELLED: ("merged",),
    Kind.AGAIN: ("duplicate",),
    Kind.LATE: ("stale",),
    Kind.SAME: ("queued", "merged"),  # the second joins the first, if that has not been looked at yet
    Kind.TRIMMED: ("queued",),  # what it lacks is found when it is mapped, after the answer
    Kind.FORGED: ("bad-signature",),
}
"""What the relay must answer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the person who starts the demo may decide."""

    orders: int = 200
    """Old orders that are updated; a fifth as many new ones are placed."""
    rate: float = 10.0
    """Requests per second that the imitated Jetti takes."""
    keep: bool = False
    """Keep the folder with the store, the configuration and the log."""

    @property
    def flood_rate(self) -> float:
        """Webhooks per second."""
        return _FLOOD_FACTOR * self.rate


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook to send."""

    kind: Kind
    state: State
    topic: str
    id: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Act:
    """Webhooks that are sent at one speed; the next act begins when all are answered."""

    webhooks: Sequence[Webhook]
    per_second: float


@dataclass(frozen=True, slots=True)
class Story:
    """All that is sent."""

    rush: Sequence[Act]
    afterwards: Sequence[Webhook]
    """Sent one by one, while the backlog drains, as soon as their order has been delivered."""

    @property
    def webhooks(self) -> list[Webhook]:
        """All of them."""
        return [*(webhook for act in self.rush for webhook in act.webhooks), *self.afterwards]

    def count(self, *kinds: Kind) -> int:
        """How many there are of these kinds."""
        return sum(webhook.kind in kinds for webhook in self.webhooks)


class _Author:
    def __init__(self, plan: Plan, now: Instant, chance: Random) -> None:
        self.plan = plan
        self._now = now
        self._chance = chance
        self._number = _FIRST_NUMBER

    def old(self) -> Order:
        return self._order(self._now - self._chance.randint(2, 400) * _DAY)

    def new(self) -> Order:
        return self._order(self._now - 10 * SECOND)

    def webhook(self, kind: Kind, state: State, topic: str = "orders/updated") -> Webhook:
        body = state.trimmed() if kind is Kind.TRIMMED else state.body()
        return Webhook(kind, state, topic, str(UUID(int=self._chance.getrandbits(128), version=4)), body)

    def update(self, kind: Kind, order: Order, version: int) -> Webhook:
        return self.webhook(kind, State(order, version, version))

    def again(self, webhook: Webhook) -> Webhook:
        return Webhook(Kind.AGAIN, webhook.state, webhook.topic, webhook.id, webhook.body)

    def some(self, of: Sequence[Webhook], count: int) -> list[Webhook]:
        return self._chance.sample(of, min(count, len(of)))

    def mixed(self, webhooks: Sequence[Webhook], factor: float = 1.0) -> Act:
        return Act(self._chance.sample(webhooks, len(webhooks)), self.plan.flood_rate * factor)

    def _order(self, created_at: Instant) -> Order:
        self._number += 1
        return made_up(self._number - 1, created_at, self._now - 10 * SECOND, self._chance)


def told(plan: Plan, now: Instant, seed: int = 0) -> Story:
    """The story, the same for the same arguments.

    Within an act no two webhooks are about one order, so what must become of each does not depend on chance. What is
    to be merged is about orders that wait longest: the flood's last quarter, and the later half of the new ones.
    """
    author = _Author(plan, now, Random(seed))  # noqa: S311 - made-up orders, no secrets
    half = plan.orders // 2
    known = [author.old() for _ in range(plan.orders)]
    flood = [author.update(Kind.UPDATE, order, 2) for order in known]
    fresh = [author.new() for _ in range(plan.orders // 5)]
    burst = author.mixed([author.webhook(Kind.NEW, State(order, 1, 1), "orders/create") for order in fresh], 2.0)
    still_waiting = [webhook.state.order for webhook in burst.webhooks[len(fresh) // 2 :: 4]]
    paid = [author.webhook(Kind.NEWER, State(order, 2, 2), "orders/paid") for order in still_waiting]
    again = [author.again(webhook) for webhook in author.some([*flood[:half], *burst.webhooks], plan.orders // 10)]
    late = [author.update(Kind.LATE, hook.state.order, 1) for hook in author.some(flood[:half], plan.orders // 16)]
    last = known[-(plan.orders // 4) :]
    quick = [author.update(Kind.NEWER, order, 3) for order in last[1:]]
    quicker = [author.update(Kind.NEWER, order, 4) for order in last[1::2]]
    cancelled = author.webhook(Kind.CANCELLED, State(last[0], 3, 3, cancelled=True), "orders/cancelled")
    odd = [author.update(Kind.TRIMMED, author.old(), 1), author.update(Kind.FORGED, author.new(), 1)]
    first = author.mixed(flood[:half])
    return Story(
        rush=(
            first,
            burst,
            author.mixed(paid, 2.0),
            author.mixed([*flood[half:], *again]),
            author.mixed([*quick, cancelled, *odd, *late]),
            author.mixed(quicker),
        ),
        afterwards=[author.webhook(Kind.SAME, State(first.webhooks[0].state.order, n, 2)) for n in (3, 4)],
    )
