"""What the table of every storefront has, whatever its kind; the kinds are in :mod:`relay.config.kinds`."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from relay.config.problems import Problem, refuse
from relay.config.recipes import OpenTable, OpenTables, Switch, faults_of
from relay.config.samples import Sample, faults_of_samples
from relay.config.tables import Table
from relay.config.values import Number, Secret, Share, as_list
from relay.core.recipe import Criterion, Override, compile_criterion, compile_override
from relay.core.sale import PropertyStyle
from relay.core.shaping import Shape, compiled

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

_SHAPING = (
    "external_id_prefix",
    "prefix_lines",
    "reference",
    "options",
    "find_or_create_channel_variant",
    "hidden_properties",
    "split_lines",
    "routing",
    "per_line",
)


class Storefront(Table):
    """What every kind of storefront has. The table of a kind is a subclass, with a ``kind`` of its own."""

    in_source: ClassVar[frozenset[str]] = frozenset()
    """Which of the keys that shape a sale the kind's source sees to, so that they are not done again."""

    kind: str
    """What sends the orders."""
    channel: str
    """Name of the channel its orders go to."""
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """What proves that a webhook is the storefront's. Any one of them may match, so that they can be rotated."""
    secrets_file: Path | None = None
    """File that holds `secrets`, one a line."""
    new_order_window_s: Number = Field(86_400, ge=0, le=31_536_000)
    """An unknown order that was created longer ago than this is an old order's update, seconds."""
    skip_unchanged: bool = True
    """Do not send an update that changes nothing Jetti would see; its event is kept either way."""
    property_style: PropertyStyle = "key"
    """Whether item properties go to Jetti as `key`/`value` or as `name`/`value`: its documents show both."""
    refuse_at: Share = 0.8
    """The share of each limit (`queue_max`, `disk_free_min_bytes`, `backlog_max`) from which its events are refused
    with 503: below 1 for a storefront that sends a refused webhook again, so that one that never does goes first."""
    accept_when: str | None = None
    """An order is held, visible and unsent, until this expression over the storefront's JSON is true, for example
    `financial_status == 'paid'`; see [the mapping language](mapping.md)."""
    cancellations: Literal["fields", "call"] = "fields"
    """How a cancellation gets to Jetti: `fields`, columns of the sale (`cancelled`, `cancelledAt` …); or `call`, the
    documented cancel call of Jetti's API once the order's newest state is delivered, for which its channel needs
    `token` and `channel_id`. Then the sale has none of those columns."""
    cancelled_unsent: Literal["send", "leave"] | None = None
    """An order that is cancelled before anything of it was sent to Jetti: `send` it, cancelled; or `leave` it unsent,
    visible as `ignored`. When not set: `send` with `cancellations = "fields"`, `leave` with `"call"`."""
    override: OpenTable | None = None
    """Single fields of the sale, by expressions over `{"sale": …, "order": …}`; see
    [the mapping language](mapping.md#override)."""
    external_id_prefix: str | None = None
    """In front of each order's external id, where storefronts that number their orders alike share a channel."""
    prefix_lines: bool = False
    """Also in front of the lines' external ids."""
    reference: str | None = None
    """What the customer's order is called at Jetti: a template with `{reference}`, `{external_id}` and
    `{storefront}`."""
    options: OpenTable | None = None
    """Jetti's import options by their own names; they replace what the order says."""
    find_or_create_channel_variant: bool | None = None
    """Jetti's option `findOrCreateChannelVariant`, for every order. When not set: as the manual sale or the mapping
    says; for other kinds only where a line has nothing that Jetti's catalogue knows, for which Jetti requires it."""
    hidden_properties: bool = False
    """Send item properties whose key starts with an underscore, which storefronts hide by convention."""
    split_lines: Switch = False
    """One line per unit, `<line id>_<1…n>`; as a table it has `ids`, `removed_units`, `per_unit_properties` and `when`;
    see [split lines](mapping.md#split-lines)."""
    routing: OpenTables = ()
    """Who fulfils a line, the first rule that matches; see [routing](mapping.md#routing)."""
    per_line: OpenTable | None = None
    """Item properties by which a line decides for itself who fulfils it and whether it is split: `warehouse_id`,
    `dropship_provider_id`, `route`, `split`; see [what a line decides for itself](mapping.md#per-line)."""
    tests: Annotated[tuple[Sample, ...], BeforeValidator(as_list)] = ()
    """Samples of its webhooks, each with what is expected of it; `order-relay check` tries them."""

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        refuse(list(self.faults()))
        return self

    def faults(self) -> Iterator[Problem]:
        """What is wrong with the keys that are compiled; those of a kind are added in its class."""
        yield from faults_of(lambda: self.shape)
        yield from faults_of(lambda: self.criterion)
        yield from faults_of(lambda: self.overriding)
        yield from faults_of_samples(self.tests)

    @property
    def shape(self) -> Shape:
        """What is done to every sale."""
        return compiled({name: getattr(self, name) for name in _SHAPING if name not in self.in_source})

    @property
    def criterion(self) -> Criterion | None:
        """``accept_when``, compiled."""
        return None if self.accept_when is None else compile_criterion(self.accept_when, "accept_when")

    @property
    def overriding(self) -> Override | None:
        """``override``, compiled."""
        return None if self.override is None else compile_override(self.override)

    @property
    def calls_off(self) -> bool:
        """Whether a cancellation is a call of its own."""
        return self.cancellations == "call"

    @property
    def leaves_cancelled(self) -> bool:
        """Whether what is cancelled before it was sent stays unsent."""
        return (self.cancelled_unsent or ("leave" if self.calls_off else "send")) == "leave"

    @property
    def secret_texts(self) -> tuple[str, ...]:
        """The secrets themselves."""
        return shown(self.secrets)

    def every_secret(self) -> Iterator[tuple[str, SecretStr]]:
        """All its secrets, each with its key."""
        for key in type(self).model_fields:
            value = getattr(self, key)
            for secret in value if isinstance(value, tuple) else (value,):
                if isinstance(secret, SecretStr):
                    yield key, secret

    def rules_as(self, rules: type[R]) -> R:
        """The rules of a source, each from the key of its name."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(rules)}
        return rules(**values)


def shown(secrets: tuple[SecretStr, ...]) -> tuple[str, ...]:
    """Secrets, for those who use them."""
    return tuple(secret.get_secret_value() for secret in secrets)
