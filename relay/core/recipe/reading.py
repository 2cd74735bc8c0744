"""How the generic ways in read an order from a webhook's JSON: by a recipe, or as a manual sale.

Expressions always see the whole JSON as it came. A manual sale may also be in the ``data`` of an envelope
``{"type", "timestamp", "data"}``, as Standard Webhooks recommends.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from relay.core import manual_sale
from relay.core import sale as sales
from relay.core.instant import Instant
from relay.core.recipe import document
from relay.core.recipe.criterion import STEPS_MAX, Criterion
from relay.core.recipe.evaluation import Evaluation
from relay.core.recipe.expression import Expression
from relay.core.recipe.functions import Unevaluable
from relay.core.recipe.making import Facts, Recipe
from relay.core.sale import Reason
from relay.core.sources import Cancel, Identified, Ignore, Mapped, NotUnderstood, Unmappable, Upsert, moment
from relay.core.sources.values import is_plain

Meaning = Literal["upsert", "cancel", "ignore"]
"""What a webhook of one type says: the order is so; it is cancelled or deleted; nothing about an order."""

MEANINGS: tuple[tuple[str, Meaning], ...] = (
    ("*.created", "upsert"),
    ("*.updated", "upsert"),
    ("*.cancelled", "cancel"),
    ("*.canceled", "cancel"),
    ("*.deleted", "cancel"),
)


@dataclass(frozen=True, slots=True)
class Types:
    """What the types of a storefront's webhooks mean: the first pattern that matches, in any case of letters."""

    meanings: tuple[tuple[str, Meaning], ...] = MEANINGS
    """Patterns with ``*`` for anything."""
    others: Meaning = "ignore"

    def meaning(self, topic: str) -> Meaning:
        """What a type means; a webhook that names none is about an order."""
        if not topic:
            return "upsert"
        found = (means for pattern, means in self.meanings if fnmatchcase(topic.lower(), pattern.lower()))
        return next(found, self.others)


@dataclass(frozen=True, slots=True)
class Reading:
    """How orders are read from a storefront's JSON."""

    recipe: Recipe | None = None
    """``None``: the JSON is a manual sale."""
    ignore_when: Criterion | None = None
    """Webhooks for which it is true are not wanted."""
    types: Types = Types()

    def identify(self, value: object, topic: str, key: str, version: Instant | None = None) -> Identified:
        """Which order a decoded body (or the :class:`Reason` why there is none) is about.

        ``version``: when the storefront says that it was so, if the order itself does not say.
        """
        facts = (value,) if isinstance(value, Reason) else self._facts(value, topic)
        if isinstance(facts, tuple):
            return NotUnderstood(facts, key, topic)
        if isinstance(facts, str):
            return Ignore(facts, key, topic)
        if facts.version is not None or (self.recipe is not None and self.recipe.sequence is not None):
            version = facts.version  # a time is never in the place of a number
        external_id, called, created_at = facts.external_id, facts.reference, facts.created_at
        if facts.cancelled:
            return Cancel(external_id, version, key, topic, called, created_at, complete=facts.whole)
        return Upsert(external_id, version, key, topic, called, created_at)

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The order as a manual sale, cancelled if the topic says so."""
        value = document.decoded(body)
        if isinstance(value, Reason):
            return Unmappable((value,))
        cancelled = self.types.meaning(topic) == "cancel"
        if self.recipe is not None:
            return self.recipe.make(value, cancelled=cancelled)
        payload, root = enclosed(value)
        made = manual_sale.parse_payload(payload)
        if isinstance(made, Unmappable):
            return Unmappable(tuple(Reason(root + reason.pointer, reason.message) for reason in made.reasons))
        return Mapped(sales.cancelled(made.sale), made.notes) if cancelled else made

    def _facts(self, value: object, topic: str) -> Facts | str | tuple[Reason, ...]:
        """What the body says; in words why it is not wanted; or why that cannot be told."""
        meaning = self.types.meaning(topic)
        if meaning == "ignore":
            return f"{topic}: the storefront's types do not say that it is about an order"
        unwanted = False if self.ignore_when is None else self.ignore_when.holds_for(value)
        if isinstance(unwanted, Reason):
            return (unwanted,)
        if unwanted:
            return f"{topic or 'the webhook'}: ignore_when holds for it"
        cancelled = meaning == "cancel"
        return self._of_sale(value, cancelled) if self.recipe is None else self.recipe.facts(value, cancelled=cancelled)

    @staticmethod
    def _of_sale(value: object, cancelled: bool) -> Facts | tuple[Reason, ...]:
        payload, root = enclosed(value)
        head = manual_sale.head_of(payload)
        if isinstance(head, Reason):
            return (Reason(root + head.pointer, head.message),)
        whole = isinstance(payload, dict) and bool(payload.get("lineItems"))
        cancelled = cancelled or head.cancelled
        return Facts(head.external_id, head.version, head.reference, head.created_at, cancelled, whole)


def enclosed(value: object) -> tuple[object, str]:
    """The manual sale in a body and its JSON pointer: the body, or the ``data`` of its envelope."""
    return (value["data"], "/data") if _is_envelope(value) and isinstance(value, dict) else (value, "")


def type_of(value: object) -> str:
    """The ``type`` of an envelope, if it can be stored; nothing where there is none."""
    found = value.get("type") if _is_envelope(value) and isinstance(value, dict) else None
    return found if isinstance(found, str) and is_plain(found) else ""


def timestamp_of(value: object) -> Instant | None:
    """When, as its envelope says, what a body tells happened."""
    return moment(value.get("timestamp")) if _is_envelope(value) and isinstance(value, dict) else None


def _is_envelope(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("data"), dict) and "externalId" not in value


def told(value: object, expression: Expression) -> str:
    """A short text that an expression finds in a decoded body; nothing where it finds none that could be stored."""
    try:
        found: Any = Evaluation(value, STEPS_MAX).of(expression, value)
    except Unevaluable:
        return ""
    text = sales.identifier(found) or ""
    return text if is_plain(text) else ""
