"""What the operator may decide: one TOML file, environment variables over it, secrets also from files.

Longer than most modules because each table is one model whose descriptions are also the reference documentation
(`reference`) and the remedies in error messages: three texts that would otherwise drift apart. In order: the tables;
`load` and the three places values come from; errors; the list of keys.

No secret leaves this module except as a ``SecretStr``: errors are built outside ``except`` blocks, so that no
exception that has seen the input hangs on them as context, and what might be a misspelt secret is not shown.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from relay.core.delivery import HeadStarts
from relay.core.pace import Mode, Pace
from relay.core.retry import RetryPolicy
from relay.core.sale import PropertyStyle
from relay.core.sources.shopify import ShopifyRules

DEFAULT_FILE = Path("config.toml")
"""Read when no file is named and this one exists in the working directory."""
PREFIX = "RELAY_"
_NOT_KEYS = frozenset({"RELAY_CONFIG", "RELAY_FIXTURES"})
# What Kubernetes and Docker links put into the environment of everything beside a service called "relay".
_NOT_OURS = re.compile(r"RELAY_(SERVICE_HOST|SERVICE_PORT|PORT)(_[A-Z0-9_]+)?")
_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")
_SECRETS = {"private": ("token",), "channels": ("webhook_hash", "token"), "storefronts": ("secrets",)}
_SECRET, _NOT_SET, _NOT_SHOWN = "(secret)", "(not set)", "(not shown)"
_UNKNOWN = "is not a known key"
_FILE_MAX = 1_048_576


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and what to do. Never holds a secret."""

    key: str
    """``channels.main.sync_rate``, or the name of the file when it cannot be read."""
    value: str
    """The value found, as written in Python, or words in brackets where it is secret or absent."""
    message: str
    remedy: str
    origin: str = ""
    """The environment variable the value came from; empty for the file."""

    def __str__(self) -> str:
        value = f" = {self.value}" if self.value else ""
        origin = f"  (from {self.origin})" if self.origin else ""
        remedy = self.remedy.replace("\n", "\n      ")
        return f"{self.key}{value}{origin}\n    {self.message}\n    Remedy: {remedy}"


