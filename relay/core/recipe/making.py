"""A recipe at work: from a storefront's JSON to a sale."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat

from relay.core import exact
from relay.core import sale as sales
from relay.core.instant import Instant
from relay.core.recipe.evaluation import Evaluation
from relay.core.recipe.expression import Expression, escaped
from relay.core.recipe.functions import Unevaluable
from relay.core.recipe.rule import Rule, is_yes
from relay.core.sale import LINES_MAX, Reason
from relay.core.sources import Mapped, Unmappable
from relay.core.sources.values import reference
from relay.core.version import Version, of_sequence, of_time

REASONS_MAX = 20
"""Reasons that are told for one order: one wrong rule is wrong in each of 500 lines."""
FACTS_STEPS_MAX = 100_000
"""Steps of :meth:`Recipe.facts`, 15 ms at the most: it is asked inside a request."""
FIND_OR_CREATE = "findOrCreateChannelVariant"
"""The option that Jetti requires to connect a line by SKU: set where a line has nothing else, unless a rule decides."""
ENTRIES_MAX = 500
"""Properties of one line, and shipping lines of one sale."""


@dataclass(frozen=True, slots=True)
class Section:
    """The fields of one object of the sale."""

    fields: tuple[tuple[tuple[str, ...], Rule], ...] = ()
    """Each with its names, outermost first: ``("variant", "sku")``."""
    key: str = ""
    """Of its table."""

    def rule(self, *names: str) -> Rule | None:
        """The rule of one field."""
        return next((rule for path, rule in self.fields if path == names), None)


NOTHING = Section()


@dataclass(frozen=True, slots=True)
class Group:
    """A list of the sale made from a list of the order; without ``each``, one entry made from the order itself."""

    key: str
    each: Expression | None
    section: Section
    properties: "tuple[Group, ...]" = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What :meth:`Recipe.facts` reads of an order."""

    external_id: str
    version: Version | None = None
    reference: str | None = None
    created_at: Instant | None = None
    cancelled: bool = False
    whole: bool = True
    """Whether there are lines to make a sale of; only looked at where it is cancelled."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A compiled mapping: ``[storefronts.NAME.mapping]``. Made by :func:`relay.core.recipe.compile_recipe`."""

    external_id: Rule
    version: Rule | None = None
    created_at: Rule | None = None
    cancelled: Rule | None = None
    sale_defaults: Section = NOTHING
    customer: Section = NOTHING
    options: Section = NOTHING
    line_items: tuple[Group, ...] = ()
    shipping: tuple[Group, ...] = ()
    sequence: Rule | None = None
    """In the place of ``version``: a whole number that only grows."""

    def facts(self, document: object, *, cancelled: bool = False) -> Facts | tuple[Reason, ...]:
        """Which order, which state of it, or why that cannot be read. Never raises.

        ``cancelled``: whether it is known to be, whatever the recipe says.
        """
        reading = _Reading(Evaluation(document, FACTS_STEPS_MAX))
        external_id = reading.external_id(self)
        version = reading.sequence(self.sequence, document)
        if self.sequence is None:
            version = of_time(reading.moment(self.version, document))
        cancelled = cancelled or reading.holds(self.cancelled, document)
        if reading.reasons or external_id is None:
            return tuple(reading.reasons)
        called = reading.quietly(self.sale_defaults.rule("reference"), document)
        created = reading.quiet_moment(self.created_at, document)
        whole = not cancelled or any(True for group in self.line_items for _ in reading.elements(group, document))
        return Facts(external_id, version, reference(called), created, cancelled, whole)

    def make(self, document: object, *, cancelled: bool = False) -> Mapped | Unmappable:
        """The sale, or every reason why there is none. Never raises."""
        reading = _Reading(Evaluation(document))
        lines, by_sku = reading.lines(self.line_items, document)
        payload: dict[str, object] = {
            "externalId": reading.external_id(self),
            "customer": reading.without_a_long_phone(self.customer, reading.section(self.customer, document, "")),
            "saleDefaults": reading.section(self.sale_defaults, document, ""),
            "lineItems": lines,
        }
        if shipping := reading.entries(self.shipping, document):
            payload["shipping"] = shipping
        options = reading.section(self.options, document, "")
        if by_sku and self.options.rule(FIND_OR_CREATE) is None:
            options[FIND_OR_CREATE] = True
        if options:
            payload["options"] = options
        cancelled = cancelled or reading.holds(self.cancelled, document)
        made = sales.parse(payload)
        if isinstance(made, tuple):
            for reason in made:
                reading.explain(reason, self)
        if isinstance(made, tuple) or reading.reasons:
            return Unmappable(sales.bounded(reading.reasons, REASONS_MAX))
        origins = tuple(base for _, base in reading.origins["lineItems"])
        return Mapped(sales.cancelled(made) if cancelled else made, tuple(reading.notes), origins)


