"""What can be decided about a sandbox when it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.sandbox.faults import Fault

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """One imitated Jetti account. The defaults are what the vendor documents, as far as it does."""

    listen: str = "127.0.0.1:0"
    """Host and port; port 0 takes a free one."""
    webhook_hash: str = field(default="sandbox-hash", repr=False)
    """The hash of ``channel_id`` on the asynchronous endpoint."""
    token: str = field(default="sandbox-token", repr=False)
    """The bearer token of everything else."""
    channel_id: int = 1
    other_channels: Mapping[int, str] = field(default_factory=dict, repr=False)
    """More channels of the account: channel id to hash."""

    async_rate: float | None = 10.0
    """Imports a second and channel on the asynchronous endpoint; ``None`` or 0 lifts the limit."""
    async_burst: float = 10.0
    sync_rate: float | None = 1.0
    """Writes a second on the synchronous API, all channels together; a GET counts half. ``None`` or 0 lifts it."""
    sync_burst: float = 1.0

    import_delay_s: float = 0.0
    """How long an import waits in Jetti's queue after its 200 (documented: typically under a minute)."""
    latency_s: float = 0.0
    """How long every answer takes."""
    wrong_hash_status: int = 401
    """Not documented."""
    known_variants: frozenset[str] | None = None
    """External ids of the items the channels know; ``None``: every item is known."""
    check_customer: bool = True
    """Refuse a customer without email or with a phone beyond 30 characters, as the vendor's schema says."""
    sale_logging: bool = True
    """Keep the import log. The vendor's schema says a channel's default is false; a sandbox exists to look at it."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0
    """For faults that hit only a share of the requests."""

    max_body_bytes: int = 5 * MEBIBYTE
    max_requests: int = 200_000
    """Import requests whose traces are kept; all are counted."""
    max_payload_bytes: int = 128 * MEBIBYTE
    """Raw payloads kept, the newest ones, over all requests and sales."""
    max_sales: int = 250_000
    """Sales kept; the oldest are forgotten beyond and counted."""
    max_imports: int = 50_000
    """Rows of the import log kept, and imports that wait at one time (more, and the oldest are imported early)."""
