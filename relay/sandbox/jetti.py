"""A Jetti account, imitated: what it has, and what an import does to it. Told the time, no I/O.

Documented: one call creates and updates, matched on (channel, externalId); the asynchronous endpoint answers before
it has looked at anything, and only the import log says what became of it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.core import instant
from relay.core.instant import Instant
from relay.sandbox.journal import Received
from relay.sandbox.lookup import Lookup
from relay.sandbox.payload import Payload, Rejected
from relay.sandbox.problems import Problem, missing
from relay.sandbox.records import IMPORT_FIELDS, SALE_FIELDS, Import, Sale, show_import, show_sale
from relay.sandbox.settings import SandboxSettings

MAX_KNOWN_VARIANTS = 1_000_000


@dataclass(slots=True)
class Totals:
    """Counted since the start, whatever has been forgotten since."""

    created: int = 0
    updated: int = 0
    import_errors: int = 0
    cancelled: int = 0
    forgotten_sales: int = 0


class Account:
    """The account: its sales, its import log, the items its channels know, and what waits to be imported.

    Every ``at`` is seconds since ``started_at``.
    """

    def __init__(self, settings: SandboxSettings, started_at: Instant = 0) -> None:
        self.totals = Totals()
        self._settings = settings
        self._started_at = started_at
        channels = (settings.channel_id, *settings.other_channels)
        self._known = {channel_id: set(settings.known_variants or ()) for channel_id in channels}
        self._sales: dict[int, Sale] = {}
        self._by_order: dict[tuple[int, str], Sale] = {}
        self._imports: deque[Import] = deque(maxlen=settings.max_imports)
        self._import_id = 0
        self._waiting: deque[tuple[float, Received, int, Payload | Rejected]] = deque()

    @property
    def waiting(self) -> int:
        """Imports answered 200 and not looked at yet."""
        return len(self._waiting)

    @property
    def sales(self) -> int:
        """How many sales there are, the forgotten ones included."""
        return self.totals.created

    def has_channel(self, channel_id: int) -> bool:
        """Whether it is one of the account's."""
        return channel_id in self._known

    def enqueue(self, received: Received, channel_id: int, payload: Payload | Rejected, at: float) -> None:
        """Take an asynchronous import; it is looked at when the import delay is over."""
        self._waiting.append((at + self._settings.import_delay_s, received, channel_id, payload))
        self.advance(at)

    def advance(self, at: float) -> None:
        """Import what is due by now."""
        waiting = self._waiting
        while waiting and (waiting[0][0] <= at or len(waiting) > self._settings.max_imports):
            due, received, channel_id, payload = waiting.popleft()
            self.import_now(received, channel_id, payload, min(due, at))

    def import_now(self, received: Received, channel_id: int, payload: Payload | Rejected, at: float) -> Sale | Problem:
        """Create or update the sale, or say why not; the import log has it either way."""
        if isinstance(payload, Rejected):
            result: Sale | Problem = payload.problem
        else:
            result = self._upsert(received, channel_id, payload, at)
        sale_id, wrong = (None, result) if isinstance(result, Problem) else (result.id, None)
        self.totals.import_errors += wrong is not None
        if self._settings.sale_logging:
            self._import_id += 1
            self._imports.append(Import(self._import_id, channel_id, received, sale_id, wrong, at))
        return result

    def acknowledge(self, channel_id: int, variant: str) -> None:
        """The channel knows the item of this external id from now on."""
        known = self._known[channel_id]
        if variant and len(known) < MAX_KNOWN_VARIANTS:
            known.add(variant)

    def cancel(self, sale_id: int, at: float, *, partly: bool) -> Sale | None:
        """The sale, cancelled; ``None`` when there is none of this id."""
        sale = self._sales.get(sale_id)
        if sale is not None:
            sale.cancels += 1
        if sale is not None and sale.cancellation_status != "full":
            sale.cancelled_at = at
            sale.cancellation_status = "partial" if partly else "full"
            self.totals.cancelled += 1
        return sale

    def sale(self, external_id: str, channel_id: int | None = None) -> Sale | None:
        """The sale of an order; in the settings' channel unless another one is named."""
        wanted = self._settings.channel_id if channel_id is None else channel_id
        return self._by_order.get((wanted, external_id))

    def order_of(self, sale_id: int) -> tuple[int, str] | None:
        """Channel and external id of a sale."""
        sale = self._sales.get(sale_id)
        return None if sale is None else (sale.channel_id, sale.external_id)

    def sales_after(self, sale_id: int, limit: int) -> list[Sale]:
        """The sales with higher ids, oldest first."""
        first = max(sale_id, self.totals.forgotten_sales) + 1  # ids are given without gaps
        return [self._sales[number] for number in range(first, min(first + limit, self.totals.created + 1))]

    def find_sales(self, lookup: Lookup) -> list[Mapping[str, Any]]:
        """The sales a question is about, as the API shows them."""
        orders = lookup.where.get("externalId")
        rows: Iterable[Sale] = self._sales.values()
        if orders is not None:
            keys = ((channel_id, order) for channel_id in self._known for order in sorted(orders))
            rows = (self._by_order[key] for key in keys if key in self._by_order)
        return [lookup.show(show_sale(sale, self.iso)) for sale in lookup.select(rows, SALE_FIELDS)]

    def find_imports(self, lookup: Lookup) -> list[Mapping[str, Any]]:
        """The rows of the import log a question is about, as the API shows them."""
        return [lookup.show(show_import(row, self.iso)) for row in lookup.select(self._imports, IMPORT_FIELDS)]

    def iso(self, at: float) -> str:
        """That moment as the API writes it."""
        return instant.iso(instant.after(self._started_at, at))

    def _upsert(self, received: Received, channel_id: int, payload: Payload, at: float) -> Sale | Problem:
        unknown = self._unknown_variant(channel_id, payload)
        if unknown is not None:
            return missing(unknown, payload.order)
        key = (channel_id, payload.order)
        sale = self._by_order.get(key)
        if sale is None:
            self.totals.created += 1
            sale = Sale(self.totals.created, channel_id, payload.order, at, received)
            self._sales[sale.id] = self._by_order[key] = sale
            self._forget()
        else:
            self.totals.updated += 1
        sale.imported(received, at)
        return sale

    def _unknown_variant(self, channel_id: int, payload: Payload) -> str | None:
        """The first item the channel does not know.

        Documented: ``findOrCreateChannelVariant`` acknowledges unknown items, and is required to connect by SKU.
        """
        if self._settings.known_variants is None:
            return None
        for line in payload.line_items:
            name = "" if line.variant is None else line.variant.name
            if payload.creates_variants:
                self.acknowledge(channel_id, name)
            elif name not in self._known[channel_id]:
                return name
        return None

    def _forget(self) -> None:
        if len(self._sales) > self._settings.max_sales:
            self.totals.forgotten_sales += 1
            oldest = self._sales.pop(self.totals.forgotten_sales)  # ids are given without gaps
            del self._by_order[oldest.channel_id, oldest.external_id]