class ConfigError(Exception):
    """The configuration cannot be used; ``str()`` is fit for a terminal."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(*problems)
        self.problems = list(problems)

    def __str__(self) -> str:
        count = "one problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return "\n\n  ".join([f"The configuration cannot be used: {count}.", *map(str, self.problems)])


# ---- values --------------------------------------------------------------------------------------------------------


def _wrong(message: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError("wrong", "{message}", {"message": message, "remedy": remedy})


def _refuse(problems: Sequence[Problem]) -> None:
    """Raise what a whole table is refused for; the keys are relative to it."""
    if problems:
        raise PydanticCustomError("problems", "the table contradicts itself", {"problems": tuple(problems)})


def _number(value: object) -> object:
    if isinstance(value, bool):  # pydantic would take true for 1
        raise _wrong("is true or false, not a number", "")
    return value


def _list(value: object) -> object:
    """One entry may be written plainly, and an environment variable holds a list as JSON (which is also TOML)."""
    if not isinstance(value, str):
        return value
    if not value.startswith("["):
        return [value]
    entries = None
    with suppress(ValueError, RecursionError):
        entries = json.loads(value)
    if entries is None:
        raise _wrong("begins like a list and is none", 'write ["one", "two"], or one entry plainly')
    return entries


def _named(value: str) -> str:
    if len(value) > 63 or not _NAME.fullmatch(value):
        raise _wrong(
            "is no name for a table",
            "use up to 63 of a-z and 0-9, with single - or _ between them: the name appears in addresses and metrics",
        )
    return value


def _secret(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise _wrong("is empty", "set the secret, or leave the key out")
    return value


def _header_secret(value: SecretStr) -> SecretStr:
    if not all("!" <= character <= "~" for character in _secret(value).get_secret_value()):
        raise _wrong(
            "has a space, a line break or a character beyond ASCII, which cannot stand in an HTTP header",
            "copy it again, as one word",
        )
    return value


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise _wrong("is no e-mail address", 'write it as "orders@example.com"')
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int
    """0: any free one."""

    @classmethod
    def parse(cls, value: object) -> object:
        """``host:port`` or ``[ipv6]:port``."""
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", value)
        if match is None or int(match[3]) > 65_535:
            raise _wrong("is no address to listen on", 'write "0.0.0.0:8080", "127.0.0.1:9090" or "[::1]:9090"')
        return cls(match[1] or match[2], int(match[3]))

    @property
    def loopback(self) -> bool:
        return _is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _store_url(value: str) -> str:
    scheme, _, rest = value.partition(":")
    if value == "memory:" or (scheme == "sqlite" and rest and not rest.startswith((":", "//")) and "?" not in rest):
        return value
    if scheme in {"postgresql", "postgres"}:
        raise _wrong("PostgreSQL is not in this version", 'set url = "sqlite:relay.db"; one relay then owns its store')
    raise _wrong(
        "is no store",
        'write "sqlite:relay.db" (in the working directory), "sqlite:/var/lib/order-relay/relay.db", or "memory:" '
        "for a trial that forgets everything when it stops",
    )


def _web_address(value: str) -> str:
    remedy = "write https://host/path, without user, password, ? or #"
    parts, port = None, None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise _wrong("is no web address", remedy)
    if "@" in parts.netloc or "?" in value or "#" in value or not all("!" <= c <= "~" for c in value):
        raise _wrong("has a part that does not belong into this address", remedy)
    return value.rstrip("/")


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_number)]
Name = Annotated[str, AfterValidator(_named)]
Listen = Annotated[
    Address, BeforeValidator(Address.parse), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]
WebAddress = Annotated[str, AfterValidator(_web_address)]
_Hidden = PlainSerializer(lambda _: _SECRET, return_type=str)
Secret = Annotated[SecretStr, AfterValidator(_secret), _Hidden]
HeaderSecret = Annotated[SecretStr, AfterValidator(_header_secret), _Hidden]

# ---- the tables ----------------------------------------------------------------------------------------------------
# The text below a key is its description: for `keys`, the reference and thereby the reader of this file.

_PACE, _RETRY, _HEAD_STARTS, _SHOPIFY = Pace(), RetryPolicy(), HeadStarts(), ShopifyRules()
_WEEK = 604_800


class Table(BaseModel):
    """Unknown keys are errors, nothing changes after loading, and pydantic shows no input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class Store(Table):
    """Where accepted orders are kept."""

    url: Annotated[str, AfterValidator(_store_url)] = "sqlite:relay.db"
    """`sqlite:PATH`, a relative path being relative to the working directory; or `memory:`, for a trial that forgets
    everything when it stops. PostgreSQL is not in this version."""

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


