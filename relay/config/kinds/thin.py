"""What storefronts share whose webhooks only name an order: where the order is read, and with what credentials."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from relay.config.problems import Problem
from relay.config.storefronts import Storefront
from relay.config.tables import Breaker, Retry, Table
from relay.config.values import HeaderSecret, Number, WebAddress, Whole, is_loopback
from relay.core.pace import Pace

_PACE = Pace()


class Fetch(Table):
    """How orders are read from a storefront's API: at a pace, with retries and a circuit of its own."""

    rate: Number = Field(4, ge=0.001, le=1000)
    """Requests per second, at the most; an order may take several. Squarespace allows 300 a minute, BigCommerce's
    smaller plans 150 in 30 seconds, both to all that use the API together."""
    burst: Whole = Field(_PACE.burst, ge=1, le=1000)
    """Requests that may leave at once after a quiet time; 1: evenly spaced."""
    rate_floor: Number = Field(_PACE.floor, ge=0.01, le=1)
    """The share of `rate` that the API's throttling never slows fetching down below."""
    in_flight_max: Whole = Field(4, ge=1, le=100)
    """Orders that are fetched at the same time."""
    wait_s: Number = Field(2, ge=0, le=3600)
    """From an order's latest webhook to its being fetched, seconds, so that it is fetched once for all the webhooks of
    one change; at the most five times as long from the first. Not below 1.1 in earnest: BigCommerce's webhooks of two
    changes within one second may be the same."""
    window: Whole = Field(1024, ge=1, le=100_000)
    """Orders to be fetched that are kept in memory, the head of the backlog; the rest is on disk."""
    backlog_max: Whole = Field(10_000_000, ge=1, le=1_000_000_000)
    """Orders that may wait to be fetched; beyond it 503 with Retry-After."""
    retry: Retry = Retry()
    breaker: Breaker = Breaker()

    @property
    def pace(self) -> Pace:
        return Pace(self.rate, 1.0, self.burst, self.rate_floor)


class ThinStorefront(Storefront):
    """A storefront whose orders are fetched."""

    api_token: HeaderSecret
    """What shows the storefront's API who asks: it must be allowed to read orders, which webhooks only name."""
    api_token_file: Path | None = None
    """File that holds `api_token`."""
    api_url: WebAddress
    """Where the storefront's API begins; `http://` only to this machine, because the token travels with it."""
    api_timeout_s: Number = Field(20, ge=1, le=300)
    """Time for one request to the API, seconds; an order may take several."""
    fetch: Fetch = Fetch()

    def faults(self) -> Iterator[Problem]:
        yield from super().faults()
        if self.api_url.startswith("http:") and not is_loopback(urlsplit(self.api_url).hostname or ""):
            yield Problem("api_url", repr(self.api_url), "would show the token to everyone on the way", "use https://")