def put(target: dict[str, object], path: tuple[str, ...], value: object) -> None:
    """Set a field of a payload, of one of its parts where the path has two names."""
    if len(path) > 1:
        part = target.get(path[0])
        if not isinstance(part, dict):
            part = target[path[0]] = {}
        part[path[1]] = value
    else:
        target[path[0]] = value


@dataclass(slots=True)
class _Reading:
    """One order on its way through a recipe."""

    evaluation: Evaluation
    reasons: list[Reason] = field(default_factory=list)
    notes: list[Reason] = field(default_factory=list)
    refused: set[tuple[str, str]] = field(default_factory=set)
    """Keys and pointers of the entries that have a reason."""
    origins: dict[str, list[tuple[Group, str | None]]] = field(default_factory=dict)
    """For ``lineItems`` and ``shipping``, each entry's group and where in the document it is from."""

    # Values

    def value(self, rule: Rule, current: object, base: str | None) -> object:
        try:
            return rule.value(self.evaluation, current)
        except Unevaluable as error:
            self.refuse(rule, str(error), base)
            return None

    def refuse(self, rule: Rule, message: str, base: str | None) -> None:
        pointer = _joined(base, rule)
        if (rule.key, pointer) not in self.refused:
            self.refused.add((rule.key, pointer))
            self.reasons.append(Reason(pointer, f"{rule.key} ({rule.source}): {message}"))

    def external_id(self, recipe: Recipe) -> str | None:
        found = self.value(recipe.external_id, self.evaluation.root, "")
        external_id = sales.identifier(found)
        if external_id is None:
            wanted = "finds nothing here" if found is None else "must find an id of 1 to 255 printable characters"
            self.refuse(recipe.external_id, f"{wanted}: correct it", "")
        return external_id

    def moment(self, rule: Rule | None, current: object) -> Instant | None:
        if rule is None:
            return None
        try:
            return rule.moment(self.evaluation, current)
        except Unevaluable as error:
            self.refuse(rule, str(error), "")
            return None

    def sequence(self, rule: Rule | None, current: object) -> Version | None:
        """The version that only counts."""
        if rule is None or (found := self.value(rule, current, "")) is None:
            return None
        try:
            version = of_sequence(exact.whole(found))
        except ValueError:
            version = None
        if version is None:
            self.refuse(rule, f"expected a whole number from 0, found {exact.kind(found)}", "")
        return version

    def quietly(self, rule: Rule | None, current: object) -> object:
        """A value without which an order is still read: only shown."""
        try:
            return None if rule is None else rule.value(self.evaluation, current)
        except Unevaluable:
            return None

    def quiet_moment(self, rule: Rule | None, current: object) -> Instant | None:
        try:
            return None if rule is None else rule.moment(self.evaluation, current)
        except Unevaluable:
            return None

    def holds(self, rule: Rule | None, current: object) -> bool:
        return rule is not None and is_yes(self.value(rule, current, ""))

    # Objects and lists

    def section(self, section: Section, current: object, base: str | None) -> dict[str, object]:
        made: dict[str, object] = {}
        for path, rule in section.fields:
            value = self.value(rule, current, base)
            if value is not None:
                put(made, path, value)
        return made

    def without_a_long_phone(self, section: Section, customer: dict[str, object]) -> dict[str, object]:
        """A buyer's typing must not keep an order: a number that Jetti does not take is left out, with a note."""
        number = customer.get("phone")
        if not isinstance(number, str) or len(number) <= sales.PHONE_MAX_CHARACTERS:
            return customer
        rule = section.rule("phone")
        where = "" if rule is None else _joined("", rule)
        self.notes.append(Reason(where, sales.too_long_for_a_phone(number)))
        return {column: value for column, value in customer.items() if column != "phone"}

    def elements(self, group: Group, current: object, base: str | None = "") -> Iterator[tuple[object, str | None]]:
        """The entries that a group is made from, each with its pointer if that is known."""
        if group.each is None:
            yield current, base
            return
        try:
            found = self.evaluation.of(group.each, current)
            self.evaluation.charge(len(found) if isinstance(found, list) else 1)
        except Unevaluable as error:
            self.reasons.append(Reason(base or "", f"{group.key}.each: {error}"))
            return
        if found is not None and not isinstance(found, list):
            self.reasons.append(Reason(base or "", f"{group.key}.each ({group.each.text[:60]}): expected a list"))
            return
        elements: list[object] = found or []
        yield from zip(elements, self.pointers(group.each, current, base, elements), strict=True)

    def pointers(
        self, each: Expression, current: object, base: str | None, found: list[object]
    ) -> Iterator[str | None]:
        """Where the elements that ``each`` found are, if it is a plain path, perhaps with a filter."""
        keys = each.keys if each.filters is None else each.filters
        if base is None or keys is None or not found:
            yield from repeat(None, len(found))
            return
        inner = base + "".join("/" + escaped(key) for key in keys)
        if each.filters is None:
            yield from (f"{inner}/{place}" for place in range(len(found)))
            return
        places = {id(element): place for place, element in enumerate(self.evaluation.follow(keys, current) or ())}
        yield from (f"{inner}/{places[id(element)]}" for element in found)

    def lines(self, groups: tuple[Group, ...], document: object) -> tuple[list[dict[str, object]], bool]:
        """The lines, and whether one of them is connected by SKU alone."""
        by_sku = False
        made: list[dict[str, object]] = []
        origins = self.origins["lineItems"] = []
        evaluation = self.evaluation
        for group in groups:
            for index, (element, base) in enumerate(self.elements(group, document)):
                if len(made) >= LINES_MAX:
                    self.reasons.append(Reason("", f"more than {LINES_MAX} lines: split the order"))
                    return made, by_sku
                evaluation.item, evaluation.index = element, index
                line = self.section(group.section, element, base)
                if group.properties and (properties := self.properties(group.properties, element, base)):
                    line["properties"] = properties
                by_sku |= self.connected(line, group, base)
                made.append(line)
                origins.append((group, base))
        evaluation.item = evaluation.index = None
        return made, by_sku

    def connected(self, line: dict[str, object], group: Group, base: str | None) -> bool:
        """Whether a line is connected by SKU alone; refused if by nothing."""
        variant = line.get("variant")
        if isinstance(variant, dict) and variant:
            return "externalId" not in variant
        message = "neither externalId nor sku finds anything, so nothing connects the line: give one of them a default"
        self.reasons.append(Reason(base or "", f"{group.key}.variant: {message}"))
        return False

    def properties(self, groups: tuple[Group, ...], element: object, base: str | None) -> list[dict[str, object]]:
        """The properties that have a key and a value."""
        made = [
            entry
            for group in groups
            for part, inner in self.elements(group, element, base)
            if "key" in (entry := self.section(group.section, part, inner)) and "value" in entry
        ]
        if len(made) > ENTRIES_MAX:
            self.reasons.append(Reason(base or "", f"more than {ENTRIES_MAX} properties of one line"))
        return made

    def entries(self, groups: tuple[Group, ...], document: object) -> list[dict[str, object]]:
        """Shipping lines; one of which nothing is known is none."""
        made: list[dict[str, object]] = []
        origins = self.origins["shipping"] = []
        for group in groups:
            for index, (element, base) in enumerate(self.elements(group, document)):
                if group.each is not None:
                    self.evaluation.item, self.evaluation.index = element, index
                if entry := self.section(group.section, element, base):
                    made.append(entry)
                    origins.append((group, base))
        self.evaluation.item = self.evaluation.index = None
        if len(made) > ENTRIES_MAX:
            self.reasons.append(Reason("", f"more than {ENTRIES_MAX} shipping lines"))
        return made

    # What the sale's own rules refuse, in terms of the recipe and of the document

    def explain(self, reason: Reason, recipe: Recipe) -> None:
        names = tuple(reason.pointer.split("/")[1:])
        if names == ("externalId",):
            return  # has its reason
        section, base, path = self._origin(names, recipe)
        if section is None:
            self.reasons.append(Reason("", f"{reason.pointer or 'the sale'}: {reason.message}"))
            return
        rule = section.rule(*path[:2]) or (section.rule(path[0]) if path else None)
        if rule is None:
            self.reasons.append(Reason(base or "", f"{'.'.join((section.key, *path))}: {reason.message}"))
            return
        missing = reason.message.startswith("required") or reason.message.endswith("but none is given")
        self.refuse(rule, "finds nothing here: correct it, or give it a default" if missing else reason.message, base)

    def _origin(self, names: tuple[str, ...], recipe: Recipe) -> tuple[Section | None, str | None, tuple[str, ...]]:
        match names:
            case ("customer", *path):
                return recipe.customer, "", tuple(path)
            case ("saleDefaults", *path):
                return recipe.sale_defaults, "", tuple(path)
            case ("options", *path):
                return recipe.options, "", tuple(path)
            case ("lineItems" | "shipping" as part, position, *path) if position.isdigit():
                origins = self.origins.get(part, [])
                if int(position) < len(origins):
                    group, base = origins[int(position)]
                    return group.section, base, tuple(path)
        return None, None, ()


def _joined(base: str | None, rule: Rule) -> str:
    """Where the value is in the document, as far as that is one known place."""
    if base is None or rule.pointer is None:
        return base or ""
    return base + rule.pointer
