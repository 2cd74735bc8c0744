"""What the generic kinds share: storefronts whose JSON a mapping reads, or which send manual sales, signed."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from relay.config.problems import Problem, wrong
from relay.config.recipes import OpenTable, as_table, faults_of
from relay.config.storefronts import Storefront
from relay.core.recipe import compile_criterion, compile_recipe
from relay.core.recipe.expression import Expression
from relay.core.recipe.reading import MEANINGS, Meaning, Reading, Types


def _meanings(table: Mapping[str, Any]) -> Mapping[str, Any]:
    if any(meaning not in get_args(Meaning) for meaning in table.values()):
        raise wrong("has a meaning that there is not", 'write { "order.placed" = "upsert" }; or "cancel", or "ignore"')
    return table


Meanings = Annotated[
    Mapping[str, Any],
    BeforeValidator(as_table),
    AfterValidator(_meanings),
    WithJsonSchema({"type": "object", "takes": "a table of patterns, each upsert, cancel or ignore"}),
]


class ReadableStorefront(Storefront):
    """A storefront whose webhooks hold manual sales, or any JSON that a mapping reads."""

    hidden_properties: bool = True
    mapping: OpenTable | None = None
    """How its JSON becomes a manual sale: see [the mapping language](mapping.md). When not set, the body is a manual
    sale, or the `data` of an envelope `{"type", "timestamp", "data"}` is."""
    ignore_when: str | None = None
    """Webhooks for which this expression over their JSON is true are kept and not sent."""
    types: Meanings = Field(default=dict(MEANINGS))
    """What the types of its webhooks mean, the first pattern that matches, with `*` for anything: an order as it is
    (`upsert`), a cancellation (`cancel`), nothing (`ignore`). A webhook without a type is about an order."""
    other_types: Literal["upsert", "cancel", "ignore"] = "ignore"
    """What a type means that matches none of `types`."""
    topic_path: str | None = None
    """Where in its JSON the type of a webhook is, an expression; when not set, an envelope's `type`."""

    def faults(self) -> Iterator[Problem]:
        yield from super().faults()
        yield from faults_of(lambda: self.reading)
        yield from faults_of(lambda: self.topic)

    @property
    def reading(self) -> Reading:
        """How its orders are read."""
        return Reading(
            None if self.mapping is None else compile_recipe(self.mapping),
            None if self.ignore_when is None else compile_criterion(self.ignore_when, "ignore_when"),
            Types(tuple(self.types.items()), self.other_types),
        )

    @property
    def topic(self) -> Expression | None:
        """``topic_path``, compiled."""
        return expression(self.topic_path, "topic_path")


def expression(given: str | None, key: str) -> Expression | None:
    """A key that holds an expression, compiled. Raises :class:`~relay.core.recipe.RecipeError`."""
    return None if given is None else compile_criterion(given, key).expression
