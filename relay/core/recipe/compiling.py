"""From a table of the configuration to a recipe, with every fault at once.

The whole language, by example, is in the reference; in one table:

=============================  ======================================================================================
table                          entries
=============================  ======================================================================================
``mapping``                    ``external_id`` (required), ``version`` or ``sequence``, ``created_at``, ``cancelled``
``mapping.sale``               columns of Jetti's sale (``saleDefaults``)
``mapping.customer``           ``email`` (required) and the other fields of Jetti's customer
``mapping.line_items``         ``each`` (required), ``externalId``, ``quantity``, ``price`` (required), ``sku`` or
                               ``variant.externalId`` (one of them required), and the other fields of a line
``….line_items.properties``    ``key``, ``value`` (required), and ``each`` for several
``mapping.shipping``           ``code``, ``name``, ``serviceLevel``, ``price``, and ``each`` for several
``mapping.options``            Jetti's options
=============================  ======================================================================================

``line_items``, ``properties`` and ``shipping`` may be lists of such tables. Names are Jetti's, in its camel case or in
snake case; ``extra`` is a table for names that Jetti has and the relay does not know. An entry is text (an
expression), another value (a constant), or a table (see :mod:`relay.core.recipe.rule`).
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel, to_snake

from relay.core import exact
from relay.core import sale as sales
from relay.core.recipe.conversion import MINOR_UNITS_MAX, DateFormat, date_format
from relay.core.recipe.expression import Expression, WrongExpression, compiled
from relay.core.recipe.making import Group, Recipe, Section
from relay.core.recipe.rule import Rule

_ENTRY = ("path", "template", "const", "default", "when", "map", "decimal", "minor_units", "date", "timezone")
_MOMENTS = frozenset({"cancelledAt", "channelCancelledAt", "dateOrdered"})
_ROUTED = frozenset({"manualRouting", "orderRouting"})
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_EXAMPLE = 'write an expression such as "order.id", or a table such as {path = "order.id", default = "…"}'
_TEXT_MAX = 2000


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a table."""

    key: str
    """Where: ``mapping.line_items.price``."""
    message: str
    """What, and what to do about it."""
    position: int | None = None
    """In an expression, of the first character that is wrong, from 0."""

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class RecipeError(ValueError):
    """A table that cannot be compiled, with everything that is wrong with it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


@dataclass(slots=True)
class Compiler:
    """Collects the faults of one table."""

    faults: list[Fault] = field(default_factory=list)

    def fault(self, key: str, message: str, position: int | None = None) -> None:
        self.faults.append(Fault(key, message, position))

    def finish(self) -> None:
        """Raise what was found."""
        if self.faults:
            raise RecipeError(tuple(self.faults))

    # Entries

    def expression(self, key: str, given: object, *, in_items: bool = False) -> Expression | None:
        if not isinstance(given, str):
            self.fault(key, "expected an expression in quotes, such as \"order.status == 'cancelled'\"")
            return None
        try:
            return compiled(given, in_items=in_items)
        except WrongExpression as error:
            self.fault(key, str(error), error.position)
            return None

    def rule(self, key: str, given: object, *, in_items: bool = False, moment: bool = False) -> Rule | None:
        """One entry. ``moment``: a date, in ISO 8601 unless it says otherwise."""
        before = len(self.faults)
        if isinstance(given, Mapping):
            made = self._table(key, given, in_items=in_items, moment=moment)
        elif isinstance(given, str):
            path = self.expression(key, given, in_items=in_items)
            made = Rule(key, path=path, date=DateFormat("iso") if moment else None, bare=not moment)
        elif moment:
            self.fault(key, "expected an expression for a date")
            made = None
        else:
            made = Rule(key, const=self.constant(key, given))
        return made if len(self.faults) == before else None

    def _table(self, key: str, given: Mapping[str, object], *, in_items: bool, moment: bool) -> Rule:
        before = len(self.faults)
        self.known(key, given, _ENTRY)
        sources = [name for name in ("path", "template", "const") if name in given]
        if len(sources) > 1 or (not sources and len(self.faults) == before):
            found = "none" if not sources else " and ".join(sources)
            self.fault(key, f"expected one of path, template and const, found {found}: {_EXAMPLE}")
        if "const" in given and "default" in given:
            self.fault(f"{key}.default", "a constant needs no default: take one of them away")
        made = {
            name: self.expression(f"{key}.{name}", given[name], in_items=in_items)
            for name in ("path", "when")
            if name in given
        }
        return Rule(
            key,
            path=made.get("path"),
            template=self._template(f"{key}.template", given.get("template"), in_items=in_items),
            const=self.constant(f"{key}.const", given.get("const")),
            default=self.constant(f"{key}.default", given.get("default")),
            when=made.get("when"),
            table=self._map(f"{key}.map", given.get("map")),
            decimal=self._decimal(f"{key}.decimal", given.get("decimal")),
            minor_units=self._minor_units(f"{key}.minor_units", given.get("minor_units"), in_items=in_items),
            date=self._date(key, given, moment=moment),
        )

    def known(self, key: str, given: Mapping[str, object], names: "tuple[str, ...] | frozenset[str]") -> None:
        """Fault what is not one of these names, with the nearest one that is."""
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(str(name), names, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(names))}"
                self.fault(f"{key}.{name}", f"is not known: {hint}")

    def constant(self, key: str, given: object, depth: int = 0) -> Any:
        """A TOML value as JSON has it, numbers exact."""
        if isinstance(given, float):
            try:
                return exact.number(repr(given))
            except ValueError:
                self.fault(key, "expected a number such as 19.9")
        elif isinstance(given, str | bool | int | Decimal) or given is None:
            return given
        elif depth < 8 and isinstance(given, list | tuple):
            return [self.constant(key, element, depth + 1) for element in given]
        elif depth < 8 and isinstance(given, Mapping):
            return {str(name): self.constant(key, element, depth + 1) for name, element in given.items()}
        else:
            self.fault(key, "expected text, a number, true or false; write dates as text in quotes")
        return None

    def _template(self, key: str, given: object, *, in_items: bool) -> tuple[str | Expression, ...] | None:
        if given is None:
            return None
        if not isinstance(given, str) or len(given) > _TEXT_MAX:
            self.fault(key, f'expected text of at most {_TEXT_MAX} characters, such as "#{{order.number}}"')
            return None
        before = len(self.faults)
        parts: list[str | Expression] = []
        end = 0
        for found in _PLACEHOLDER.finditer(given):
            parts.append(given[end : found.start()])
            end = found.end()
            if found[1] is not None:
                expression = self.expression(key, found[1], in_items=in_items)
                parts.extend(() if expression is None else (expression,))
            elif len(found[0]) == 2:
                parts.append(found[0][0])
            else:
                self.fault(key, "a brace without its other half; write {{ or }} for one that is meant", found.start())
        parts.append(given[end:])
        if len(self.faults) == before and not any(isinstance(part, Expression) for part in parts):
            self.fault(key, "there is no {expression} in it: use const for a constant")
        return tuple(part for part in parts if part != "")

    def _map(self, key: str, given: object) -> Mapping[str, object] | None:
        if given is None:
            return None
        if not isinstance(given, Mapping) or not given:
            self.fault(key, 'expected a table of values, such as {open = "notPaid", settled = "paid"}')
            return None
        return {str(name): self.constant(f"{key}.{name}", value) for name, value in given.items()}

    def _decimal(self, key: str, given: object) -> Any:
        if given not in (None, ",", "."):
            self.fault(key, 'expected "," for 1.234,50 or "." for 1,234.50')
        return given if given in (",", ".") else None

    def _minor_units(self, key: str, given: object, *, in_items: bool) -> int | Expression | None:
        if given is None or (isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= MINOR_UNITS_MAX):
            return given
        if isinstance(given, str):
            return self.expression(key, given, in_items=in_items)
        self.fault(
            key, f"expected 0 to {MINOR_UNITS_MAX} digits (2 for cents), or an expression for the currency's code"
        )
        return None

    def _date(self, key: str, given: Mapping[str, object], *, moment: bool) -> DateFormat | None:
        form, zone = given.get("date", "iso" if moment else None), given.get("timezone", "UTC")
        if form is None:
            if "timezone" in given:
                self.fault(f"{key}.timezone", 'goes with date: add date = "iso", or what the format is')
            return None
        if not isinstance(form, str) or not isinstance(zone, str):
            self.fault(f"{key}.date", 'expected text, such as "unix"')
            return None
        try:
            return date_format(form, zone)
        except ValueError as error:
            self.fault(f"{key}.{'timezone' if 'time zone' in str(error) else 'date'}", str(error))
            return None

    # Tables

    def table(self, key: str, given: object) -> Mapping[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self.fault(key, f"expected a table: write [{key}] and its keys below it")
            return {}
        return given

    def tables(self, key: str, given: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """One table, or a list of some."""
        if isinstance(given, list | tuple):
            for position, one in enumerate(given):
                yield f"{key}[{position}]", self.table(key, one)
        elif given is not None:
            yield key, self.table(key, given)

    def section(
        self,
        key: str,
        given: Mapping[str, Any],
        model: type[BaseModel],
        *,
        apart: tuple[str, ...] = (),
        in_items: bool = False,
    ) -> Section:
        """The fields of one object of the sale. ``apart``: entries that are no fields."""
        names = {alias: alias for alias in _aliases(model)} | {name: to_camel(name) for name in model.model_fields}
        for name in apart:
            names.pop(name, None)
        fields: dict[tuple[str, ...], Rule] = {}
        rest = {name: entry for name, entry in given.items() if name not in apart and name != "extra"}
        self.known(key, {name: None for name in rest if name not in names}, frozenset(names) | {*apart, "extra"})
        for name, entry in rest.items():
            if (alias := names.get(name)) is not None:
                self._field(fields, (alias,), f"{key}.{name}", entry, model=model, in_items=in_items)
        for name, entry in self.table(f"{key}.extra", given.get("extra")).items():
            self._field(fields, (name,), f"{key}.extra.{name}", entry, in_items=in_items)
        return Section(tuple(fields.items()), key)

    def _field(
        self,
        fields: dict[tuple[str, ...], Rule],
        path: tuple[str, ...],
        key: str,
        entry: object,
        *,
        model: type[BaseModel] | None = None,
        in_items: bool,
    ) -> None:
        if path in fields:
            self.fault(key, f"is given twice: {fields[path].key} is the same field")
            return
        rule = self.rule(key, entry, in_items=in_items, moment=path[-1] in _MOMENTS)
        if rule is None:
            return
        fields[path] = rule
        if model is not None:
            self._check_constants(rule, model, path[-1])

    def _check_constants(self, rule: Rule, model: type[BaseModel], alias: str) -> None:
        """A constant that Jetti would refuse is known now, not when an order comes."""
        about = next((info for name, info in model.model_fields.items() if to_camel(name) == alias), None)
        if about is None or rule.minor_units is not None or rule.decimal is not None:
            return
        values = (rule.const, rule.default, *(rule.table or {}).values())
        annotation: Any = about.annotation
        for constraint in about.metadata:
            annotation = Annotated[annotation, constraint]
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        for value in values:
            if value is None:
                continue
            try:
                adapter.validate_python(value)
            except ValidationError as error:
                self.fault(rule.key, error.errors(include_url=False)[0]["msg"].replace("Input should be", "expected"))
                return

    def required(self, key: str, section: Section, *paths: tuple[str, ...]) -> None:
        """Fault what is not there, unless it is there and already faulted."""
        faulted = {fault.key for fault in self.faults}
        for path in paths:
            names = {f"{key}.{path[-1]}", f"{key}.{to_snake(path[-1])}"}
            if section.rule(*path) is None and not any(at.startswith(tuple(names)) for at in faulted):
                self.fault(".".join((key, *path)), f"is required: {_EXAMPLE}")

    def lines(self, key: str, given: object) -> tuple[Group, ...]:
        return tuple(self._line(at, one) for at, one in self.tables(key, given))

    def _line(self, key: str, given: Mapping[str, Any]) -> Group:
        apart = ("each", "properties", "variant", "sku")
        section = self.line_section(key, given, apart)
        each = self.expression(f"{key}.each", given["each"]) if "each" in given else None
        if "each" not in given:
            self.fault(f"{key}.each", 'is required: the list of the items, such as "order.items"')
        self.required(key, section, ("externalId",), ("quantity",), ("price",))
        if section.rule("variant", "externalId") is None and section.rule("variant", "sku") is None:
            self.fault(f"{key}.sku", "is required, or variant.externalId is: what connects a line to Jetti's catalogue")
        properties = tuple(
            self.group(at, one, sales.Property, (("key",), ("value",)), in_items=True)
            for at, one in self.tables(f"{key}.properties", given.get("properties"))
        )
        return Group(key, each, section, properties)

    def line_section(self, key: str, given: Mapping[str, Any], apart: tuple[str, ...]) -> Section:
        """A line's fields, with those of its variant."""
        section = self.section(key, given, sales.LineItem, apart=apart, in_items=True)
        inner = self.section(
            f"{key}.variant", self.table(f"{key}.variant", given.get("variant")), sales.Variant, in_items=True
        )
        fields = dict(section.fields) | {("variant", *path): rule for path, rule in inner.fields}
        if "sku" in given:
            self._field(fields, ("variant", "sku"), f"{key}.sku", given["sku"], in_items=True)
        return Section(tuple(fields.items()), key)

    def group(
        self,
        key: str,
        given: Mapping[str, Any],
        model: type[BaseModel],
        required: tuple[tuple[str, ...], ...] = (),
        *,
        in_items: bool,
    ) -> Group:
        """Entries of a list, or one."""
        each = self.expression(f"{key}.each", given["each"], in_items=in_items) if "each" in given else None
        section = self.section(key, given, model, apart=("each",), in_items=in_items or "each" in given)
        self.required(key, section, *required)
        return Group(key, each, section)


