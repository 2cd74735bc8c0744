"""Addresses to listen on: how they are given, and why one cannot be listened on."""

import errno
import re
import socket
from collections.abc import Mapping
from typing import Annotated, cast

import typer
from pydantic_core import PydanticCustomError

from relay.config import Address
from relay.config.known import variable_of

_BIND = re.compile(r"bind on address \('([^']+)', (\d+)")
"""How the event loop names the address that it could not listen on."""


def _parse(text: str | Address) -> Address:
    try:
        return cast("Address", Address.parse(text))
    except PydanticCustomError as error:
        raise typer.BadParameter(f"{text!r} {error}: {(error.context or {})['remedy']}") from None


ListenOption = Annotated[
    Address, typer.Option("--listen", help="Address to listen on; port 0: any.", parser=_parse, metavar="HOST:PORT")
]


def why_not(error: OSError, listens: Mapping[str, Address]) -> str:
    """What the system said, in terms of the key or option that names the address."""
    key = _culprit(error, listens)
    if key is None:
        return str(error.strerror or error)
    if isinstance(error, socket.gaierror):
        return f"{key} {listens[key]}: the name leads to no address; {_set(key)}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{key} {listens[key]} is taken by another process: stop it, or {_set(key)}"
        case errno.EACCES | errno.EPERM:
            return f"{key} {listens[key]}: this user may not listen there, ports below 1024 are reserved; {_set(key)}"
        case errno.EADDRNOTAVAIL:
            return f"{key} {listens[key]}: this machine does not have that address; {_set(key)}"
        case _:
            return f"{key} {listens[key]}: {error.strerror or error}; {_set(key)}"


def _set(key: str) -> str:
    return f"set {key}" if key.startswith("-") else f"set {key} ({variable_of(tuple(key.split('.')))})"


def _culprit(error: OSError, listens: Mapping[str, Address]) -> str | None:
    """Whose address the error is about."""
    if isinstance(error, socket.gaierror):
        suspects = [key for key, address in listens.items() if not _resolve(address)]
    elif (named := _BIND.search(str(error))) is not None:
        host, port = named[1], int(named[2])
        suspects = [key for key, address in listens.items() if address.port == port]
        if len(suspects) > 1:
            suspects = [key for key in suspects if host in _resolve(listens[key])]
    else:
        suspects = list(listens) if len(listens) == 1 else []
    return suspects[0] if suspects else None


def _resolve(address: Address) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)}
    except OSError:
        return set()
