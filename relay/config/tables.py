"""The tables of the file, each a model; those of the storefronts are in :mod:`relay.config.storefronts`.

The text below a key is its description: for `keys`, the reference and thereby the reader of this file.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from relay.config.problems import NOT_SET, SECRET, Problem, refuse
from relay.config.values import (
    Address,
    ChannelId,
    HeaderSecret,
    Listen,
    Name,
    Number,
    Ratio,
    StoreUrl,
    TraceHeaders,
    WebAddress,
    Whole,
    as_list,
    as_toml,
    headers_in,
    is_loopback,
)
from relay.core.breaker import BreakerPolicy
from relay.core.delivery import HeadStarts
from relay.core.pace import Mode, Pace
from relay.core.retry import RetryPolicy

_PACE, _RETRY, _HEAD_STARTS, _BREAKER = Pace(), RetryPolicy(), HeadStarts(), BreakerPolicy()
_DAY, _WEEK = 86_400, 604_800
SECRETS = {"private": ("token",), "channels": ("webhook_hash", "token"), "tracing": ("headers",)}
"""The keys of each table that hold a secret; each has a twin, ``_file``. Those of storefronts depend on the kind. The
tables in ``private.tokens`` have the keys of ``private``."""
_UNNAMED = "token"
"""The name of ``private.token`` in the audit."""


class Table(BaseModel):
    """Unknown keys are errors, nothing changes after loading, and pydantic shows no input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class Store(Table):
    """Where accepted orders are kept."""

    url: StoreUrl = "sqlite:relay.db"
    """`sqlite:PATH`, a relative path being relative to the working directory; or `memory:`, for a trial that forgets
    everything when it stops. PostgreSQL is not in this version."""
    disk_free_min_bytes: Whole = Field(268_435_456, ge=0, le=1_125_899_906_842_624)
    """Room that the store's disk keeps free, bytes, so that what was accepted can still be delivered: with so little
    left every storefront is refused with 503, and some sooner (`refuse_at`). 0: the disk is not watched."""

    @property
    def path(self) -> Path | None:
        """The SQLite file; ``None``: in memory."""
        return None if self.url == "memory:" else Path(self.url.removeprefix("sqlite:"))


class Public(Table):
    """The listener the storefronts send to."""

    listen: Listen = Address("0.0.0.0", 8080)  # noqa: S104 -- storefronts send from outside
    """Address and port; port 0 takes a free one."""
    body_max_bytes: Whole = Field(5_242_880, ge=1024, le=67_108_864)
    """Largest body, bytes; beyond it 413. Orders of 500 lines exist."""
    body_timeout_s: Number = Field(10, ge=0.1, le=300)
    """Time for a whole body to arrive, seconds; beyond it 408."""
    headers_max_bytes: Whole = Field(16_384, ge=1024, le=262_144)
    """Largest request line and largest header field, bytes; beyond it 400."""
    connections_max: Whole = Field(1024, ge=1, le=65_535)
    """Connections open at the same time."""
    queue_max: Whole = Field(2048, ge=1, le=1_000_000)
    """Events that wait for their commit; beyond it 503 with Retry-After."""
    retry_after_s: Whole = Field(5, ge=1, le=3600)
    """Retry-After of a 503, seconds."""


class Token(Table):
    """One person's, or one program's, own token."""

    token: HeaderSecret
    """Bearer token that does what `private.token` does. What is done with it is on record with its name."""
    token_file: Path | None = None
    """File that holds `token`."""


