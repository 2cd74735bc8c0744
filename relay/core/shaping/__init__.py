"""What is done to a sale after its source has made it: the same for every kind of storefront.

In this order: lines are routed (:mod:`.per_line`, :mod:`.routing`); hidden properties are left out; the reference is
written by its template; options are set; ids get their prefix; lines are split by unit (:mod:`.splitting`). Routing,
hidden properties and options come to the same when they are done again; the reference, the prefix and splitting do not.

All of it is off by default, and then costs nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from relay.core import exact
from relay.core import sale as sales
from relay.core.recipe import Fault, RecipeError
from relay.core.sale import LineItem, Reason, Sale
from relay.core.shaping import per_line as lines_own
from relay.core.shaping import reference as references
from relay.core.shaping import routing as routes
from relay.core.shaping import splitting as units_of
from relay.core.shaping.conditions import Conditions
from relay.core.shaping.memory import units_in
from relay.core.shaping.per_line import PerLine
from relay.core.shaping.reference import RESULT_MAX, Template
from relay.core.shaping.routing import RULES_MAX, Rule
from relay.core.shaping.splitting import Splitting
from relay.core.shaping.tables import Table
from relay.core.sources import Unmappable

__all__ = ["PLAIN", "Shape", "Shaped", "compiled", "shape", "units_in"]

PREFIX_MAX = 100
"""Characters of the prefix of ids."""
OPTIONS_MAX = 50
_FIND_OR_CREATE = "findOrCreateChannelVariant"

Scalar = str | int | bool | Decimal


@dataclass(frozen=True, slots=True)
class Shape:
    """What an operator wants done to every sale of a storefront. The defaults change nothing.

    Made from tables by :func:`compiled`.
    """

    external_id_prefix: str = ""
    """In front of the sale's externalId, where two storefronts that number their orders alike share a channel."""
    prefix_lines: bool = False
    """Also in front of lines' externalIds. Not by default: Jetti's own documentation makes lines' ids from SKUs, which
    come again in other sales, so they need only be unique within one; and fulfilments come back with them, in which
    the shop looks for the ids it knows."""
    reference: Template | None = None
    """What the customer's order is called at Jetti."""
    options: Mapping[str, Scalar] = field(default_factory=dict)
    """Jetti's import options, by their own names; they replace what the sale says."""
    find_or_create_channel_variant: bool | None = None
    """Jetti's option of this name, whatever the sale says; ``None`` leaves it as it is."""
    hidden_properties: bool = True
    """Send item properties whose key starts with an underscore, which storefronts hide by convention."""
    split_lines: Splitting | None = None
    """One line per unit."""
    routing: tuple[Rule, ...] = ()
    """The first rule that matches a line decides who fulfils it."""
    per_line: PerLine | None = None
    """What a line may decide for itself."""

    @property
    def reads_document(self) -> bool:
        """Whether it looks at the storefront's own document."""
        split_when = self.split_lines is not None and self.split_lines.when is not None
        return split_when or any(rule.reads_document for rule in self.routing)


PLAIN = Shape()


@dataclass(frozen=True, slots=True)
class Shaped:
    """The sale as it is to be sent, and what a person should know that was lost or assumed on the way."""

    sale: Sale
    notes: tuple[Reason, ...] = ()
    """Their pointers are into the sale, as it was before lines were split."""