class Private(Table):
    """The listener for operators: health, metrics, API, console."""

    listen: Listen = Address("127.0.0.1", 9090)
    """Address and port; port 0 takes a free one. Any but loopback (127.0.0.0/8, ::1, localhost) needs a token."""
    token: HeaderSecret | None = None
    """Bearer token that guards everything but health and metrics."""
    token_file: Path | None = None
    """File that holds `token`."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.token is None and not self.listen.loopback:
            remedy = "set private.token_file (or private.token), or listen on 127.0.0.1"
            _refuse([Problem("listen", repr(str(self.listen)), "is open to others and no token guards it", remedy)])
        return self


class Retry(Table):
    """How an order is tried again: after a delay drawn evenly from zero to a bound that grows."""

    base_s: Number = Field(_RETRY.base_s, ge=0.01, le=3600)
    """Bound of the first delay, seconds."""
    factor: Number = Field(_RETRY.factor, ge=1, le=100)
    """By how much the bound grows with each attempt."""
    cap_s: Number = Field(_RETRY.cap_s, ge=0.01, le=86_400)
    """The bound never exceeds this, seconds."""
    max_age_s: Number = Field(_RETRY.max_age_s, ge=1, le=2_592_000)
    """An order that has failed for so long since its first attempt becomes a dead letter, seconds."""


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
            _refuse([Problem("new_s", _text(self.new_s), "would let updates go before new orders", remedy)])
        if self.update_s < self.replay_s:
            _refuse([Problem("update_s", _text(self.update_s), "would let replays go before updates", remedy)])
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
    """Bearer token of Jetti's API; required for `sync`."""
    token_file: Path | None = None
    """File that holds `token`."""
    channel_id: Annotated[int, Field(ge=1, le=2_147_483_647), BeforeValidator(_number)] | None = None
    """The channel's id in Jetti (not the custom channel's); required for `sync`."""
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
    in_flight_max: Whole = Field(32, ge=1, le=1000)
    """Requests in flight at the same time."""
    timeout_s: Number = Field(35, ge=1, le=300)
    """Time for one request, seconds. Jetti's load balancer cuts at 30 s; a little more shows its answer."""
    window: Whole = Field(1024, ge=1, le=100_000)
    """Deliveries kept in memory, the head of the backlog; the rest is on disk."""
    permanent_codes: Annotated[tuple[str, ...], BeforeValidator(_list)] = ()
    """Jetti's problem codes (`title`) that sending again cannot mend, besides the known ones: such an order becomes a
    dead letter at once."""
    retry: Retry = Retry()
    head_start: HeadStart = HeadStart()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = ("webhook_hash",) if self.mode == "async" else ("token", "channel_id")
        missing = [key for key in needed if getattr(self, key) is None]
        message = f'is required for mode = "{self.mode}"'
        problems = [Problem(key, _NOT_SET, message, _remedy_of_missing(key)) for key in missing]
        for key, url in (("async_url", self.async_url), ("api_url", self.api_url)):
            if url.startswith("http:") and not self.insecure_http and not _is_loopback(urlsplit(url).hostname or ""):
                remedy = "use https://, or set insecure_http = true for a sandbox in a private network"
                problems.append(Problem(key, repr(url), "would show the credentials to everyone on the way", remedy))
        _refuse(problems)
        return self

    @property
    def pace(self) -> Pace:
        return Pace(self.sync_rate, self.multiplier, self.burst)

    @property
    def import_mode(self) -> Mode:
        return Mode(self.mode)

    @property
    def retry_policy(self) -> RetryPolicy:
        return RetryPolicy(**self.retry.model_dump())

    @property
    def head_starts(self) -> HeadStarts:
        return HeadStarts(**self.head_start.model_dump())


class Storefront(Table):
    """What every kind of storefront has."""

    kind: Literal["shopify", "native"]
    channel: str
    """Name of the channel its orders go to."""
    secrets: tuple[SecretStr, ...]
    secrets_file: Path | None = None
    """File that holds `secrets`, one a line."""
    new_order_window_s: Number = Field(86_400, ge=0, le=31_536_000)
    """An unknown order that was created longer ago than this is an old order's update, seconds."""
    skip_unchanged: bool = True
    """Do not send an update that changes nothing Jetti would see; its event is kept either way."""
    property_style: PropertyStyle = "key"
    """Whether item properties go to Jetti as `key`/`value` or as `name`/`value`: its documents show both."""


