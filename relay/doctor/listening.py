"""The listeners: whether their addresses are free, and who can reach them."""

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from relay.config import Address, Settings
from relay.doctor.finding import Finding, doubtful, fine, wrong

_LISTENING = "0A"
"""How Linux writes the state of a socket that listens."""


def listeners(settings: Settings, *, running: bool) -> list[Finding]:
    """What can be said of both. ``running``: the relay itself is what listens there."""
    both = {"public.listen": settings.public.listen, "private.listen": settings.private.listen}
    found = [] if running else [_free(key, listen) for key, listen in both.items() if listen.port]
    return [*found, *_exposure(settings)]


def _exposure(settings: Settings) -> Iterator[Finding]:
    listen = settings.private.listen
    if not listen.loopback:  # the configuration refuses that without a token
        said = (
            f"private.listen {listen} can be reached from outside, and speaks plain HTTP: token and orders can be read "
            "on the way. Keep it in a private network, or behind a proxy with TLS"
        )
        yield doubtful("private listener", said)


def _free(key: str, listen: Address) -> Finding:
    """Whether it can be listened on now."""
    what = key.replace(".listen", " listener")
    try:
        places = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, place in places:
            with socket.socket(family, kind, protocol) as trying:
                trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    trying.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trying.bind(place)
                trying.listen(1)
    except socket.gaierror:
        return wrong(what, f"{key} {listen}: the name leads to no address; set {key}")
    except OSError as error:
        return wrong(what, f"{key} {listen}: {_why_not(error, listen)}")
    return fine(what, f"{key} {listen} is free")


def _why_not(error: OSError, listen: Address) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"is taken by {owner_of(listen.port) or 'another process'}: stop it, or set another port"
        case errno.EACCES | errno.EPERM:
            return "this user may not listen there, ports below 1024 are reserved: set another port"
        case errno.EADDRNOTAVAIL:
            return "this machine does not have that address: set another"
        case _:
            return error.strerror or str(error)


def owner_of(port: int) -> str | None:
    """Which process listens on a port; ``None`` where that cannot be seen, as of another user's."""
    inodes = set(_inodes(port))
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for handle in (process / "fd").iterdir():
                with suppress(OSError):
                    named = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(handle))  # noqa: PTH115 - it leads nowhere
                    if named is not None and named[1] in inodes:
                        return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return None


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
