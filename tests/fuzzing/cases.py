"""Cases made of good ones: by the structure of their JSON, by their bytes, and by what HTTP lets through as headers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from multidict import CIMultiDict

from tests import mangled

BODY_MAX_BYTES = 200_000
_RAW = "\ue000"  # in front of a text that is to be written into the JSON as it is
_DEEP = 90_000

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 0.1, -2.5, 1.5, "", " ",
    "0", "-1",
    "1.5", "19.90", "1e400", "1e-400", "NaN", "Infinity", "-0", "0x10", "1_000", "1,5", "٣", "１２", "²", "\u0000",
    "\u202e",
    "é" * 40, "x" * 300, "9" * 400, "9" * 5_000, "[]", "{}", "null", "2026-11-21T05:00:07Z",
    "9999-12-31T23:59:59+14:00",
    "0001-01-01T00:00:00-23:59", "0000-00-00", "Tue, 05 Mar 2019 21:40:11 +0000", "Tue, 99 Foo 99999 99:99:99 +9999",
    "JPY", "XXX", "../../x", "a/b?c#d", "%00", "a@b.example", "a@b\r\nX: y", [], {}, [[]], [{}], {"": ""}, [None],
    [0, "x"],
    {"name": None}, {"amount": "1"}, {"0": {}}, "cancelled", "CANCELED", "order.cancelled",
)  # fmt: skip
_TOKENS = (
    "1e400", "-1e400", "1e999999999", "0e0", "-0", "-0.0", "1E+2", "0.1e-7", "1" * 19, "1" * 25, "9" * 120,
    "1." + "0" * 200,
    "NaN", "Infinity", "-Infinity", "nan", "tru", "'x'", "01", "+1", ".5", "5.", '"\\ud800"', '"\\udc00\\ud800"',
    '"\\u0000"',
    '"\\ud83d\\ude00"', '"\\x"', '"', "{", "[", "]", "", "\ufeff1", "/**/1", '{"id":1,"id":2}', '{"id":1,"id":null}',
    "[" * 50 + "]" * 50, "[" * 70 + "]" * 70, '{"a":' * 70 + "1" + "}" * 70, "[" * 2_000 + "]" * 2_000,
)  # fmt: skip
_BYTES = (
    b"\xff", b"\x00", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\u", b"\\ud800", b'"', b"{", b"}", b"[", b"]",
    b",", b":",
    b"null", b"true", b"1e400", b"-", b".", b"e", b'"id":', b'"id":1,', b"0", b"9" * 20, b"\r\n", b"webhook_id=1",
)  # fmt: skip
_HEADER_VALUES = (
    "", " ", "\t", "x", "0", "-1", "1e9", "9" * 30, "x" * 201, "x" * 5_000, "\u00e9", "\udcff",
    "\udcff\udcfe" * 50, "\u0660",
    "a\u0000b", "v1,", "v1,====", "v1,a v1,b", "v1a,AAAA v2,BBBB", ", ," * 40, "sha256=", "Bearer ", "=" * 44,
    "é" * 44,
    "application/x-www-form-urlencoded", "application/json", "orders/create", "orders/delete", "order.deleted",
    "order.created",
    "refunds/create", "2026-11-21T05:00:07.123456789Z", "9999-12-31T23:59:59Z", "1795282909", "1795282909000",
    "99999999999999999",
    "Tue, 05 Mar 2019 21:40:11 +0000", "nan", "inf", "1e400", "--", "%", "../..",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What comes over the wire."""

    headers: tuple[tuple[str, str], ...]
    """In order, names perhaps repeated; bytes that are no UTF-8 are surrogates, as aiohttp has them."""
    body: bytes

    @property
    def named(self) -> "CIMultiDict[str]":
        """The headers as a request has them."""
        return CIMultiDict(self.headers)

    def wire(self) -> bytes:
        """As bytes, from which :func:`read` makes the same case again."""
        lines = [f"{name}: {value}".encode("utf-8", "surrogatepass") for name, value in self.headers]
        return b"\n".join((*lines, b"", self.body))


def read(wire: bytes) -> Case:
    """A case of any bytes: lines of headers, an empty line, the body."""
    head, separator, body = (b"", b"", wire[1:]) if wire[:1] == b"\n" else wire.partition(b"\n\n")
    if not separator and head:
        head, body = b"", wire
    lines = [line.decode("utf-8", "surrogateescape").partition(":") for line in head.split(b"\n") if line]
    return Case(tuple((name.strip() or "x", value.lstrip(" ")) for name, _, value in lines[:20]), body)


