"""The secret that Elastic Path repeats in an event's body, and how to be rid of it before anything is kept."""

import json
import re

import msgspec

_CONFIGURATION = "configuration"
_NOT_BY_CHANCE = 8
"""Characters from which a secret that turns up elsewhere in an event is the secret, and no word of the order's."""
_FIELD = re.compile(rb'("secret_key"\s*:\s*)"(?:[^"\\]|\\.)*"?', re.DOTALL)
_REMOVED = b"removed"
_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])


def spellings(secret: str) -> tuple[bytes, ...]:
    """The bytes by which a secret can stand in text, in JSON, and in text of JSON in JSON; the longest first."""
    once = {spelled for plain in (secret, *_escaped(secret)) for spelled in (plain, plain.replace("/", "\\/"))}
    found = {spelled.encode() for plain in once for spelled in (plain, *_escaped(plain))}
    return tuple(sorted(found, key=lambda spelled: (-len(spelled), spelled)))


def removed(body: bytes, secrets: tuple[tuple[bytes, ...], ...]) -> bytes:
    """The body without ``configuration`` and without the secrets, each given by its :func:`spellings`.

    What is no JSON object may be an event that was cut off, so every trace of a secret is taken out of it. An event
    without its ``configuration`` has none, as far as is known; a secret that is long enough not to be a word of the
    order's is taken out of it all the same.
    """
    try:
        event = _objects.decode(body)
    except (ValueError, RecursionError):
        return _blanked(body, secrets)
    if _CONFIGURATION in event:
        del event[_CONFIGURATION]
        members = (msgspec.json.encode(key) + b":" + bytes(value) for key, value in event.items())
        body = b"{" + b",".join(members) + b"}"
    return _blanked(body, tuple(spelled for spelled in secrets if len(spelled[-1]) >= _NOT_BY_CHANCE))


def _blanked(body: bytes, secrets: tuple[tuple[bytes, ...], ...]) -> bytes:
    if b"secret_key" in body:
        body = _FIELD.sub(rb'\1""', body)
    for spelled in (each for spellings_of_one in secrets for each in spellings_of_one):
        body = body.replace(spelled, _REMOVED)
    return body


def _escaped(text: str) -> tuple[str, str]:
    return json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
