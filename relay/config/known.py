"""The list of keys, from the tables themselves: for the reference, and for the remedies in error messages."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from relay.config.kinds import registered
from relay.config.samples import SAMPLES_MAX
from relay.config.settings import Settings
from relay.config.storefronts import Storefront
from relay.config.values import as_toml

PREFIX = "RELAY_"
"""Of the environment variables."""
KeyPath = tuple[str, ...]
_Schema = dict[str, Any]
_STOREFRONT = "storefronts.NAME."
_SAMPLES = f"{_STOREFRONT}tests."


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that can be configured."""

    name: str
    """``channels.NAME.sync_rate``"""
    takes: str
    """``a number from 0.001 to 1000000``"""
    default: str
    """As written in TOML; empty when there is none."""
    description: str
    secret: bool
    kinds: tuple[str, ...] = ()
    """The kinds of storefront that have it; empty for what belongs to no storefront."""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return variable_of(tuple(self.name.split(".")))


def variable_of(path: KeyPath) -> str:
    """The environment variable that sets a key; NAME stands for itself."""
    return PREFIX + "__".join(path).upper().replace("-", "_")


def keys(kind: str | None = None) -> Iterator[Key]:
    """Everything that can be configured, in the order of the tables; NAME stands for the operator's names.

    Of a storefront's keys, those of one kind, as they are for it; without ``kind`` those of all, each once and as it is
    for the first kind that has it.
    """
    yield from known_keys(kind).values()


@cache
def known_keys(kind: str | None = None) -> dict[str, Key]:
    """`keys`, by name. A kind that there is not has the keys of all."""
    every = _every_key()
    if any(kind in key.kinds for key in every):
        return {key.name: key for key in every if not key.kinds or kind in key.kinds}
    known: dict[str, Key] = {}
    for key in every:
        first = known.setdefault(key.name, key)
        if first is not key:  # of two kinds
            takes = first.takes if key.takes in first.takes.split(" or ") else f"{first.takes} or {key.takes}"
            known[key.name] = replace(first, takes=takes, kinds=first.kinds + key.kinds)
    return known


@cache
def _every_key() -> tuple[Key, ...]:
    """Each key of each kind."""
    schema = Settings.model_json_schema()
    return tuple(_walk(schema, (), schema["$defs"]))


def _walk(node: _Schema, path: KeyPath, definitions: _Schema, kinds: KeyPath = ()) -> Iterator[Key]:
    if "$ref" in node:
        node = {**definitions[node["$ref"].rpartition("/")[2]], **node}
    if isinstance(named := node.get("additionalProperties"), dict):
        yield from _walk(named, (*path, "NAME"), definitions)
    elif "oneOf" in node:
        for option in node["oneOf"]:
            table = definitions[option["$ref"].rpartition("/")[2]]
            yield from _walk(table, path, definitions, (table["properties"]["kind"]["const"],))
    elif "$ref" in node.get("items", {}):
        yield from _walk(node["items"], path, definitions, kinds)
    elif "properties" in node:
        for name, child in node["properties"].items():
            yield from _walk(child, (*path, name), definitions, kinds)
    else:
        default = "" if node.get("default") is None else as_toml(node["default"])
        secret = "writeOnly" in json.dumps(node)
        yield Key(".".join(path), _takes(node), default, _description(node, path, kinds), secret, kinds)


def _description(node: _Schema, path: KeyPath, kinds: KeyPath) -> str:
    """What it says; a kind that only changes a default says nothing itself, but the class it is derived from does."""
    said = node.get("description") or ""
    if not said and kinds:
        parents = registered().kinds[kinds[0]].table.__mro__
        fields = [parent.model_fields for parent in parents if issubclass(parent, Storefront)]
        said = next((found for each in fields if path[-1] in each and (found := each[path[-1]].description)), "")
    return " ".join(said.split())


def _takes(node: _Schema) -> str:
    """What a key takes, in words, from its JSON schema."""
    if "anyOf" in node:
        node = node["anyOf"][0]  # the other one is null: not set
    if "const" in node or "enum" in node:
        return " or ".join(as_toml(value) for value in node.get("enum", [node.get("const")]))
    return str(node["takes"]) if "takes" in node else _type(node)


