"""One entry of a recipe: where a field's value comes from, and what is done to it.

Steps, in this order: ``when``; the value (``path``, ``template`` or ``const``); ``map``; ``decimal`` and
``minor_units``; ``date``; ``default``. Null and blank text are *nothing*, at the start and so all the way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from relay.core import exact, instant
from relay.core.instant import Instant
from relay.core.recipe.conversion import DateFormat, in_major_units, minor_digits, ungrouped
from relay.core.recipe.evaluation import Evaluation, is_true
from relay.core.recipe.expression import Expression
from relay.core.recipe.functions import TEXT_MAX, Unevaluable

__all__ = ["Rule", "is_true", "is_yes"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled entry."""

    key: str
    """Where it stands: ``mapping.line_items.price``."""
    path: Expression | None = None
    template: tuple[str | Expression, ...] | None = None
    const: object = None
    """A constant, if there is neither path nor template."""
    default: object = None
    """What stands in for nothing, and for what ``table`` does not have."""
    when: Expression | None = None
    """If this is not true, there is nothing (and no default)."""
    table: Mapping[str, object] | None = None
    decimal: Literal[",", "."] | None = None
    minor_units: int | Expression | None = None
    date: DateFormat | None = None
    bare: bool = False
    """Only a path, nothing else to do."""

    @property
    def source(self) -> str:
        """What it says, for a message: the expression, cut at 60 characters."""
        if self.path is None:
            return "a template" if self.template is not None else "a constant"
        text = self.path.text
        return text if len(text) <= 60 else text[:60] + "…"

    @property
    def pointer(self) -> str | None:
        """Where in what it is evaluated on the value is, if that is one place."""
        return self.path.pointer if self.path is not None else None

    def value(self, evaluation: Evaluation, current: object) -> object:
        """The field's value, dates as ISO 8601 text, null for nothing. Raises :class:`Unevaluable`."""
        if self.bare and self.path is not None:
            return _something(evaluation.of(self.path, current), evaluation)
        found = self._converted(evaluation, current)
        return instant.iso(found) if self.date is not None and isinstance(found, int) else found

    def moment(self, evaluation: Evaluation, current: object) -> Instant | None:
        """The instant of a rule with a date format. Raises :class:`Unevaluable`."""
        found = self._converted(evaluation, current)
        return found if isinstance(found, int) else None

    def _converted(self, evaluation: Evaluation, current: object) -> object:
        if self.when is not None and not is_yes(evaluation.of(self.when, current)):
            return None
        found = _something(self._found(evaluation, current), evaluation)
        if found is not None and self.table is not None:
            found = self._looked_up(found)
        stands_in = found is None
        if stands_in:
            found = self.default
        if found is None:
            return None
        try:
            if not stands_in:
                found = self._as_number(found, evaluation, current)
            return found if self.date is None else self.date.read(found)
        except ValueError as error:
            raise Unevaluable(str(error)) from None

    def _found(self, evaluation: Evaluation, current: object) -> object:
        if self.path is not None:
            return evaluation.of(self.path, current)
        if self.template is None:
            return self.const
        parts = [part if isinstance(part, str) else _shown(evaluation.of(part, current)) for part in self.template]
        texts = [part for part in parts if part is not None]
        if len(texts) < len(parts):
            return None
        if sum(map(len, texts)) > TEXT_MAX:
            raise Unevaluable(f"the text would be longer than {TEXT_MAX} characters")
        return "".join(texts)

    def _looked_up(self, found: object) -> object:
        table = self.table or {}
        key = _shown(found) or ""
        if key in table:
            return table[key]
        if self.default is None:
            raise Unevaluable("a value that its map does not have: add it to the map, or a default")
        return None

    def _as_number(self, found: object, evaluation: Evaluation, current: object) -> object:
        if self.decimal is not None:
            found = exact.decimal(ungrouped(found, self.decimal))
        if self.minor_units is not None:
            units = self.minor_units
            digits = units if isinstance(units, int) else minor_digits(evaluation.of(units, current))
            found = in_major_units(found, digits)
        return found


def is_yes(value: object) -> bool:
    """Whether what an order says means yes: JMESPath's truth, but 0, ``"0"`` and ``"false"`` are no.

    In an expression 0 is true (``a || b``); as the answer to "is it cancelled?" that would be fatal.
    """
    if isinstance(value, str):
        return value.strip().lower() not in ("", "0", "false")
    return is_true(value) and value != 0


def _something(value: object, evaluation: Evaluation) -> object:
    if isinstance(value, str):
        evaluation.charge(len(value) // 64)
        return value if value and not value.isspace() else None
    if isinstance(value, list | dict):
        evaluation.weigh(value)
    return value


def _shown(value: object) -> str | None:
    """A value in a template, and as a key of a map: ``true`` and ``5`` as JSON writes them."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        try:
            return str(exact.decimal(value))
        except ValueError:
            raise Unevaluable("a number of more than 100 characters") from None
    if value is None:
        return None
    raise Unevaluable(f"expected text or a number, found {exact.kind(value)}")