class Private(Table):
    """The listener for operators: health, metrics, API."""

    listen: Listen = Address("127.0.0.1", 9090)
    """Address and port; port 0 takes a free one. Any but loopback (127.0.0.0/8, ::1, localhost) needs a token."""
    token: HeaderSecret | None = None
    """Bearer token that guards everything but health and metrics. What is done with it is on record as by `token`."""
    token_file: Path | None = None
    """File that holds `token`."""
    tokens: dict[Name, Token] = {}
    """Further tokens, by name: one for each person or program, so that the audit says which it was."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not self.secrets and not self.listen.loopback:
            remedy = "set private.token_file (or private.token), or listen on 127.0.0.1"
            refuse([Problem("listen", repr(str(self.listen)), "is open to others and no token guards it", remedy)])
        refuse(list(self._unclear()))
        return self

    @property
    def secrets(self) -> dict[str, SecretStr]:
        """Every token, by name."""
        named = {name: table.token for name, table in self.tokens.items()}
        return named if self.token is None else {_UNNAMED: self.token, **named}

    @property
    def shown(self) -> SecretStr | None:
        """The token that a command shows to the relay of its configuration: the first."""
        return next(iter(self.secrets.values()), None)

    @property
    def keyed(self) -> dict[str, SecretStr]:
        """Every token, by its key in the configuration."""
        return {_key(name): token for name, token in self.secrets.items()}

    def _unclear(self) -> Iterator[Problem]:
        if self.token is not None and _UNNAMED in self.tokens:
            message = "is the name that private.token has in the audit"
            yield Problem(f"tokens.{_UNNAMED}", "", message, "give it another")
        owners: dict[str, str] = {}
        for name, token in self.secrets.items():
            owner = owners.setdefault(token.get_secret_value(), name)
            if owner != name:
                message = f"is {_key(owner)} as well: nobody could tell whose it is"
                yield Problem(f"tokens.{name}.token", SECRET, message, "make another")


def _key(name: str) -> str:
    return "private.token" if name == _UNNAMED else f"private.tokens.{name}.token"


class Retry(Table):
    """How an order is tried again: after a delay drawn evenly from zero to a bound that grows."""

    base_s: Number = Field(_RETRY.base_s, ge=0.01, le=3600)
    """Bound of the first delay, seconds."""
    factor: Number = Field(_RETRY.factor, ge=1, le=100)
    """By how much the bound grows with each attempt."""
    cap_s: Number = Field(_RETRY.cap_s, ge=0.01, le=_DAY)
    """The bound never exceeds this, seconds."""
    max_age_s: Number = Field(_RETRY.max_age_s, ge=1, le=2_592_000)
    """An order that has failed for so long since its first attempt becomes a dead letter, seconds."""

    @property
    def policy(self) -> RetryPolicy:
        return RetryPolicy(**self.model_dump())


class Breaker(Table):
    """When a channel is only tried now and then, with one order at a time, because it and not the orders fail."""

    failures: Whole = Field(_BREAKER.failures, ge=1, le=1000)
    """Different orders in a row without an answer (timeouts, broken connections, 5xx) that open the circuit."""
    refusals: Whole = Field(_BREAKER.refusals, ge=2, le=1000)
    """Different orders in a row with the same refusal that halt the channel: it is not the orders, and a person is
    needed."""
    probe_s: Number = Field(_BREAKER.probe_s, ge=0.01, le=3600)
    """From opening to the first probe, seconds; doubled by every probe that fails."""
    probe_cap_s: Number = Field(_BREAKER.probe_cap_s, ge=0.01, le=_DAY)
    """The longest interval between probes of an open channel, seconds."""
    halt_probe_s: Number = Field(_BREAKER.halt_probe_s, ge=0.01, le=3600)
    """From halting to the first probe, seconds; doubled by every probe that fails."""
    halt_probe_cap_s: Number = Field(_BREAKER.halt_probe_cap_s, ge=0.01, le=_DAY)
    """The longest interval between probes of a halted channel, seconds."""

    @property
    def policy(self) -> BreakerPolicy:
        return BreakerPolicy(**self.model_dump())


class HeadStart(Table):
    """By how many seconds each lane goes before what became due at the same time."""

    new_s: Number = Field(_HEAD_STARTS.new_s, ge=-_WEEK, le=_WEEK)
    """New orders, seconds; more than `update_s`, because new orders go first."""
    update_s: Number = Field(_HEAD_STARTS.update_s, ge=-_WEEK, le=_WEEK)
    """Updates of orders, seconds; not below `replay_s`."""
    replay_s: Number = Field(_HEAD_STARTS.replay_s, ge=-_WEEK, le=_WEEK)
    """Replayed dead letters and bulk imports, seconds."""

    @model_validator(mode="after")
    def _new_orders_first(self) -> Self:
        remedy = "keep new_s > update_s >= replay_s, for example 3600, 0 and -3600"
        if self.new_s <= self.update_s:
            refuse([Problem("new_s", as_toml(self.new_s), "would let updates go before new orders", remedy)])
        if self.update_s < self.replay_s:
            refuse([Problem("update_s", as_toml(self.update_s), "would let replays go before updates", remedy)])
        return self


class Channel(Table):
    """One Jetti custom channel: one destination with its own credentials, pace and backlog."""

    mode: Literal["async", "sync"] = "async"
    """Which of Jetti's import endpoints: `async` answers before it has looked and takes ten times as many; `sync`
    answers with the sale or the error, for integrating."""
    webhook_hash: HeaderSecret | None = None
    """Sent as `jetti-webhook-hash`; required for `async`. Each custom channel has its own."""
    webhook_hash_file: Path | None = None
    """File that holds `webhook_hash`."""
    token: HeaderSecret | None = None
    """Bearer token of Jetti's API; required for `sync`, and for `cancellations = "call"` of a storefront."""
    token_file: Path | None = None
    """File that holds `token`."""
    channel_id: ChannelId | None = None
    """The channel's id in Jetti (not the custom channel's); required for `sync`, and for `cancellations = "call"` of a
    storefront."""
    async_url: WebAddress = "https://inbound.jetti.io/webhooks/custom-channels/manual-sale.json"
    """The asynchronous endpoint, complete."""
    api_url: WebAddress = "https://api.jetti.io"
    """Where Jetti's API begins: the synchronous endpoint and look-ups."""
    insecure_http: bool = False
    """Allow `http://` to another machine, where everyone on the way can read the credentials: only for a sandbox in a
    private network. To this machine `http://` is always allowed."""
    sync_rate: Number = Field(_PACE.sync_rate, ge=0.001, le=1_000_000)
    """What the synchronous API takes, requests per second."""
    multiplier: Number = Field(_PACE.multiplier, ge=1, le=1000)
    """How many times that the asynchronous endpoint takes: no more than `sync_rate` × `multiplier` requests a second
    are sent. Counts as 1 in mode `sync`."""
    burst: Whole = Field(_PACE.burst, ge=1, le=10_000)
    """Requests that may leave at once after a quiet time; 1: evenly spaced."""
    rate_floor: Number = Field(_PACE.floor, ge=0.01, le=1)
    """The share of `sync_rate` × `multiplier` that Jetti's throttling never slows the channel down below."""
    in_flight_max: Whole = Field(32, ge=1, le=1000)
    """Requests in flight at the same time."""
    timeout_s: Number = Field(35, ge=1, le=300)
    """Time for one request, seconds. Jetti's load balancer cuts at 30 s; a little more shows its answer."""
    window: Whole = Field(1024, ge=1, le=100_000)
    """Deliveries kept in memory, the head of the backlog; the rest is on disk."""
    backlog_max: Whole = Field(10_000_000, ge=1, le=1_000_000_000)
    """Orders that may wait for the channel, those between two attempts included; beyond it 503 with Retry-After."""
    cancel_rate: Number = Field(1, ge=0.001, le=1_000_000)
    """Requests per second to Jetti's API for cancellations (`cancellations = "call"` of a storefront): a look-up and
    a cancel call each. Jetti's limit is the whole account's: share it where other channels, or mode `sync`, use it."""
    cancel_after_s: Number = Field(60, ge=0, le=_DAY)
    """For so long after an order's newest state was delivered it is not cancelled, because Jetti imports later what it
    takes now, seconds. Counts as 0 in mode `sync`, and where nothing had to be delivered."""
    permanent_codes: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()
    """Jetti's problem codes (`title`) that sending again cannot mend, besides the known ones: such an order becomes a
    dead letter at once."""
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    head_start: HeadStart = HeadStart()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = ("webhook_hash",) if self.mode == "async" else ("token", "channel_id")
        missing = [key for key in needed if getattr(self, key) is None]
        message = f'is required for mode = "{self.mode}"'
        problems = [
            Problem(key, NOT_SET, message, remedy_of_missing(key, secret=key != "channel_id")) for key in missing
        ]
        for key, url in (("async_url", self.async_url), ("api_url", self.api_url)):
            if url.startswith("http:") and not self.insecure_http and not is_loopback(urlsplit(url).hostname or ""):
                remedy = "use https://, or set insecure_http = true for a sandbox in a private network"
                problems.append(Problem(key, repr(url), "would show the credentials to everyone on the way", remedy))
        refuse(problems)
        return self

    @property
    def pace(self) -> Pace:
        return Pace(self.sync_rate, self.multiplier, self.burst, self.rate_floor)

    @property
    def imported_after_s(self) -> float:
        """When an order that was sent may be cancelled, because it is taken to be imported then."""
        return 0.0 if self.mode == "sync" else self.cancel_after_s

    @property
    def cancel_pace(self) -> Pace:
        return Pace(self.cancel_rate, 1, 1, self.rate_floor)

    @property
    def import_mode(self) -> Mode:
        return Mode(self.mode)

    @property
    def head_starts(self) -> HeadStarts:
        return HeadStarts(**self.head_start.model_dump())