def compiled(given: Mapping[str, object], key: str = "") -> Shape:
    """The shape of plain values as TOML has them; ``None`` counts as not written.

    Raises :class:`~relay.core.recipe.RecipeError` with every fault there is; their keys begin with ``key``.
    """
    faults: list[Fault] = []
    table = Table(given, key, faults)
    hidden = table.flag("hidden_properties")
    per_line = lines_own.per_line(table.value("per_line"), table.key("per_line"), faults)
    split_lines = units_of.splitting(table.value("split_lines"), table.key("split_lines"), faults)
    if split_lines is None and per_line is not None and per_line.split is not None:
        split_lines = units_of.ONLY_WHAT_ASKS
    made = Shape(
        external_id_prefix=table.text("external_id_prefix", characters_max=PREFIX_MAX) or "",
        prefix_lines=table.flag("prefix_lines") or False,
        reference=_reference(table),
        options=_options(table),
        find_or_create_channel_variant=table.flag("find_or_create_channel_variant"),
        hidden_properties=hidden is not False,
        split_lines=split_lines,
        routing=_rules(table),
        per_line=per_line,
    )
    if made.prefix_lines and not made.external_id_prefix:
        table.wrong("prefix_lines", "needs external_id_prefix: set it, or remove this")
    table.finish()
    if faults:
        raise RecipeError(tuple(faults))
    return PLAIN if made == PLAIN else made


def _reference(table: Table) -> Template | None:
    text = table.text("reference", characters_max=references.TEMPLATE_MAX)
    if text is None:
        return None
    try:
        return references.template(text)
    except ValueError as error:
        table.wrong("reference", str(error))
        return None


def _options(table: Table) -> dict[str, Scalar]:
    given = table.value("options")
    if given is None:
        return {}
    if not isinstance(given, Mapping) or len(given) > OPTIONS_MAX:
        table.wrong("options", f"expected a table of at most {OPTIONS_MAX} options")
        return {}
    options: dict[str, Scalar] = {}
    for name, value in given.items():
        key = f"{table.key('options')}.{name}"
        scalar = _scalar(value)
        if name == _FIND_OR_CREATE:
            table.faults.append(Fault(key, "has a key of its own: set find_or_create_channel_variant instead"))
        elif sales.identifier(name) is None:
            table.faults.append(Fault(key, "expected the option's name, 1 to 255 printable characters"))
        elif scalar is None:
            table.faults.append(Fault(key, "expected text, a number, true or false"))
        else:
            options[name] = scalar
    return options


def _scalar(value: object) -> Scalar | None:
    if isinstance(value, str | bool):
        return value
    try:
        return exact.number(repr(value)) if isinstance(value, float) else exact.decimal(value)
    except ValueError:
        return None


def _rules(table: Table) -> tuple[Rule, ...]:
    given = table.value("routing")
    if given is None:
        return ()
    if not isinstance(given, list | tuple) or len(given) > RULES_MAX:
        table.wrong("routing", f"expected a list of at most {RULES_MAX} rules")
        return ()
    rules = [routes.rule(one, f"{table.key('routing')}[{i}]", table.faults) for i, one in enumerate(given)]
    return tuple(rule for rule in rules if rule is not None)


def shape(
    sale: Sale, document: object, by: Shape, *, storefront: str, units: Mapping[str, int] | None = None,
    origins: Sequence[str | None] = (),
) -> Shaped | Unmappable:  # fmt: skip
    """The sale in this shape. Never raises.

    ``document`` is the decoded body that the sale was made from (:attr:`Shape.reads_document`: else it may be
    anything); ``units`` is what :func:`units_in` finds in the sale that was sent for this order last; ``origins`` as in
    :class:`~relay.core.sources.Mapped`.
    """
    if by is PLAIN:
        return Shaped(sale)
    notes: list[Reason] = []
    conditions = Conditions(sale, document, origins, notes)
    lines = _routed(sale, by, conditions, storefront, notes)
    chosen = _to_split(by, lines, conditions, notes)
    if not by.hidden_properties:
        lines = tuple(_without_hidden(i, line, notes) for i, line in enumerate(lines))
    changes = _renamed(sale, by, storefront, notes) | _with_options(sale, by, notes)
    if by.external_id_prefix:
        reasons = _unprefixable(sale, by)
        if reasons:
            return Unmappable(reasons)
        changes["external_id"] = by.external_id_prefix + sale.external_id
    prefix = by.external_id_prefix if by.prefix_lines else ""
    if prefix:
        lines = tuple(line.model_copy(update={"external_id": prefix + line.external_id}) for line in lines)
    if by.split_lines is not None:
        split = units_of.split(lines, by.split_lines, units or {}, chosen, prefix=prefix, notes=notes)
        if isinstance(split, Unmappable):
            return split
        lines = split.lines
    if lines is not sale.line_items:
        changes["line_items"] = lines
    return Shaped(sale.model_copy(update=changes) if changes else sale, tuple(notes))


