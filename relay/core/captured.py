"""A webhook as somebody kept it in a file: only its body, or as HTTP has it, with its headers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

HEAD_MAX_BYTES = 65_536
_REQUEST = re.compile(r"[A-Z]+ \S+( HTTP/[0-9.]+)?")
_FIELD = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}):[ \t]*(.*?)[ \t]*")


@dataclass(frozen=True, slots=True)
class Captured:
    """What is in such a file."""

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


def captured(content: bytes) -> Captured:
    """Headers, a blank line and the body; a file that does not begin with headers is all body.

    A request line in front is skipped. Where ``Content-Length`` says how long the body is, the line break that an
    editor put behind it is left out.
    """
    parts = re.split(rb"\r?\n\r?\n", content[:HEAD_MAX_BYTES], maxsplit=1)
    lines = parts[0].decode("utf-8", "surrogateescape").splitlines() if len(parts) == 2 else []
    if lines and _REQUEST.fullmatch(lines[0]):
        lines = lines[1:]
    fields = [field_of(line) for line in lines]
    headers = tuple(found for found in fields if found is not None)
    if not headers or len(headers) < len(fields):
        return Captured((), content)
    body = content[len(content[:HEAD_MAX_BYTES]) - len(parts[1]) :]
    return Captured(headers, _of_length(headers, body))


def field_of(line: str) -> tuple[str, str] | None:
    """Name and value of a header as HTTP writes it; ``None`` for what is none."""
    found = _FIELD.fullmatch(line)
    return None if found is None else (found[1], found[2])


def _of_length(headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    declared = next((value for name, value in headers if name.lower() == "content-length"), "")
    length = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 12 else len(body)
    return body if body[length:].strip() else body[:length]
