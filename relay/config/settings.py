"""The tables together, and what they must agree on."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from relay.config.kinds import kind_of
from relay.config.kinds.native import NativeStorefront
from relay.config.kinds.thin import ThinStorefront
from relay.config.kinds.union import ByKind
from relay.config.problems import NOT_SET, SECRET, ConfigError, Problem, nearest, refuse
from relay.config.storefronts import Storefront
from relay.config.tables import (
    Channel,
    Life,
    Log,
    Private,
    Public,
    Retention,
    Store,
    Tracing,
    remedy_of_missing,
)
from relay.config.values import Name

_PLACEHOLDER = re.compile(r"change-?me|^0+$", re.IGNORECASE)
"""In the example's secrets; a hexadecimal one has no letters to say it with."""
_CHANNEL_EXAMPLE = '[channels.main]\nmode = "async"\nwebhook_hash_file = "/run/secrets/jetti-webhook-hash"'
_STOREFRONT_EXAMPLE = '[storefronts.shop]\nkind = "shopify"\nchannel = "main"\nsecrets_file = "/run/secrets/shopify"'


class Settings(BaseSettings):
    """The whole configuration. `load` makes one; nothing is read from the environment behind its back."""

    # Built when it is first used: the packages that have kinds of storefront import this one.
    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    store: Store = Store()
    public: Public = Public()
    private: Private = Private()
    channels: Mapping[Name, Channel] = Field(default_factory=dict)
    storefronts: Mapping[Name, Annotated[Storefront, ByKind]] = Field(default_factory=dict)
    retention: Retention = Retention()
    log: Log = Log()
    tracing: Tracing = Tracing()
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
        refuse(
            [
                *self._clashing_names(),
                *self._unknown_channels(),
                *self._uncallable(),
                *self._shared_secrets(),
                *self._same_address(),
                *self._without_source(),
            ]
        )
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
                near = nearest(storefront.channel, self.channels)
                remedy = f'did you mean "{near}"?' if near else f"add the table [channels.{storefront.channel}]"
                known = f"; there are: {', '.join(self.channels)}" if self.channels else ""
                key = f"storefronts.{name}.channel"
                yield Problem(key, repr(storefront.channel), f"is no configured channel{known}", remedy)

    def _uncallable(self) -> Iterator[Problem]:
        for name, channel in self.channels.items():
            calling = [other for other, storefront in self.storefronts.items() if self._calls(storefront, name)]
            for key in ("token", "channel_id") if calling else ():
                if getattr(channel, key) is None:
                    message = f'is required for cancellations = "call" of storefronts.{calling[0]}'
                    remedy = remedy_of_missing(key, secret=key == "token")
                    yield Problem(f"channels.{name}.{key}", NOT_SET, message, remedy)

    @staticmethod
    def _calls(storefront: Storefront, channel: str) -> bool:
        return storefront.channel == channel and storefront.calls_off

    @property
    def cancelling(self) -> list[str]:
        """Channels whose sales are cancelled through Jetti's API."""
        return [name for name in self.channels if any(self._calls(s, name) for s in self.storefronts.values())]

    def _shared_secrets(self) -> Iterator[Problem]:
        owners: dict[str, str] = {}
        for name, storefront in self.storefronts.items():
            for secret in storefront.secrets if isinstance(storefront, NativeStorefront) else ():
                owner = owners.setdefault(secret.get_secret_value(), name)
                if owner != name:
                    message = f"are shared with storefronts.{owner}: a request could be from either"
                    yield Problem(f"storefronts.{name}.secrets", SECRET, message, "give each its own secrets")

    def _same_address(self) -> Iterator[Problem]:
        if self.private.listen.port and self.private.listen == self.public.listen:
            value = repr(str(self.private.listen))
            yield Problem("private.listen", value, "is public.listen as well", "choose another port, such as 9090")

    def _without_source(self) -> Iterator[Problem]:
        for name, storefront in self.storefronts.items():
            kind, complaint = kind_of(storefront), ""
            try:
                kind.source(storefront)
            except ValueError as error:
                complaint = str(error)
            except Exception as error:  # noqa: BLE001 - another package's source may raise anything
                complaint = f"its source raised {type(error).__name__}, which it never should: report it to its author"
            if complaint:
                remedy = f'see the keys of kind = "{kind.name}" in docs/reference/configuration.md'
                yield Problem(f"storefronts.{name}", "", complaint, remedy)

    def for_serving(self) -> Self:
        """These settings, if there is something to serve; a `ConfigError` says which table is missing."""
        examples = {"channels": _CHANNEL_EXAMPLE, "storefronts": _STOREFRONT_EXAMPLE}
        missing = [name for name in examples if not getattr(self, name)]
        if missing:
            message = "is empty: at least one is required to serve"
            raise ConfigError([Problem(name, "", message, f"add, for example:\n{examples[name]}") for name in missing])
        return self

    @property
    def thin(self) -> dict[str, ThinStorefront]:
        """Storefronts whose webhooks only name an order, which is fetched from their API."""
        return {name: table for name, table in self.storefronts.items() if isinstance(table, ThinStorefront)}

    def sharing(self) -> dict[str, list[str]]:
        """Channels that several storefronts lead to with the same prefix of ids, and which."""
        leading: dict[tuple[str, str], list[str]] = {}
        for name, storefront in self.storefronts.items():
            leading.setdefault((storefront.channel, storefront.external_id_prefix or ""), []).append(name)
        shared: dict[str, list[str]] = {}
        for (channel, _), names in leading.items():
            if len(names) > 1:
                shared.setdefault(channel, []).extend(names)
        return shared

    def placeholders(self) -> list[str]:
        """Keys that still have the example's secret: whoever knows the example could sign orders with it."""
        secrets: list[tuple[str, SecretStr | None]] = [*self.private.keyed.items()]
        secrets.append(("tracing.headers", self.tracing.headers))
        for name, storefront in self.storefronts.items():
            secrets += [(f"storefronts.{name}.{key}", secret) for key, secret in storefront.every_secret()]
        for name, channel in self.channels.items():
            secrets.append((f"channels.{name}.webhook_hash", channel.webhook_hash))
            secrets.append((f"channels.{name}.token", channel.token))
        return list(
            dict.fromkeys(key for key, secret in secrets if secret and _PLACEHOLDER.search(secret.get_secret_value()))
        )

    def redacted(self) -> dict[str, Any]:
        """The effective configuration as plain values, with "(secret)" in the place of each secret."""
        return self.model_dump(mode="json")
