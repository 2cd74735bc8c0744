"""Who sends webhooks, until each is acknowledged; and what it knows of its orders by itself."""

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from relay.core import instant
from relay.core.order import Arrival, Disposition
from relay.core.sources import Cancel, Upsert
from relay.store import Receipt, StoreError
from tests.builders import NOW
from tests.simulation.scenario import HOUR_S, Poison, Webhook

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

UNMAPPABLE = b"?"
_CREATED = NOW


@dataclass(frozen=True, slots=True)
class Newest:
    """What the shop knows an order to be, from what was committed, by rules of its own."""

    version: int | None
    content: str
    mappable: bool
    whole: bool
    """Whether it was ever seen whole."""
    cancelled: bool


class Shop:
    """All storefronts: one for each channel, of the same name."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.newest: dict[tuple[str, str], Newest] = {}
        """By channel and external id."""
        self.acknowledged: dict[int, Webhook] = {}
        """By the event's id."""
        self.committed: dict[str, int] = {}
        """Events, by the key of their webhook."""
        self.under_way = 0
        self._by_key = {webhook.key: webhook for webhook in world.scenario.webhooks}
        self._trickled = 0

    async def run(self) -> None:
        """Send everything; returns when everything is acknowledged."""
        async with asyncio.TaskGroup() as posts:
            for webhook in self._world.scenario.webhooks:
                wait_s = webhook.at_s - self._world.elapsed()
                if wait_s > 0:
                    await self._world.clock.sleep(wait_s)
                posts.create_task(self._post(webhook))

    async def trickle(self, channel: str) -> None:
        """One more new order."""
        self._trickled += 1
        order = f"{channel[0]}t{self._trickled}"
        webhook = Webhook(self._world.elapsed(), channel, order, "upsert", 1000, f"{order}-0", "A")
        self._by_key[webhook.key] = webhook
        await self._post(webhook)

    def webhook(self, key: str) -> Webhook:
        return self._by_key[key]

    def poison(self, channel: str, order: str) -> Poison | None:
        return self._world.scenario.poison.get((channel, order))

    def accepted(self, arrival: Arrival, receipt: Receipt) -> None:
        """The shop's own books, in the order of commits: later versions count, and what comes later among equals."""
        webhook = self.webhook(arrival.identified.dedupe_key)
        if receipt.disposition is Disposition.DUPLICATE:
            return
        self.committed[webhook.key] = receipt.event_id
        place = webhook.channel, webhook.order
        known = self.newest.get(place)
        if known is not None and self.is_stale(known, webhook):
            return
        base = known or Newest(None, "", mappable=True, whole=False, cancelled=False)
        changed = replace(base, version=webhook.version if webhook.version is not None else base.version)
        if webhook.kind != "deletion":
            changed = replace(changed, content=webhook.content, mappable=webhook.mappable, whole=True)
        if webhook.kind != "upsert":
            changed = replace(changed, cancelled=True)
        self.newest[place] = changed

    @staticmethod
    def is_stale(known: Newest, webhook: Webhook) -> bool:
        return known.version is not None and webhook.version is not None and webhook.version < known.version

    async def _post(self, webhook: Webhook) -> None:
        self.under_way += 1
        while True:
            process = self._world.process
            if process is not None and process.alive:
                receipt = await self._accepted_by(process, webhook)
                if receipt is not None:
                    self.acknowledged[receipt.event_id] = webhook
                    self._world.acknowledged(webhook, receipt)
                    break
            await self._world.clock.sleep(self._world.chance.between(0.2, 60.0, "post"))
        self.under_way -= 1

    async def _accepted_by(self, process: "Process", webhook: Webhook) -> Receipt | None:
        """``None``: no 2xx came back."""
        handled = asyncio.create_task(process.handle(self._arrival(webhook)))
        died = asyncio.create_task(process.died.wait())
        try:
            await asyncio.wait({handled, died}, return_when=asyncio.FIRST_COMPLETED)
            return handled.result() if handled.done() and not died.done() else None
        except StoreError:
            return None
        finally:
            handled.cancel()
            died.cancel()
            await asyncio.gather(handled, died, return_exceptions=True)

    def _arrival(self, webhook: Webhook) -> Arrival:
        world, now = self._world, self._world.clock.now()
        created_at = instant.after(_CREATED, -1000 * HOUR_S) if webhook.old else now
        reference = f"#{webhook.order}"
        if webhook.kind == "upsert":
            about: Upsert | Cancel = Upsert(
                webhook.order, webhook.version, webhook.key, "orders/updated", reference, created_at
            )
        else:
            about = Cancel(
                webhook.order, webhook.version, webhook.key, "orders/cancelled", reference, created_at,
                complete=webhook.kind == "cancel",
            )  # fmt: skip
        starts = world.lines[webhook.channel].channel.head_starts
        return Arrival(webhook.channel, webhook.channel, about, _body(webhook), now, starts)


def _body(webhook: Webhook) -> bytes:
    sale = {
        "externalId": webhook.order,
        "saleDefaults": {"reference": f"#{webhook.order}", "notes": webhook.content},
        "customer": {"firstName": "Ann", "lastName": "Smith", "email": "ann@example.com"},
        "lineItems": [{"externalId": "1", "name": "thing", "quantity": 1, "price": 2, "variant": {"sku": "thing"}}],
    }
    body = json.dumps(sale).encode()
    return body if webhook.mappable else UNMAPPABLE + body
