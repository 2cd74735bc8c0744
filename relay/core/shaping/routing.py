"""Who fulfils a line: in-house, a dropshipper, whoever Jetti picks, or nobody.

An ordered list of rules; the first one that matches a line decides about it. What the storefront itself says of a
line's routing stays, unless that first rule has ``overrule``. So routing twice is the same as routing once. Rules see
the line as the storefront has it: before it is split, hidden properties included.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import translate
from typing import Final, Literal, get_args

from relay.core.recipe import Criterion, Fault
from relay.core.sale import LineItem, Property, Reason, Sale
from relay.core.shaping.conditions import Conditions, condition
from relay.core.shaping.tables import Table

Route = Literal["fulfill", "dropship", "ignore", "automated"]
RULES_MAX = 200
_GLOB_MAX_CHARACTERS = 255
_FIELDS: Final = ("order_routing", "manual_routing", "warehouse_id", "dropship_provider_id")
_NEEDED: Final = {"fulfill": "warehouse_id", "dropship": "dropship_provider_id"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: whatever it names must match; of several values of one key, any one. Made by :func:`rule`.

    A rule that names nothing matches every line: the last one of a list may say what is to be done with the rest.
    """

    route: Route
    warehouse_id: str | None = None
    dropship_provider_id: str | None = None
    overrule: bool = False
    """Also where the storefront itself says how the line is routed."""
    skus: tuple[re.Pattern[str], ...] = ()
    variants: frozenset[str] = frozenset()
    """Variants' external ids."""
    properties: tuple[tuple[str, re.Pattern[str] | None], ...] = ()
    """A property's key, and what its value looks like if that matters."""
    tags: tuple[re.Pattern[str], ...] = ()
    countries: frozenset[str] = frozenset()
    """Of the shipping address, case folded."""
    storefronts: frozenset[str] = frozenset()
    vendors: tuple[re.Pattern[str], ...] = ()
    """Of the ``vendor`` of the storefront's own line."""
    when: Criterion | None = None
    """See :mod:`relay.core.shaping.conditions`."""

    @property
    def reads_document(self) -> bool:
        """Whether it looks at the storefront's own document."""
        return self.when is not None or bool(self.vendors)

    def fits_sale(self, sale: Sale, storefront: str) -> bool:
        """Whether it matches, as far as the sale as a whole decides that."""
        defaults = sale.sale_defaults
        return (
            (not self.storefronts or storefront in self.storefronts)
            and (not self.countries or (defaults.shipping_country or "").casefold() in self.countries)
            and (not self.tags or any(_looks_like(tag, self.tags) for tag in defaults.tags or ()))
        )

    def fits_line(self, line: LineItem) -> bool:
        """Whether it matches, as far as simple keys of the line decide that."""
        variant = line.variant
        return (
            (not self.skus or (variant is not None and _looks_like(variant.sku, self.skus)))
            and (not self.variants or (variant is not None and variant.external_id in self.variants))
            and (not self.properties or any(_has(line.properties or (), key, form) for key, form in self.properties))
        )

    @property
    def update(self) -> dict[str, str]:
        """The fields of a line that it routes."""
        match self.route:
            case "fulfill":
                return manual("fulfill", "warehouse_id", self.warehouse_id)
            case "dropship":
                return manual("dropship", "dropship_provider_id", self.dropship_provider_id)
            case _:
                return {"order_routing": self.route}


def manual(routing: str, field: str, of: str | None) -> dict[str, str]:
    """The fields of a line that is routed by hand."""
    return {"order_routing": "manual", "manual_routing": routing} | ({} if of is None else {field: of})


def rule(given: object, key: str, faults: list[Fault]) -> Rule | None:
    """The rule of a table; ``None`` if something is wrong with it."""
    before = len(faults)
    table = Table(given, key, faults)
    route = table.choice("route", get_args(Route))
    if table.value("route") is None:
        table.wrong("route", f"is required: one of {', '.join(get_args(Route))}")
    made = Rule(
        route=route or "automated",  # type: ignore[arg-type]  # one of Route's words: choice() has seen to it
        warehouse_id=table.identifier("warehouse_id"),
        dropship_provider_id=table.identifier("dropship_provider_id"),
        overrule=table.flag("overrule") or False,
        skus=_globs(table, "sku"),
        variants=frozenset(table.texts("variant")),
        properties=_wanted_properties(table),
        tags=_globs(table, "tag"),
        countries=frozenset(country.casefold() for country in table.texts("country")),
        storefronts=frozenset(table.texts("storefront")),
        vendors=_globs(table, "vendor"),
        when=condition(table, "when"),
    )
    if route is not None:
        _check_target(table, made)
    table.finish()
    return made if len(faults) == before else None