class ShopifyStorefront(Storefront):
    """A Shopify shop; the keys of `ShopifyRules` have its names and its defaults."""

    kind: Literal["shopify"]
    """What sends the orders: a Shopify shop, or one that speaks Jetti's format (the drop-in paths, `/orders`)."""
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(_list)] = Field(min_length=1)
    """Any one of them may match, so that secrets can be rotated. `shopify`: what the webhooks are signed with.
    `native`: bearer token, and `jetti-webhook-hash` on the drop-in paths; no two native storefronts may share one."""
    money: Literal["shop", "presentment"] = _SHOPIFY.money
    """Amounts in the shop's currency, or in the one the buyer saw; one of them for the whole order."""
    discounts: Literal["gross", "net"] = _SHOPIFY.discounts
    """`gross`: prices before discounts, and the discounts' sum beside them; `net`: prices after discounts."""
    taxes: Literal["leave", "send"] = _SHOPIFY.taxes
    """`leave`: Jetti calculates; `send`: the order's tax, as a custom one."""
    test_orders: Literal["ignore", "send"] = _SHOPIFY.test_orders
    """Orders of the test gateway, and the admin's test notification."""
    variant: Literal["id", "sku", "both"] = _SHOPIFY.variant
    """What connects a line to Jetti's catalogue; a line without the one has the other."""
    custom_item_sku: Annotated[str, Field(min_length=1, max_length=255)] | None = _SHOPIFY.custom_item_sku
    """The SKU for items that have neither variant nor SKU; without it their orders cannot be mapped."""
    find_or_create_channel_variant: bool | None = _SHOPIFY.find_or_create_channel_variant
    """Jetti's option of this name; when not set, only where a line has no variant id, for which Jetti requires it."""
    removed_lines: Literal["zero", "omit"] = _SHOPIFY.removed_lines
    """Lines refunded or edited away: sent with quantity 0, or left out. A new order leaves them out."""
    gift_cards: Literal["unrouted", "send", "drop"] = _SHOPIFY.gift_cards
    """Gift cards: sent with `orderRouting: ignore`, sent like goods, or left out."""
    tips: Literal["drop", "send"] = _SHOPIFY.tips
    """Tips that are lines: left out, or sent like goods."""
    fallback_email: Annotated[str, AfterValidator(_email)] | None = _SHOPIFY.fallback_email
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    country: Literal["code", "name"] = _SHOPIFY.country
    """Countries as `IT` or as `Italy`; the other form is the fallback."""
    province: Literal["code", "name"] = _SHOPIFY.province
    """Provinces as `BA` or as `Bari`; the other form is the fallback."""
    company_in_line_two: bool = _SHOPIFY.company_in_line_two
    """Put an address's company, for which a sale has no column, in front of its second line."""
    service_level: Literal["none", "code", "source", "carrier_identifier"] = _SHOPIFY.service_level
    """Which field of a shipping line is its `serviceLevel`; Shopify has none that means it."""
    hidden_properties: bool = _SHOPIFY.hidden_properties
    """Send item properties whose name starts with an underscore, which storefronts hide by convention."""
    note_attributes: bool = _SHOPIFY.note_attributes
    """Append the order's additional details to its notes, a line each."""

    @property
    def rules(self) -> ShopifyRules:
        return ShopifyRules(**{field.name: getattr(self, field.name) for field in fields(ShopifyRules)})


class NativeStorefront(Storefront):
    """A storefront that speaks Jetti's own format: the drop-in paths and ``/orders``."""

    kind: Literal["native"]
    secrets: Annotated[tuple[HeaderSecret, ...], BeforeValidator(_list)] = Field(min_length=1)