def varied(good: Case, random: Random, names: Sequence[str]) -> Case:
    """A case near a good one; ``names`` are the headers that matter."""
    body, headers = good.body, list(good.headers)
    chosen = random.random()
    if chosen < 0.6:
        body = _by_structure(body, random)
    elif chosen < 0.85:
        body = _by_bytes(body, random)
    elif chosen < 0.9:
        body = _by_bytes(_by_structure(body, random), random)
    if random.random() < 0.5:
        headers = _other_headers(headers, random, names)
    return Case(tuple(headers), body[:BODY_MAX_BYTES])


def _by_structure(body: bytes, random: Random) -> bytes:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return _by_bytes(body, random)
    try:
        for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
            value = _changed(value, random.choice(mangled.paths(value)), random)
        return _written(value, random)
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):  # cannot be changed so, or is too deep
        return _by_bytes(body, random)


def _changed(value: Any, path: tuple[Any, ...], random: Random) -> Any:  # noqa: PLR0911 - one for each kind of change
    there = value
    for step in path:
        there = there[step]
    kind = random.randrange(10)
    if kind == 0 and path and isinstance(path[-1], str):  # gone, or twice
        parent = mangled.put(value, path, None)
        return (
            _without(parent, path)
            if random.random() < 0.5
            else mangled.put(parent, path, _RAW + _twice(there, path[-1]))
        )
    if kind == 1:
        return mangled.put(value, path, _RAW + random.choice(_TOKENS))
    if kind == 2 and isinstance(there, list):
        return mangled.put(value, path, there * random.choice((2, 3, 40)))
    if kind == 3:
        return mangled.put(value, path, [there] if random.random() < 0.5 else {"0": there, "x": there})
    if kind == 4:
        return mangled.put(value, path, str(there) if not isinstance(there, dict | list) else json.dumps(there))
    if kind == 5:
        other = random.choice(mangled.paths(value))
        for_it = value
        for step in other:
            for_it = for_it[step]
        return mangled.put(value, path, for_it)
    if kind == 6 and isinstance(there, int | float):
        return mangled.put(value, path, -there if random.random() < 0.5 else there + random.choice((0.5, 1e-7, 10**12)))
    return mangled.put(value, path, random.choice(HOSTILE))


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    return mangled.put(value, path[:-1], {name: member for name, member in inner.items() if name != path[-1]})


def _twice(value: Any, name: str) -> str:
    return f"{json.dumps(value)},{json.dumps(name)}:null"


def _written(value: Any, random: Random) -> bytes:
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    pieces = text.replace(json.dumps(_RAW)[1:-1], _RAW).split(f'"{_RAW}')
    made = [pieces[0]]
    for piece in pieces[1:]:
        end = _end_of_text(piece)
        made += [json.loads(f'"{piece[:end]}"'), piece[end + 1 :]]
    return "".join(made).encode("utf-8", "surrogatepass")


def _end_of_text(piece: str) -> int:
    at = 0
    while piece[at] != '"':
        at += 2 if piece[at] == "\\" else 1
    return at


def _by_bytes(body: bytes, random: Random) -> bytes:
    made = bytearray(body)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(made) + 1)
        match random.randrange(6):
            case 0:
                del made[at : at + random.choice((1, 1, 4, 40, 4_000))]
            case 1 if at < len(made):
                made[at] = random.randrange(256)
            case 2:
                made[at:at] = random.choice(_BYTES)
            case 3:
                part = made[at : at + random.randrange(200)]
                to = random.randrange(len(made) + 1)
                made[to:to] = part
            case 4:
                deep = random.choice((60, 300, 900, 3_000, _DEEP))
                opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}")))
                made[at:at] = opening * deep + closing * random.choice((deep, deep - 1, 0))
            case _:
                made = made[:at] if random.random() < 0.3 else made
    return bytes(made[:BODY_MAX_BYTES])


def _other_headers(headers: list[tuple[str, str]], random: Random, names: Sequence[str]) -> list[tuple[str, str]]:
    for _ in range(random.choice((1, 1, 2, 4))):
        name = random.choice(names) if names and random.random() < 0.9 else "X-Other"
        if headers and random.random() < 0.3:
            del headers[random.randrange(len(headers))]
        else:
            at = random.randrange(len(headers) + 1)
            spelled = random.choice((name, name.lower(), name.upper()))
            headers.insert(at, (spelled, random.choice(_HEADER_VALUES)))
    return headers