def _aliases(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(to_camel(name) for name in model.model_fields)


def compile_recipe(given: Mapping[str, object], key: str = "mapping") -> Recipe:
    """The recipe of a TOML table, decoded. Raises :class:`RecipeError` with everything that is wrong.

    ``key`` is the table's name, with which the key of each fault begins. Reads the time zone database if a
    ``timezone`` other than UTC is named, so compile at the start, not in a request.
    """
    to = Compiler()
    facts = ("external_id", "version", "sequence", "created_at", "cancelled")
    if "version" in given and "sequence" in given:
        to.fault(f"{key}.sequence", "an order has one version, a time or a number: remove sequence, or version")
    to.known(key, given, (*facts, "sale", "customer", "line_items", "shipping", "options"))
    external_id = to.rule(f"{key}.external_id", given["external_id"]) if "external_id" in given else None
    if "external_id" not in given:
        to.fault(f"{key}.external_id", f"is required: {_EXAMPLE}")
    moments = {
        name: to.rule(f"{key}.{name}", given[name], moment=True) for name in ("version", "created_at") if name in given
    }
    customer = to.section(f"{key}.customer", to.table(f"{key}.customer", given.get("customer")), sales.Customer)
    to.required(f"{key}.customer", customer, ("email",))
    lines = to.lines(f"{key}.line_items", given.get("line_items"))
    if not lines:
        to.fault(
            f"{key}.line_items", f"is required: write [{key}.line_items] with each, externalId, quantity, price and sku"
        )
    sale = to.section(f"{key}.sale", to.table(f"{key}.sale", given.get("sale")), sales.SaleDefaults)
    created_at = moments.get("created_at")
    if created_at is not None and sale.rule("dateOrdered") is None:
        sale = Section((*sale.fields, (("dateOrdered",), created_at)), sale.key)
    shipping = tuple(
        to.group(at, one, sales.Shipping, in_items=False)
        for at, one in to.tables(f"{key}.shipping", given.get("shipping"))
    )
    recipe = Recipe(
        external_id or Rule(f"{key}.external_id"),
        moments.get("version"),
        created_at,
        to.rule(f"{key}.cancelled", given["cancelled"]) if "cancelled" in given else None,
        sale,
        customer,
        to.section(f"{key}.options", to.table(f"{key}.options", given.get("options")), sales.Options),
        lines,
        shipping,
        to.rule(f"{key}.sequence", given["sequence"]) if "sequence" in given else None,
    )
    to.finish()
    return recipe