class Log(Table):
    """What the relay writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written."""
    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: `console` on a terminal, `json` elsewhere."""


class Life(Table):
    """Starting and stopping."""

    shutdown_grace_s: Number = Field(20, ge=0, le=600)
    """After SIGTERM, time for requests in flight to end, seconds. Keep it below what the supervisor waits before it
    kills (Kubernetes: 30)."""


class Settings(BaseSettings):
    """The whole configuration. `load` makes one; nothing is read from the environment behind its back."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    store: Store = Store()
    public: Public = Public()
    private: Private = Private()
    channels: Mapping[Name, Channel] = Field(default_factory=dict)
    storefronts: Mapping[Name, Annotated[ShopifyStorefront | NativeStorefront, Field(discriminator="kind")]] = Field(
        default_factory=dict
    )
    log: Log = Log()
    life: Life = Life()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @classmethod
    def _settings_log_debug(cls, states: Mapping[str, object]) -> None:
        """Nothing: with PYDANTIC_SETTINGS_DEBUG the library would log every source as it is, secrets included."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse([*self._clashing_names(), *self._unknown_channels(), *self._shared_secrets(), *self._same_address()])
        return self

    def _clashing_names(self) -> Iterator[Problem]:
        for section, tables in (("channels", self.channels), ("storefronts", self.storefronts)):
            seen: dict[str, str] = {}
            for name in tables:
                other = seen.setdefault(name.replace("-", "_"), name)
                if other != name:
                    message = f"is the same as {section}.{other} in the name of an environment variable"
                    yield Problem(f"{section}.{name}", "", message, "choose names that differ in more than - and _")

    def _unknown_channels(self) -> Iterator[Problem]:
        for name, storefront in self.storefronts.items():
            if storefront.channel not in self.channels:
                near = _nearest(storefront.channel, self.channels)
                remedy = f'did you mean "{near}"?' if near else f"add the table [channels.{storefront.channel}]"
                known = f"; there are: {', '.join(self.channels)}" if self.channels else ""
                key = f"storefronts.{name}.channel"
                yield Problem(key, repr(storefront.channel), f"is no configured channel{known}", remedy)

    def _shared_secrets(self) -> Iterator[Problem]:
        owners: dict[str, str] = {}
        for name, storefront in self.storefronts.items():
            for secret in storefront.secrets if isinstance(storefront, NativeStorefront) else ():
                owner = owners.setdefault(secret.get_secret_value(), name)
                if owner != name:
                    message = f"are shared with storefronts.{owner}: a request could be from either"
                    yield Problem(f"storefronts.{name}.secrets", _SECRET, message, "give each its own secrets")

    def _same_address(self) -> Iterator[Problem]:
        if self.private.listen.port and self.private.listen == self.public.listen:
            value = repr(str(self.private.listen))
            yield Problem("private.listen", value, "is public.listen as well", "choose another port, such as 9090")

    def for_serving(self) -> Self:
        """These settings, if there is something to serve; a `ConfigError` says which table is missing."""
        examples = {"channels": _CHANNEL_EXAMPLE, "storefronts": _STOREFRONT_EXAMPLE}
        missing = [name for name in examples if not getattr(self, name)]
        if missing:
            message = "is empty: at least one is required to serve"
            raise ConfigError([Problem(name, "", message, f"add, for example:\n{examples[name]}") for name in missing])
        return self

    def redacted(self) -> dict[str, Any]:
        """The effective configuration as plain values, with "(secret)" in the place of each secret."""
        return self.model_dump(mode="json")


_CHANNEL_EXAMPLE = '[channels.main]\nmode = "async"\nwebhook_hash_file = "/run/secrets/jetti-webhook-hash"'
_STOREFRONT_EXAMPLE = '[storefronts.shop]\nkind = "shopify"\nchannel = "main"\nsecrets_file = "/run/secrets/shopify"'

# ---- loading -------------------------------------------------------------------------------------------------------

Values = dict[str, Any]
KeyPath = tuple[str, ...]


class _Layer(PydanticBaseSettingsSource):
    """Values from one place; pydantic-settings lays the layers over each other."""

    def __init__(self, values: Values) -> None:
        super().__init__(Settings)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        return self._values.get(field_name), field_name, False

    def __call__(self) -> Values:
        return self._values


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The configuration: environment over file over defaults.

    Without ``path`` the file is what RELAY_CONFIG names, else ``config.toml`` in the working directory if there is
    one, else there is none. Relative paths, of files and inside them, are relative to the working directory.

    Raises:
        ConfigError: with everything that is wrong.
    """
    settings, problems = _load(path or _default_file(environ), environ)
    del environ  # some tracebacks show local variables: no frame that raises may hold a secret
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def _load(path: Path | None, environ: Mapping[str, str]) -> tuple[Settings | None, list[Problem]]:
    file, problem = _read_toml(path)
    if problem is not None:
        return None, [problem]
    env, origins = _read_environment(environ, file)
    _drop_overridden(file, env)
    secrets: Values = {}
    problems = [*_read_secret_files(env, secrets), *_read_secret_files(file, secrets)]
    settings, errors = _validate((_Layer(env), _Layer(file), _Layer(secrets)))
    found = [problem for error in errors for problem in _explain(error)]
    problems += {(problem.key, problem.message): problem for problem in found}.values()  # once for all of a list
    return settings, [_with_origin(problem, origins) for problem in problems]


