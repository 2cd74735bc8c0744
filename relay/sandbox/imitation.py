"""Everything of one sandbox that is not the wire."""

from collections import Counter
from typing import Any

from relay.clock import Clock
from relay.core import instant
from relay.sandbox.admission import Admission
from relay.sandbox.faults import Faults
from relay.sandbox.jetti import Account
from relay.sandbox.journal import Journal, Outcome
from relay.sandbox.settings import SandboxSettings


class Imitation:
    """The parts, and the time they are told: seconds since the start."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.started_at = clock.now()
        self._monotonic = clock.monotonic()
        self._account = Account(settings, self.started_at)
        self.admission = Admission(settings)
        self.journal = Journal(settings.max_requests, settings.max_payload_bytes)
        self.faults = Faults(settings.seed)
        self.calls: Counter[Outcome] = Counter()
        """Requests other than imports, by outcome."""

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock.monotonic() - self._monotonic

    @property
    def account(self) -> Account:
        """The account as it is now, with everything imported that is due."""
        self._account.advance(self.elapsed())
        return self._account

    def state(self) -> dict[str, Any]:
        """The counts, as ``GET /sandbox/state`` answers them."""
        account, journal = self.account, self.journal
        return {
            "started_at": instant.iso(self.started_at),
            "uptime_s": self.elapsed(),
            "requests": journal.last_seq,
            "first_seq": journal.first_seq,
            "last_seq": journal.last_seq,
            "outcomes": {str(outcome): count for outcome, count in journal.outcomes.items()},
            "statuses": {str(status): count for status, count in journal.statuses.items()},
            "in_flight": journal.in_flight,
            "max_in_flight": journal.max_in_flight,
            "max_in_flight_per_order": journal.max_in_flight_per_order,
            "overlaps": journal.overlaps,
            "sales": account.sales,
            "updated": account.totals.updated,
            "import_errors": account.totals.import_errors,
            "waiting_imports": account.waiting,
            "cancelled": account.totals.cancelled,
            "forgotten_sales": account.totals.forgotten_sales,
            "calls": {str(outcome): count for outcome, count in self.calls.items()},
            "faults": self.faults.in_force(self.elapsed()),
        }
