"""Single fields of a sale that is already made, by expressions: ``[storefronts.NAME.override]``.

The language is the recipe's. Expressions see ``{"sale": …, "order": …}``: the sale as it was made, as JSON, and the
storefront's JSON; those of ``line_items`` see one line of the sale, and the two under ``root()``. Where an entry finds
nothing, the field stays what it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from relay.core import sale as sales
from relay.core.recipe import document
from relay.core.recipe.compiling import Compiler
from relay.core.recipe.evaluation import Evaluation
from relay.core.recipe.functions import Unevaluable
from relay.core.recipe.making import NOTHING, Section, put
from relay.core.sale import Reason
from relay.core.sources import Mapped, Unmappable


@dataclass(frozen=True, slots=True)
class Override:
    """A compiled override. Made by :func:`compile_override`."""

    sale_defaults: Section = NOTHING
    customer: Section = NOTHING
    options: Section = NOTHING
    line_items: Section = NOTHING

    def apply(self, mapped: Mapped, order: object) -> Mapped | Unmappable:
        """The sale with the fields changed, or every reason why that makes none; ``order`` is the storefront's JSON,
        decoded. Never raises."""
        encoded = sales.encode(mapped.sale)
        payload, as_made = document.of_sale(encoded), document.of_sale(encoded)
        evaluation = Evaluation({"sale": as_made, "order": order})
        reasons: list[Reason] = []
        for name, section in (
            ("saleDefaults", self.sale_defaults),
            ("customer", self.customer),
            ("options", self.options),
        ):
            for path, value in _values(section, evaluation, evaluation.root, reasons):
                put(payload, (name, *path), value)
        if self.line_items.fields:
            for index, (line, before) in enumerate(zip(payload["lineItems"], as_made["lineItems"], strict=True)):
                evaluation.item, evaluation.index = before, index
                for path, value in _values(self.line_items, evaluation, before, reasons):
                    put(line, path, value)
        if reasons:
            return Unmappable(tuple(reasons[:20]))
        made = sales.parse(payload)
        if isinstance(made, tuple):
            return Unmappable(tuple(Reason("", f"override: {r.pointer or 'the sale'}: {r.message}") for r in made[:20]))
        return replace(mapped, sale=made)


def _values(
    section: Section, evaluation: Evaluation, current: object, reasons: list[Reason]
) -> "list[tuple[tuple[str, ...], object]]":
    found = []
    for path, rule in section.fields:
        try:
            value = rule.value(evaluation, current)
        except Unevaluable as error:
            reasons.append(Reason("", f"{rule.key} ({rule.source}): {error}"))
            continue
        if value is not None:
            found.append((path, value))
    return found


def compile_override(given: Mapping[str, object], key: str = "override") -> Override:
    """The override of a TOML table, decoded. Raises :class:`~relay.core.recipe.compiling.RecipeError`."""
    to = Compiler()
    to.known(key, given, ("sale", "customer", "options", "line_items"))
    lines = to.table(f"{key}.line_items", given.get("line_items"))
    for name in ("externalId", "external_id"):
        if name in lines:
            to.fault(f"{key}.line_items.{name}", "cannot be changed: fulfilments and later updates find the line by it")
    made = Override(
        to.section(f"{key}.sale", to.table(f"{key}.sale", given.get("sale")), sales.SaleDefaults),
        to.section(f"{key}.customer", to.table(f"{key}.customer", given.get("customer")), sales.Customer),
        to.section(f"{key}.options", to.table(f"{key}.options", given.get("options")), sales.Options),
        to.line_section(f"{key}.line_items", lines, ("variant", "sku", "properties", "external_id", "externalId")),
    )
    to.finish()
    return made