def _default_file(environ: Mapping[str, str]) -> Path | None:
    if named := environ.get("RELAY_CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _validate(layers: tuple[PydanticBaseSettingsSource, ...]) -> tuple[Settings | None, list[ErrorDetails]]:
    try:
        return Settings(_build_sources=(layers, {})), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _read_toml(path: Path | None) -> tuple[Values, Problem | None]:
    if path is None:
        return {}, None
    text, complaint = _read_text(path)
    if complaint is not None:
        return {}, Problem(str(path), "", complaint, _REMEDY_OF_NO_FILE)
    try:
        return tomllib.loads(text), None
    except (ValueError, RecursionError) as error:  # its text has the line and the column, and nothing of the value
        complaint = str(error)
    return {}, Problem(str(path), "", f"is not TOML: {complaint}", "mend that line; text goes between double quotes")


def _read_text(path: Path) -> tuple[str, str | None]:
    """The text of a file, or what is wrong with it."""
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_MAX + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        return "", "there is no such file"
    except OSError as error:
        return "", f"cannot be read: {error.strerror}"
    except ValueError:
        return "", "is not UTF-8 text"
    return (text, None) if len(raw) <= _FILE_MAX else ("", f"is larger than {_FILE_MAX} bytes")


def _read_environment(environ: Mapping[str, str], file: Values) -> tuple[Values, dict[KeyPath, str]]:
    """What the RELAY_ variables set, and which variable set what."""
    values: Values = {}
    origins: dict[KeyPath, str] = {}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in _NOT_KEYS and not _NOT_OURS.fullmatch(variable):
            path = _path_of_variable(variable, file)
            origins[path] = variable
            _put(values, path, environ[variable])
    return values, origins


def _path_of_variable(variable: str, file: Values) -> KeyPath:
    section, *rest = variable.removeprefix(PREFIX).lower().split("__")
    if section in {"channels", "storefronts"} and rest:
        # A variable's name has no "-": EU_WEST means the file's "eu-west" if there is one.
        tables = file.get(section)
        names = tables if isinstance(tables, dict) else {}
        rest[0] = next((name for name in names if name.replace("-", "_") == rest[0]), rest[0])
    return (section, *rest)


def _put(values: Values, path: KeyPath, value: object) -> None:
    *tables, key = path
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            return  # RELAY_LOG beside RELAY_LOG__LEVEL; the former is refused anyway
    values[key] = value


def _secret_places(values: Values) -> Iterator[tuple[KeyPath, Values, str]]:
    """Wherever a secret can stand: the path of its table, the table, the key."""
    for section, names in _SECRETS.items():
        tables = values.get(section)
        if isinstance(tables, dict):
            one = section == "private"
            within = {(section,): tables} if one else {(section, name): tables[name] for name in tables}
            for path, table in within.items():
                if isinstance(table, dict):
                    yield from ((path, table, name) for name in names)


def _drop_overridden(file: Values, env: Values) -> None:
    """A secret and its ``_file`` are one setting: whichever the environment sets replaces whichever the file sets."""
    in_env = {(path, key) for path, table, key in _secret_places(env) if key in table or f"{key}_file" in table}
    for path, table, key in _secret_places(file):
        if (path, key) in in_env:
            table.pop(key, None)
            table.pop(f"{key}_file", None)


def _read_secret_files(values: Values, secrets: Values) -> Iterator[Problem]:
    """Read into ``secrets`` what the ``_file`` keys name; yield what is wrong with them."""
    for path, table, key in _secret_places(values):
        named = table.get(f"{key}_file")
        if named is None:
            continue
        where, shown = ".".join((*path, f"{key}_file")), _shown(named)
        if key in table:
            yield Problem(where, shown, f"is set, and so is {key}", "keep one of the two")
        text, complaint = _read_text(Path(named)) if isinstance(named, str) else ("", None)
        lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
        entries = lines if key == "secrets" else text.rstrip("\r\n")
        if complaint is None and isinstance(named, str) and not entries:
            complaint = "is empty"
        if complaint is not None:
            yield Problem(where, shown, complaint, f"name a file that this user can read and that holds {key}")
        # What was named counts as set even so: one mistake is one problem.
        stand_in: object = [where] if key == "secrets" else where
        _put(secrets, (*path, key), entries or stand_in)


# ---- errors --------------------------------------------------------------------------------------------------------

_REMEDY_OF_NO_FILE = (
    "cp config.example.toml config.toml and fill it in; name another file with --config or RELAY_CONFIG"
)


def _path_of_error(loc: tuple[int | str, ...]) -> KeyPath:
    """The key: without a list entry's number, and without the kind that pydantic puts behind a storefront's name."""
    words = tuple(part for part in loc if isinstance(part, str) and part != "[key]")
    return words[:2] + words[3:] if words[:1] == ("storefronts",) else words


def _explain(error: ErrorDetails) -> Iterator[Problem]:
    """What pydantic found, in our words."""
    path, context = _path_of_error(error["loc"]), error.get("ctx", {})
    name, known = ".".join(path), _known().get(".".join(_pattern(path)))
    match error["type"]:
        case "problems":
            for problem in context["problems"]:
                yield replace(problem, key=".".join((*path, problem.key)))
        case "extra_forbidden":
            yield _unknown(path, known)
        case "missing":
            yield Problem(name, _NOT_SET, "is required", _remedy_of_missing(path[-1]))
        case "union_tag_not_found":
            yield Problem(
                f"{name}.kind", _NOT_SET, "is required", f"set kind = {_known()['storefronts.NAME.kind'].takes}"
            )
        case "union_tag_invalid":
            kinds = _known()["storefronts.NAME.kind"].takes
            yield Problem(f"{name}.kind", _shown(context["tag"]), "is no kind of storefront", f"set kind = {kinds}")
        case "wrong":
            value = "" if error["loc"][-1] == "[key]" else _shown(error["input"], known)
            yield Problem(name, value, context["message"], context["remedy"] or _remedy(known))
        case "too_short":
            yield Problem(name, "[]", "is empty", _remedy_of_missing(path[-1]))
        case _ if known is None:
            yield Problem(name, _NOT_SHOWN, "is a table and not a value", f"write [{name}] and its keys below it")
        case _:
            message = error["msg"].replace("Input should", "must").replace("Input is", "is")
            yield Problem(name, _shown(error["input"], known), message, _remedy(known))


def _shown(value: object, key: "Key | None" = None) -> str:
    """A value for an error: never a secret, a table, or an address with credentials in it."""
    if key is not None and key.secret:
        return _SECRET
    text = repr(value)
    hidden = isinstance(value, dict) or re.search(r":.*[@?]|passw|pwd", text, re.IGNORECASE)
    return _NOT_SHOWN if hidden else text if len(text) <= 100 else f"{text[:100]}…"


def _remedy(key: "Key | None") -> str:
    if key is None:
        return "see config.example.toml"
    return f"give {key.takes}" + (f"; the default is {key.default}" if key.default else "")


def _remedy_of_missing(key: str) -> str:
    secret = any(key in names for names in _SECRETS.values())
    return f"set {key}, or {key}_file to the path of a file that holds it" if secret else f"set {key}"


def _unknown(path: KeyPath, known: "Key | None") -> Problem:
    """An unknown key. Its value is not shown: it might be a secret under a misspelt name."""
    name, table = ".".join(path), path[:-1]
    if known is not None:
        kinds = " or ".join(f'"{kind}"' for kind in known.kinds)
        return Problem(name, _NOT_SHOWN, f"belongs to storefronts of kind {kinds}", "remove it, or change kind")
    near = _nearest_key(path)
    siblings = ", ".join(_children(_pattern(table)))
    remedy = f"did you mean {near}?" if near else f"remove it; known here: {siblings}"
    return Problem(name, _NOT_SHOWN, _UNKNOWN, remedy)


def _nearest_key(path: KeyPath) -> str | None:
    *table, word = path
    near = _nearest(word, _children(_pattern(tuple(table))))
    if near is not None:
        return ".".join((*table, near))
    elsewhere = [key for key in _known() if key.rpartition(".")[2] == word]
    return elsewhere[0] if elsewhere else _nearest(".".join(_pattern(path)), _known())


def _nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(word.lower(), list(known), n=1)), None)


