"""A yes or no about an order, by an expression over the storefront's JSON: ``accept_when``, ``ignore_when``."""

from dataclasses import dataclass

from relay.core.recipe import document
from relay.core.recipe.compiling import Compiler
from relay.core.recipe.evaluation import Evaluation
from relay.core.recipe.expression import Expression
from relay.core.recipe.functions import Unevaluable
from relay.core.recipe.rule import is_yes
from relay.core.sale import Reason

STEPS_MAX = 100_000
"""Steps of one criterion, 15 ms at the most: it may be asked inside a request."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """A compiled criterion. Made by :func:`compile_criterion`."""

    key: str
    expression: Expression

    def holds(self, body: bytes) -> bool | Reason:
        """Whether it holds for a webhook's body; the reason, if that cannot be told. Never raises."""
        value = document.decoded(body)
        return value if isinstance(value, Reason) else self.holds_for(value)

    def holds_for(self, value: object) -> bool | Reason:
        """The same of a body that is decoded already."""
        try:
            return is_yes(Evaluation(value, STEPS_MAX).of(self.expression, value))
        except Unevaluable as error:
            return Reason("", f"{self.key} ({self.expression.text[:60]}): {error}")


def compile_criterion(given: object, key: str) -> Criterion:
    """The criterion of an expression. Raises :class:`~relay.core.recipe.compiling.RecipeError`."""
    to = Compiler()
    expression = to.expression(key, given)
    to.finish()
    assert expression is not None  # noqa: S101 - else there was a fault
    return Criterion(key, expression)