def _check_target(table: Table, made: Rule) -> None:
    for route, name in _NEEDED.items():
        if made.route != route and table.value(name) is not None:
            table.wrong(name, f'goes with route = "{route}" only: remove it, or change route')
        elif made.route == route and table.value(name) is None:
            table.wrong(name, f'is required with route = "{route}"')


def _globs(table: Table, name: str) -> tuple[re.Pattern[str], ...]:
    return tuple(_glob(text) for text in table.texts(name, characters_max=_GLOB_MAX_CHARACTERS))


def _glob(text: str) -> re.Pattern[str]:
    return re.compile(translate(text))


def _wanted_properties(table: Table) -> tuple[tuple[str, re.Pattern[str] | None], ...]:
    wanted = []
    for text in table.texts("property"):
        key, equals, form = text.partition("=")
        if not key:
            table.wrong("property", 'expected a property\'s key, or "key=pattern"')
        wanted.append((key, _glob(form) if equals else None))
    return tuple(wanted)


def route(
    sale: Sale, lines: Sequence[LineItem], rules: Sequence[Rule], conditions: Conditions, *, storefront: str,
    notes: list[Reason],
) -> tuple[LineItem, ...]:  # fmt: skip
    """The sale's ``lines``, routed."""
    fitting = [(number, rule) for number, rule in enumerate(rules, 1) if rule.fits_sale(sale, storefront)]
    made = []
    for i, line in enumerate(lines):
        found = _first(fitting, i, line, conditions)
        made.append(line if found is None else _routed(line, i, *found, notes))
    return tuple(made)


def _first(
    rules: Sequence[tuple[int, Rule]], i: int, line: LineItem, conditions: Conditions
) -> tuple[int, Rule] | None:
    for number, rule in rules:
        if not rule.fits_line(line) or (rule.vendors and not _looks_like(conditions.vendor(i), rule.vendors)):
            continue
        if rule.when is None or conditions.hold(rule.when, f"routing rule {number}", i):
            return number, rule
    return None


def _routed(line: LineItem, i: int, number: int, rule: Rule, notes: list[Reason]) -> LineItem:
    said = {field: value for field in _FIELDS if (value := getattr(line, field)) is not None}
    update = rule.update
    if said == update or (said and not rule.overrule):
        return line
    if said:
        notes.append(Reason(f"/lineItems/{i}/orderRouting", f"replaced by routing rule {number}, which overrules it"))
    return with_routing(line, update)


def is_routed(line: LineItem) -> bool:
    """Whether something is said already of who fulfils a line."""
    return any(getattr(line, field) is not None for field in _FIELDS)


def with_routing(line: LineItem, update: dict[str, str]) -> LineItem:
    """The line with this routing and no other; what is not set is not sent."""
    routed = line.model_copy(update={field: update.get(field) for field in _FIELDS})
    routed.model_fields_set.difference_update(field for field in _FIELDS if field not in update)
    return routed


def _looks_like(text: str | None, forms: Sequence[re.Pattern[str]]) -> bool:
    return text is not None and any(form.match(text) for form in forms)


def _has(properties: Sequence[Property], key: str, form: re.Pattern[str] | None) -> bool:
    return any(item.key == key and (form is None or _value_is(item.value, form)) for item in properties)


def _value_is(value: object, form: re.Pattern[str]) -> bool:
    if isinstance(value, list | tuple):  # one per unit: any of them
        return any(_value_is(one, form) for one in value if not isinstance(one, list | tuple))
    if isinstance(value, bool):
        value = "true" if value else "false"
    return isinstance(value, str | int | Decimal) and form.match(str(value)) is not None