def _children(table: KeyPath) -> list[str]:
    """The keys and tables directly below a table, in the order of the reference."""
    paths = [tuple(key.split(".")) for key in _known()]
    return list(
        dict.fromkeys(path[len(table)] for path in paths if len(path) > len(table) and path[: len(table)] == table)
    )


def _pattern(path: KeyPath) -> KeyPath:
    return (*path[:1], "NAME", *path[2:]) if len(path) > 1 and path[0] in {"channels", "storefronts"} else path


def _with_origin(problem: Problem, origins: Mapping[KeyPath, str]) -> Problem:
    """The problem in terms of the environment variable that caused it, if one did."""
    key = tuple(problem.key.split("."))
    path, variable = next(((path, name) for path, name in origins.items() if path[: len(key)] == key), ((), ""))
    if not variable or problem.value == _NOT_SET:
        return problem
    near = _nearest_key(key) if problem.message == _UNKNOWN else None
    remedy = f"did you mean {_variable((*near.split('.'), *path[len(key) :]))}?" if near else problem.remedy
    return replace(problem, origin=variable, remedy=remedy)


def _variable(path: KeyPath) -> str:
    return PREFIX + "__".join(path).upper().replace("-", "_")


# ---- the list of keys ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that can be configured."""

    name: str
    """``channels.NAME.sync_rate``"""
    takes: str
    """``a number from 0.001 to 1000000``"""
    default: str
    """As written in TOML; empty when there is none."""
    description: str
    secret: bool
    kinds: tuple[str, ...] = ()
    """The kinds of storefront that have it; empty for what belongs to no storefront."""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return _variable(tuple(self.name.split(".")))