def _routed(
    sale: Sale, by: Shape, conditions: Conditions, storefront: str, notes: list[Reason]
) -> tuple[LineItem, ...]:
    lines = sale.line_items
    if by.per_line is not None:
        lines = tuple(by.per_line.routed(i, line, notes) for i, line in enumerate(lines))
    if by.routing:
        lines = routes.route(sale, lines, by.routing, conditions, storefront=storefront, notes=notes)
    return lines


def _to_split(by: Shape, lines: Sequence[LineItem], conditions: Conditions, notes: list[Reason]) -> frozenset[int]:
    """Which lines are to be split: those that say so, and of those that say nothing the ones the settings mean."""
    splitting, found = by.split_lines, []
    if splitting is None:
        return frozenset()
    for i, line in enumerate(lines):
        said = None if by.per_line is None else by.per_line.splits(i, line, notes)
        if said is None:
            when = splitting.when
            said = splitting.by_default and (when is None or conditions.hold(when, "split_lines", i))
        if said:
            found.append(i)
    return frozenset(found)


def _without_hidden(i: int, line: LineItem, notes: list[Reason]) -> LineItem:
    shown = tuple(item for item in line.properties or () if not item.key.startswith("_"))
    count = len(line.properties or ()) - len(shown)
    if not count:
        return line
    notes.append(Reason(f"/lineItems/{i}/properties", f"{count} hidden properties are left out; "
                        "hidden_properties = true sends them"))  # fmt: skip
    return line.model_copy(update={"properties": shown})


def _renamed(sale: Sale, by: Shape, storefront: str, notes: list[Reason]) -> dict[str, object]:
    template, pointer = by.reference, "/saleDefaults/reference"
    if template is None:
        return {}
    own = sale.sale_defaults.reference
    if not own and template.names_reference:
        notes.append(Reason(pointer, "the order has no reference; its id is in the place of it"))
    text = template.filled(reference=own or sale.external_id, external_id=sale.external_id, storefront=storefront)
    if len(text) > RESULT_MAX:
        notes.append(Reason(pointer, f"{len(text)} characters, of which the first {RESULT_MAX} are sent"))
    return {"sale_defaults": sale.sale_defaults.model_copy(update={"reference": text[:RESULT_MAX]})}


def _with_options(sale: Sale, by: Shape, notes: list[Reason]) -> dict[str, object]:
    wanted: dict[str, object] = dict(by.options)
    said: dict[str, object] = dict(sale.options.model_extra or {})
    if by.find_or_create_channel_variant is not None:
        wanted["find_or_create_channel_variant"] = by.find_or_create_channel_variant
        said["find_or_create_channel_variant"] = sale.options.find_or_create_channel_variant
    if not wanted:
        return {}
    for name, value in wanted.items():
        if said.get(name) not in (None, value):
            key = _FIND_OR_CREATE if name == "find_or_create_channel_variant" else name
            notes.append(Reason(f"/options/{key}", "the storefront says otherwise; the configured value is sent"))
    return {"options": sale.options.model_copy(update=wanted)}


def _unprefixable(sale: Sale, by: Shape) -> tuple[Reason, ...]:
    prefix = by.external_id_prefix
    ids = [("/externalId", sale.external_id)]
    if by.prefix_lines:
        ids += [(f"/lineItems/{i}/externalId", line.external_id) for i, line in enumerate(sale.line_items)]
    return tuple(
        Reason(pointer, f"{len(prefix) + len(own)} characters with external_id_prefix, of 255: shorten it")
        for pointer, own in ids
        if sales.identifier(prefix + own) is None
    )