def _type(node: _Schema) -> str:
    match node.get("type"):
        case "integer" | "number" as number:
            noun = "a whole number" if number == "integer" else "a number"
            bounds = [f"{word} {as_toml(node[key])}" for key, word in _BOUNDS if key in node]
            return " ".join([noun, *bounds])
        case "array":
            numbers = node.get("items", {}).get("type") == "integer"
            return "a list of whole numbers" if numbers else "a list of texts"
        case "boolean":
            return "true or false"
        case _:
            return "a path" if node.get("format") == "path" else "text"


_BOUNDS = (("minimum", "from"), ("maximum", "to"))


def reference() -> str:
    """The tables of ``docs/reference/configuration.md``, as Markdown."""
    lines: list[str] = []
    plain = [key for key in _every_key() if not key.kinds]
    before, after = _around_storefronts(plain)
    lines += _tables(before)
    lines += _of_storefronts([key for key in _every_key() if key.kinds])
    lines += _tables(after)
    return "\n".join(lines).strip() + "\n"


def _around_storefronts(plain: list[Key]) -> tuple[list[Key], list[Key]]:
    last = max(i for i, key in enumerate(plain) if key.name.startswith("channels."))
    return plain[: last + 1], plain[last + 1 :]


def _tables(rows: Iterable[Key]) -> Iterator[str]:
    heading = ""
    for key in rows:
        table = key.name.rpartition(".")[0]
        if table != heading:
            heading = table
            yield from _head(f"### `[{table}]`")
        yield _row(key, key.default and f"`{key.default}`")


def _of_storefronts(rows: list[Key]) -> Iterator[str]:
    """What all kinds have, then a section for each."""
    by_name: dict[str, list[Key]] = {}
    for key in rows:
        by_name.setdefault(key.name, []).append(key)
    kinds = list(dict.fromkeys(kind for key in rows for kind in key.kinds))
    common = {
        name: found
        for name, found in by_name.items()
        if len(found) == len(kinds) and len({(key.takes, key.description) for key in found}) == 1
    }
    yield from _head("### `[storefronts.NAME]`", "What every kind has, besides the keys of its own below.")
    of_kind = by_name[f"{_STOREFRONT}kind"]
    takes = " or ".join(key.takes for key in of_kind)
    yield _row(replace(of_kind[0], takes=takes), "")
    samples = {name: common.pop(name) for name in list(common) if name.startswith(_SAMPLES)}
    for found in common.values():
        yield _row(found[0], _defaults(found))
    yield from _head(
        f"### `[[{_SAMPLES[:-1]}]]`",
        f"Samples of any kind of storefront's webhooks, up to {SAMPLES_MAX}, each with what is expected of it: "
        "[how to](../how-to/try-a-mapping.md). `order-relay check` tries them.",
    )
    for found in samples.values():
        yield _row(found[0], _defaults(found))
    common |= samples
    for kind in kinds:
        yield from _head(f'### `[storefronts.NAME]` with `kind = "{kind}"`')
        for key in rows:
            if kind in key.kinds and key.name not in common and key.name != f"{_STOREFRONT}kind":
                yield _row(key, key.default and f"`{key.default}`")


def _defaults(found: list[Key]) -> str:
    """The default; where kinds differ the usual one, and those of the kinds that have another."""
    defaults = [key.default for key in found]
    usual = max(defaults, key=defaults.count)
    cell = f"`{usual}`" if usual else ""
    for other in dict.fromkeys(default for default in defaults if default != usual):
        kinds = ", ".join(f"`{key.kinds[0]}`" for key in found if key.default == other)
        cell += f"; {kinds}: `{other}`"
    return cell


def _head(*lines: str) -> Iterator[str]:
    for line in lines:
        yield from ("", line)
    yield from ("", "| key | takes | default | meaning |", "|---|---|---|---|")


def _row(key: Key, default: str) -> str:
    table, _, name = key.name.rpartition(".")
    if table.startswith(_STOREFRONT) and not key.name.startswith(_SAMPLES):
        name = key.name.removeprefix(_STOREFRONT)  # of a table in the storefront's
    return f"| `{name}` | {key.takes} | {default or 'none'} | {key.description} |"