def keys() -> Iterator[Key]:
    """Everything that can be configured, in the order of the tables; NAME stands for the operator's names."""
    yield from _known().values()


@cache
def _known() -> dict[str, Key]:
    schema = Settings.model_json_schema()
    known: dict[str, Key] = {}
    for key in _walk(schema, (), schema["$defs"]):
        first = known.setdefault(key.name, key)
        if first is not key:  # of two kinds
            takes = first.takes if first.takes == key.takes else f"{first.takes} or {key.takes}"
            known[key.name] = replace(first, takes=takes, kinds=first.kinds + key.kinds)
    return known


def _walk(node: Values, path: KeyPath, definitions: Values, kinds: KeyPath = ()) -> Iterator[Key]:
    if "$ref" in node:
        node = {**definitions[node["$ref"].rpartition("/")[2]], **node}
    if isinstance(named := node.get("additionalProperties"), dict):
        yield from _walk(named, (*path, "NAME"), definitions)
    elif "oneOf" in node:
        for option in node["oneOf"]:
            table = definitions[option["$ref"].rpartition("/")[2]]
            yield from _walk(table, path, definitions, (table["properties"]["kind"]["const"],))
    elif "properties" in node:
        for name, child in node["properties"].items():
            yield from _walk(child, (*path, name), definitions, kinds)
    else:
        default = "" if node.get("default") is None else _text(node["default"])
        secret = "writeOnly" in json.dumps(node)
        yield Key(".".join(path), _takes(node), default, " ".join(node.get("description", "").split()), secret, kinds)


def _takes(node: Values) -> str:
    """What a key takes, in words, from its JSON schema."""
    if "anyOf" in node:
        node = node["anyOf"][0]  # the other one is null: not set
    if "const" in node or "enum" in node:
        return " or ".join(_text(value) for value in node.get("enum", [node.get("const")]))
    if node["type"] in {"integer", "number"}:
        noun = "a whole number" if node["type"] == "integer" else "a number"
        return f"{noun} from {_text(node['minimum'])} to {_text(node['maximum'])}"
    if node["type"] == "array":
        return "a list of texts"
    return "true or false" if node["type"] == "boolean" else "a path" if node.get("format") == "path" else "text"


def _text(value: object) -> str:
    """A value as TOML writes it (for the types we have, JSON does the same)."""
    if isinstance(value, dict):  # how JSON schema shows the default of an address
        value = str(Address(**value))
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value, ensure_ascii=False)


def reference() -> str:
    """The tables of ``docs/reference/configuration.md``, as Markdown."""
    lines: list[str] = []
    heading = ""
    for key in keys():
        table, _, name = key.name.rpartition(".")
        if table != heading:
            heading = table
            lines += ["", f"### `[{table}]`", "", "| key | takes | default | meaning |", "|---|---|---|---|"]
        only = f"Only for `{key.kinds[0]}`. " if len(key.kinds) == 1 else ""
        default = f"`{key.default}`" if key.default else "none"
        lines.append(f"| `{name}` | {key.takes} | {default} | {only}{key.description} |")
    return "\n".join(lines).strip() + "\n"
