"""Questions to a running relay, over its private API."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import typer

from relay.cli.terms import fail, private_from
from relay.config.tables import Private

_TIMEOUT_S = 10
_ABOUT_WHAT_WAS_ASKED = frozenset(
    {
        "already-paused", "body-gone", "invalid-request", "no-dead-letters", "no-held-orders", "no-rate-for-now",
        "not-below-configured", "not-now", "secrets-unreadable", "unknown-channel", "unknown-event", "unknown-order",
        "unknown-replay",
    }
)  # fmt: skip
_DIRECT = build_opener(ProxyHandler({}))
"""No proxy: neither the token nor the question is any of its business."""


def address(url: str | None) -> str | None:
    """``http://host:port``, which may also be written ``host:port``."""
    if url is None:
        return None
    full = url if "://" in url else f"http://{url}"
    with suppress(ValueError):
        parts = urlsplit(full)
        named = re.fullmatch(r"[A-Za-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*", parts.hostname or "") and parts.port != 0
        known = parts.scheme in {"http", "https"} and "@" not in parts.netloc and not parts.query + parts.fragment
        if named and known and (full == url or parts.port is not None) and full.isascii() and full.isprintable():
            return full.rstrip("/")
    raise typer.BadParameter(f"{url!r} is no address: write http://127.0.0.1:9090, or 127.0.0.1:9090")


Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="The relay's private address. Default: private.listen of the configuration.", callback=address
    ),
]


class NoAnswer(Exception):
    """The relay does not answer, or not with what was asked; says why, and what to look at."""


def ask(
    config: Path | None, url: str | None, path: str, member: str, content: Mapping[str, object] | None = None
) -> Any:
    """What the relay answers: an object with such a member, or the command ends with what is wrong.

    With ``content`` it is told to do something: that is what it is sent.
    """
    try:
        return answer(private_from(config).private, url, path, member, content)
    except NoAnswer as said:
        fail(str(said))


def answer(
    private: Private,
    url: str | None,
    path: str,
    member: str,
    content: Mapping[str, object] | None = None,
    *,
    timeout_s: float = _TIMEOUT_S,
) -> Any:
    """The same, for who goes on without an answer. Raises :class:`NoAnswer`."""
    if url is None and private.listen.port == 0:
        raise NoAnswer(
            "private.listen has port 0, so only the relay knows its address: give the one it printed with --url"
        )
    base, key = (url, "--url") if url else (f"http://{private.listen}", "private.listen")
    token = private.shown
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    data = None if content is None else json.dumps(content).encode()
    if data is not None:
        headers["Content-Type"] = "application/json"
    request = Request(base + path, data, headers)  # noqa: S310 - the operator's own address
    try:
        with _DIRECT.open(request, timeout=timeout_s) as response:
            found = json.load(response)
    except HTTPError as error:
        raise NoAnswer(_refusal(base, error)) from None
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        said = getattr(reason, "strerror", None) or reason
        raise NoAnswer(f"no relay answers at {base}: {said}. Is it running, and is {key} right?") from None
    if not isinstance(found, dict) or member not in found:
        raise NoAnswer(f"what answers at {base} is not a relay's private listener: is {key} right?")
    return found


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the relay is asked."""

    config: Path | None
    url: str | None

    def ask(self, path: str, member: str, content: Mapping[str, object] | None = None) -> Any:
        """See :func:`ask`."""
        return ask(self.config, self.url, path, member, content)


def _refusal(base: str, error: HTTPError) -> str:
    """The problem's own words if it is about what was asked; else who said it, and with which status, too."""
    said = None
    with suppress(HTTPException, OSError, ValueError):
        said = json.load(error)
    problem = said if isinstance(said, dict) else {}
    kind, detail = str(problem.get("type", "")).rpartition(":")[2], problem.get("detail")
    if detail and kind in _ABOUT_WHAT_WAS_ASKED:
        return str(detail)
    nowhere = error.code in {404, 405} and kind in {"", "unknown-path", "only-post"}
    hint = ". Is that its private listener?" if nowhere else ""
    return f"the relay at {base} answered {error.code}: {detail or error.reason}{hint}"
