"""The list of keys, from the tables themselves: for the reference, and for the remedies in error messages."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from relay.config.settings import Settings
from relay.config.values import as_toml

PREFIX = "RELAY_"
"""Of the environment variables."""
KeyPath = tuple[str, ...]
_Schema = dict[str, Any]


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


def keys() -> Iterator[Key]:
    """Everything that can be configured, in the order of the tables; NAME stands for the operator's names."""
    yield from known_keys().values()


@cache
def known_keys() -> dict[str, Key]:
    """`keys`, by name."""
    schema = Settings.model_json_schema()
    known: dict[str, Key] = {}
    for key in _walk(schema, (), schema["$defs"]):
        first = known.setdefault(key.name, key)
        if first is not key:  # of two kinds
            takes = first.takes if first.takes == key.takes else f"{first.takes} or {key.takes}"
            known[key.name] = replace(first, takes=takes, kinds=first.kinds + key.kinds)
    return known


def _walk(node: _Schema, path: KeyPath, definitions: _Schema, kinds: KeyPath = ()) -> Iterator[Key]:
    if "$ref" in node:
        node = {**definitions[node["$ref"].rpartition("/")[2]], **node}
    if isinstance(named := node.get("additionalProperties"), dict):
        yield from _walk(named, (*path, "NAME"), definitions)
    elif "oneOf" in node:
        for option in node["oneOf"]:
            table = definitions[option["$ref"].rpartition("/")[2]]
            yield from _walk(table, path, definitions, (table["properties"]["kind"]["const"],))
    elif "properties" in node:
        for name, child in node["properties"].items():
            yield from _walk(child, (*path, name), definitions, kinds)
    else:
        default = "" if node.get("default") is None else as_toml(node["default"])
        secret = "writeOnly" in json.dumps(node)
        yield Key(".".join(path), _takes(node), default, " ".join(node.get("description", "").split()), secret, kinds)


def _takes(node: _Schema) -> str:
    """What a key takes, in words, from its JSON schema."""
    if "anyOf" in node:
        node = node["anyOf"][0]  # the other one is null: not set
    if "const" in node or "enum" in node:
        return " or ".join(as_toml(value) for value in node.get("enum", [node.get("const")]))
    if node["type"] in {"integer", "number"}:
        noun = "a whole number" if node["type"] == "integer" else "a number"
        return f"{noun} from {as_toml(node['minimum'])} to {as_toml(node['maximum'])}"
    if node["type"] == "array":
        return "a list of texts"
    return "true or false" if node["type"] == "boolean" else "a path" if node.get("format") == "path" else "text"


def reference() -> str:
    """The tables of ``docs/reference/configuration.md``, as Markdown."""
    lines: list[str] = []
    heading = ""
    for key in keys():
        table, _, name = key.name.rpartition(".")
        if table != heading:
            heading = table
            lines += ["", f"### `[{table}]`", "", "| key | takes | default | meaning |", "|---|---|---|---|"]
        only = f"Only for `{key.kinds[0]}`. " if len(key.kinds) == 1 else ""
        default = f"`{key.default}`" if key.default else "none"
        lines.append(f"| `{name}` | {key.takes} | {default} | {only}{key.description} |")
    return "\n".join(lines).strip() + "\n"
