"""The kinds of storefront, each registered by an entry point: the built-in ones like anybody's.

An entry point of the group ``order_relay.sources`` has the kind's name and leads to a :class:`Kind`. One that cannot be
used is a :class:`Trouble`: an error for whoever configures such a storefront, a warning for everybody else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, get_args

from relay.config.storefronts import Storefront
from relay.core.sources import Source

__all__ = ["GROUP", "Kind", "Registry", "Trouble", "found_in", "kind_of", "registered", "secret_keys"]

GROUP = "order_relay.sources"
_OURS = "order-relay"
T = TypeVar("T", bound=Storefront)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of storefront."""

    name: str
    """What an operator writes as ``kind``; the entry point has the same name."""
    table: type[T]
    """The model of its table, with ``kind: Literal[name]``."""
    source: Callable[[T], Source]
    """The source that a table configures. Raises :class:`ValueError`, fit to be shown to a person and without any
    secret, for a table that makes none; it is called when the configuration is loaded, and so must not do any I/O."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """An entry point that cannot be used."""

    name: str
    package: str
    why: str

    def __str__(self) -> str:
        return f"kind {self.name!r} of the package {self.package} cannot be used: {self.why}"


@dataclass(frozen=True, slots=True)
class Registry:
    """What there is: the project's own kinds first, then those of others, each by name."""

    kinds: Mapping[str, Kind[Any]]
    troubles: tuple[Trouble, ...] = ()


@cache
def registered() -> Registry:
    """The kinds that are installed."""
    return found_in(entry_points(group=GROUP))


def kind_of(storefront: Storefront) -> Kind[Any]:
    """A storefront's kind."""
    return registered().kinds[storefront.kind]


def secret_keys() -> tuple[str, ...]:
    """The keys of any kind's table that hold a secret: those that have a twin, ``_file``."""
    tables = [kind.table.model_fields for kind in registered().kinds.values()]
    return tuple(dict.fromkeys(key for table in tables for key in table if f"{key}_file" in table))


def found_in(points: Iterable[EntryPoint]) -> Registry:
    """The kinds of these entry points. Never raises for what another package does."""
    kinds: dict[str, Kind[Any]] = {}
    troubles: list[Trouble] = []
    once = {(point.name, point.value): point for point in points}.values()  # an editable package may be found twice
    for point in sorted(once, key=lambda point: (_package(point) != _OURS, point.name, _package(point))):
        if point.name in kinds:
            troubles.append(Trouble(point.name, _package(point), "another package has a kind of this name"))
            continue
        kind = _loaded(point)
        if isinstance(kind, Kind):
            kinds[kind.name] = kind
        else:
            troubles.append(Trouble(point.name, _package(point), kind))
    return Registry(kinds, tuple(troubles))


def _loaded(point: EntryPoint) -> "Kind[Any] | str":
    """The kind, or what is wrong with it."""
    try:
        kind: object = point.load()
    except Exception as error:  # noqa: BLE001 - another package's import may raise anything
        return f"{point.value} cannot be imported ({type(error).__name__}: {error})"
    if not isinstance(kind, Kind):
        return f"{point.value} is no relay.config.kinds.Kind"
    if kind.name != point.name:
        return f"{point.value} is the kind {kind.name!r}: name the entry point so"
    table: object = kind.table
    if not isinstance(table, type) or not issubclass(table, Storefront):
        return f"the table of {point.value} is no relay.config.storefronts.Storefront"
    if get_args(table.model_fields["kind"].annotation) != (kind.name,):
        return f'the table of {point.value} needs kind: Literal["{kind.name}"]'
    return kind


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"