class Retention(Table):
    """For how long what is finished is kept; what is not finished is kept whatever its age."""

    bodies_days: Number = Field(7, ge=0.01, le=3650)
    """Raw webhooks and sales, which hold personal data, days; not more than `finished_days`."""
    finished_days: Number = Field(30, ge=7, le=3650)
    """Events, attempts and finished orders, days. An order that was forgotten is new again, so this is to be longer
    than a storefront may repeat a webhook."""
    sweep_every_s: Number = Field(3600, ge=1, le=_DAY)
    """From one sweep to the next, seconds; the first is a minute after the start."""

    @model_validator(mode="after")
    def _bodies_go_first(self) -> Self:
        if self.bodies_days > self.finished_days:
            remedy = "keep bodies_days <= finished_days, for example 7 and 30"
            message = "would outlive the orders and events they belong to"
            refuse([Problem("bodies_days", as_toml(self.bodies_days), message, remedy)])
        return self


class Log(Table):
    """What the relay writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written."""
    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: `console` on a terminal, `json` elsewhere."""
    quiet: Annotated[tuple[Literal["event", "found", "attempt", "housekept"], ...], BeforeValidator(as_list)] = ()
    """Kinds of lines of which only warnings and errors are written. At peak `event` is nearly all there is: some 300
    bytes for each webhook."""


class Tracing(Table):
    """One trace from webhook to delivery, over OTLP/HTTP. Where a key is not set, the variables that OpenTelemetry
    defines are asked (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER` …)."""

    enabled: bool = False
    """Whether traces are made. Needs OpenTelemetry: `pip install 'order-relay[tracing]'`; the container image has
    it."""
    endpoint: WebAddress | None = None
    """The collector's address for OTLP over HTTP; `/v1/traces` is added if it does not end with it. Without it
    `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` says it, else it is
    `http://localhost:4318`."""
    headers: TraceHeaders | None = None
    """Headers that the collector wants, such as a key: `name=value`, with commas between several. They are secret."""
    headers_file: Path | None = None
    """File that holds `headers`."""
    sample_ratio: Ratio | None = None
    """The share of traces that is recorded. Without it `OTEL_TRACES_SAMPLER` says it, else it is 1: all."""
    service_name: str | None = Field(None, min_length=1, max_length=255)
    """How traces call the relay. Without it `OTEL_SERVICE_NAME` says it, else it is `order-relay`."""
    trust_parent: bool = False
    """Whether a storefront decides, by the flag in its `traceparent`, if a trace is recorded; otherwise
    `sample_ratio` does for every trace. Its trace goes on either way."""

    @model_validator(mode="after")
    def _installed(self) -> Self:
        if self.enabled and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
            remedy = "pip install 'order-relay[tracing]', or set tracing.enabled = false"
            refuse([Problem("enabled", "true", "needs OpenTelemetry, which is not installed", remedy)])
        return self

    @property
    def sent_headers(self) -> dict[str, str]:
        """By name."""
        return {} if self.headers is None else headers_in(self.headers.get_secret_value())


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # a package above it is not there
        return False


class Life(Table):
    """Starting and stopping."""

    shutdown_grace_s: Number = Field(20, ge=0, le=600)
    """After SIGTERM, time for requests in flight to end, seconds. Keep it below what the supervisor waits before it
    kills (Kubernetes: 30)."""


def remedy_of_missing(key: str, *, secret: bool) -> str:
    return f"set {key}, or {key}_file to the path of a file that holds it" if secret else f"set {key}"
