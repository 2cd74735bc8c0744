"""Conditions on one line of a sale: ``when``, in routing rules and in ``split_lines``.

Over ``{"line": …, "sale": …, "order": …, "item": …}``: the line and the sale in Jetti's form, the order as it came, and
the storefront's own line in it. ``item`` is null where a line comes from none, or nobody says from which.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from relay.core import exact
from relay.core import sale as sales
from relay.core.recipe import Criterion, RecipeError, compile_criterion
from relay.core.recipe.evaluation import Evaluation, is_true
from relay.core.recipe.functions import Unevaluable
from relay.core.sale import Reason, Sale
from relay.core.shaping.tables import Table
from relay.core.sources.values import text

_values = msgspec.json.Decoder(float_hook=exact.number)


def condition(table: Table, name: str) -> Criterion | None:
    """A table's key that holds a condition, compiled."""
    given = table.value(name)
    if given is None:
        return None
    try:
        return compile_criterion(given, table.key(name))
    except RecipeError as error:
        table.faults.extend(error.faults)
        return None


class Conditions:
    """The conditions on one sale, all within one budget; what they look at is made when one is first asked."""

    def __init__(self, sale: Sale, document: object, origins: Sequence[str | None], notes: list[Reason]) -> None:
        self._sale = sale
        self._document = document
        self._origins = origins
        self._notes = notes
        self._told: set[str] = set()
        self._payload: Any = None
        self._evaluation = Evaluation(None)

    def item(self, i: int) -> object:
        """The storefront's own line; ``None`` where it is not known."""
        pointer = self._origins[i] if i < len(self._origins) else None
        return None if pointer is None else _at(self._document, pointer)

    def vendor(self, i: int) -> str | None:
        """Who makes or sells what is on a line, as the storefront's own line says."""
        item = self.item(i)
        return text(item.get("vendor")) if isinstance(item, dict) else None

    def hold(self, when: Criterion, whose: str, i: int) -> bool:
        """Whether a condition is true of a line. One that has no value is not, and a note says so once."""
        if self._payload is None:
            self._payload = _values.decode(sales.encode(self._sale))
        sale = self._payload
        about = {"line": sale["lineItems"][i], "sale": sale, "order": self._document, "item": self.item(i)}
        self._evaluation.root = about
        try:
            return is_true(self._evaluation.of(when.expression, about))
        except Unevaluable as error:
            if whose not in self._told:
                self._told.add(whose)
                message = f"the condition of {whose} has no value here and so does not match: {error}"
                self._notes.append(Reason(f"/lineItems/{i}", message))
            return False


def _at(document: object, pointer: str) -> object:
    """What a JSON pointer leads to; ``None`` where it leads nowhere."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document
