"""What pydantic found, in our words, none of them a value that is or might be a secret."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pydantic_core import ErrorDetails

from relay.config.kinds import registered
from relay.config.known import Key, KeyPath, known_keys, variable_of
from relay.config.problems import NOT_SET, NOT_SHOWN, SECRET, Problem, nearest
from relay.config.tables import remedy_of_missing
from relay.config.values import as_toml

_UNKNOWN = "is not a known key"


def relevant(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow from others: a list whose every entry is wrong counts as empty to pydantic."""
    return [
        error
        for error in errors
        if error["type"] != "too_short"
        or not any(other is not error and other["loc"][: len(error["loc"])] == error["loc"] for other in errors)
    ]


def explain(error: ErrorDetails) -> Iterator[Problem]:
    """The problems that one of pydantic's errors stands for."""
    path, context, kind = _path_of_error(error["loc"]), error.get("ctx", {}), _kind_of_error(error["loc"])
    name, known = ".".join(path), known_keys(kind).get(".".join(_pattern(path)))
    match error["type"]:
        case "problems":
            for problem in context["problems"]:
                yield replace(problem, key=".".join((*path, problem.key)))
        case "extra_forbidden":
            yield _unknown(path, kind)
        case "missing":
            yield Problem(name, NOT_SET, "is required", _remedy_of_missing(path[-1], kind))
        case "union_tag_not_found":
            yield Problem(f"{name}.kind", NOT_SET, "is required", _remedy_of_kind())
        case "union_tag_invalid":
            yield _no_kind(f"{name}.kind", context["tag"])
        case "wrong":
            value = "" if error["loc"][-1] == "[key]" else as_shown(error["input"], known)
            yield Problem(name, value, context["message"], context["remedy"] or _remedy(known))
        case "too_short":
            yield Problem(name, "[]", "is empty", _remedy_of_missing(path[-1], kind))
        case _ if known is None:
            heading = f"[[{name}]]" if path[-1] == "tests" else f"[{name}]"
            yield Problem(name, NOT_SHOWN, "is a table and not a value", f"write {heading} and its keys below it")
        case _:
            message = error["msg"].replace("Input should", "must").replace("Input is", "is")
            yield Problem(name, as_shown(error["input"], known), message, _remedy(known))


def with_origin(problem: Problem, origins: Mapping[KeyPath, str]) -> Problem:
    """The problem in terms of the environment variable that caused it, if one did."""
    key = tuple(re.sub(r"\[\d+\]", "", problem.key).split("."))
    at = ((path, name) for path, name in origins.items() if path[: len(key)] == key[: len(path)])
    path, variable = next(at, ((), ""))
    of_whole_table = len(key) < len(path) and not problem.value
    if not variable or problem.value == NOT_SET or of_whole_table:
        return problem
    near = _nearest_key(key, None) if problem.message == _UNKNOWN else None
    remedy = f"did you mean {variable_of((*near.split('.'), *path[len(key) :]))}?" if near else problem.remedy
    return replace(problem, origin=variable, remedy=remedy)


def _path_of_error(loc: tuple[int | str, ...]) -> KeyPath:
    """The key: without a list entry's number, and without the kind that pydantic puts behind a storefront's name."""
    words = tuple(part for part in loc if isinstance(part, str) and part != "[key]")
    return words[:2] + words[3:] if words[:1] == ("storefronts",) else words


def _kind_of_error(loc: tuple[int | str, ...]) -> str | None:
    """The kind of storefront whose table is wrong."""
    words = [part for part in loc if isinstance(part, str)]
    return words[2] if words[:1] == ["storefronts"] and len(words) > 2 else None


def _remedy_of_kind() -> str:
    return f"set kind = {' or '.join(as_toml(name) for name in registered().kinds)}"


def _no_kind(key: str, kind: str) -> Problem:
    """A kind that there is not, or that is there and cannot be used."""
    why = next((trouble for trouble in registered().troubles if trouble.name == kind), None)
    if why is None:
        return Problem(key, as_shown(kind), "is no kind of storefront", _remedy_of_kind())
    return Problem(key, as_shown(kind), str(why), f"mend the package {why.package}, or remove this storefront")


def _remedy_of_missing(key: str, kind: str | None) -> str:
    names = {known.name.rpartition(".")[2] for known in known_keys(kind).values()}
    return remedy_of_missing(key, secret=f"{key}_file" in names)


def as_shown(value: object, key: Key | None = None) -> str:
    """A value for an error: never a secret, a table, or an address with credentials in it."""
    if key is not None and key.secret:
        return SECRET
    text = repr(value)
    hidden = isinstance(value, dict) or re.search(r":.*[@?]|passw|pwd", text, re.IGNORECASE)
    return NOT_SHOWN if hidden else text if len(text) <= 100 else f"{text[:100]}…"


def _remedy(key: Key | None) -> str:
    if key is None:
        return "see config.example.toml"
    return f"give {key.takes}" + (f"; the default is {key.default}" if key.default else "")


def _unknown(path: KeyPath, kind: str | None) -> Problem:
    """An unknown key. Its value is not shown: it might be a secret under a misspelt name."""
    name, table = ".".join(path), path[:-1]
    if (known := known_keys().get(".".join(_pattern(path)))) is not None:
        kinds = " or ".join(f'"{kind}"' for kind in known.kinds)
        return Problem(name, NOT_SHOWN, f"belongs to storefronts of kind {kinds}", "remove it, or change kind")
    near = _nearest_key(path, kind)
    siblings = ", ".join(_children(_pattern(table), kind))
    remedy = f"did you mean {near}?" if near else f"remove it; known here: {siblings}"
    return Problem(name, NOT_SHOWN, _UNKNOWN, remedy)


def _nearest_key(path: KeyPath, kind: str | None) -> str | None:
    *table, word = path
    near = nearest(word, _children(_pattern(tuple(table)), kind))
    if near is not None:
        return ".".join((*table, near))
    known = known_keys(kind)
    elsewhere = [key for key in known if key.rpartition(".")[2] == word]
    return elsewhere[0] if elsewhere else nearest(".".join(_pattern(path)), known)


def _children(table: KeyPath, kind: str | None) -> list[str]:
    """The keys and tables directly below a table, in the order of the reference."""
    paths = [tuple(key.split(".")) for key in known_keys(kind)]
    return list(
        dict.fromkeys(path[len(table)] for path in paths if len(path) > len(table) and path[: len(table)] == table)
    )


def _pattern(path: KeyPath) -> KeyPath:
    return (*path[:1], "NAME", *path[2:]) if len(path) > 1 and path[0] in {"channels", "storefronts"} else path
