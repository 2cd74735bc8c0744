"""``send``: a webhook from a file, signed as its storefront signs, to a relay's public listener."""

import json
import secrets
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import typer

from relay.cli.asking import address
from relay.cli.given import content_of, storefront_named
from relay.cli.named import as_word
from relay.cli.terms import Command, ConfigFile, Json, fail, out, say, settings_from
from relay.clock import SystemClock
from relay.config import Settings, Storefront, kind_of
from relay.config.kinds.native import NativeStorefront
from relay.config.values import is_loopback

_TIMEOUT_S = 30
_LINES = frozenset((".ndjson", ".jsonl"))
_DIRECT = build_opener(ProxyHandler({}))
"""No proxy: the secret of a native storefront is none of its business."""
_NO_TOPIC = 'kind = "{kind}" has no header for a topic here: leave --topic out'
Answers = list[dict[str, Any]]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command, epilog="Example: order-relay send order.json --storefront shop --topic orders/create")(
        send
    )


def send(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The webhook's body, or manual sales; - reads them.")],
    storefront: Annotated[
        str | None, typer.Option(help="As which storefront. Default: the only one.", metavar="NAME")
    ] = None,
    topic: Annotated[str, typer.Option(help="The topic, where the storefront has a header for it.")] = "",
    webhook_id: Annotated[
        str | None,
        typer.Option("--id", help="The webhook's id; the same again is a duplicate. Default: a new one.", metavar="ID"),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="The relay's public address. Default: public.listen of the configuration.", callback=address),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Send a webhook as its storefront would, signed with its first secret: to try a relay without the storefront."""
    settings = settings_from(config)
    name = storefront_named(settings, storefront)
    table = settings.storefronts[name]
    body = content_of(file, settings.public.body_max_bytes)
    base = to or _base(settings)
    if isinstance(table, NativeStorefront):
        if urlsplit(base).scheme == "http" and not is_loopback(urlsplit(base).hostname or ""):
            fail(f"{base} would show the storefront's token to everyone on the way: use https://")
        if topic:
            fail(_NO_TOPIC.format(kind=table.kind))
        path, headers = "/orders", _as_caller(table, file, webhook_id)
    else:
        path, headers = f"/webhooks/{name}", _as_signer(table, body, topic, webhook_id)
    status, answers = _post(base + path, body, headers)
    if as_json:
        print(json.dumps(answers[0] if len(answers) == 1 else answers, indent=2))
    else:
        for answer in answers:
            _print(answer)
    if status >= 300 or any("event" not in answer for answer in answers):
        raise typer.Exit(1)


def _base(settings: Settings) -> str:
    listen = settings.public.listen
    if listen.port == 0:
        fail("public.listen has port 0, so only the relay knows its address: give the one it printed with --to")
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(listen.host)  # noqa: S104 - not listened on
    return f"http://{listen}" if everywhere is None else f"http://{everywhere}:{listen.port}"


def _as_caller(table: NativeStorefront, file: Path, webhook_id: str | None) -> Mapping[str, str]:
    kind = "application/x-ndjson" if file.suffix in _LINES else "application/json"
    headers = {"Authorization": f"Bearer {table.secret_texts[0]}", "Content-Type": kind}
    return headers | ({"Idempotency-Key": webhook_id} if webhook_id else {})


def _as_signer(table: Storefront, body: bytes, topic: str, webhook_id: str | None) -> Mapping[str, str]:
    kind = kind_of(table)
    signed = getattr(kind.source(table), "signed", None)
    if signed is None:
        fail(f'kind = "{kind.name}" can only read signatures and makes none: let the storefront itself send a webhook')
    given = webhook_id or f"send_{secrets.token_hex(8)}"
    headers: Mapping[str, str] = signed(body, topic=topic, webhook_id=given, now=SystemClock().now())
    if topic and topic not in headers.values():
        fail(_NO_TOPIC.format(kind=kind.name))
    return {**headers, "Content-Type": "application/json"}


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Answers]:
    try:
        status, text = _answer(Request(url, body, dict(headers)))  # noqa: S310 - the operator's own address
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        said = getattr(reason, "strerror", None) or reason
        fail(f"no relay answers at {url}: {said}. Is it running, and is that its public address?")
    answers = _answers(text)
    if answers is None:
        fail(f"what answers at {url} ({status}) is no relay's public listener: is that its public address?")
    return status, answers


def _answer(request: Request) -> tuple[int, bytes]:
    try:
        with _DIRECT.open(request, timeout=_TIMEOUT_S) as response:
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def _answers(text: bytes) -> Answers | None:
    """One answer, one for each sale of an array, or one on each line. ``None``: it is not the relay that answers."""
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            return None
    answers = found if isinstance(found, list) else [found]
    ours = all(isinstance(answer, dict) and "status" in answer for answer in answers)
    return answers if answers and ours else None


def _print(answer: dict[str, Any]) -> None:
    if "event" not in answer:
        said = str(answer.get("detail", "no reason given"))
        say(out, said, before=f"{answer['status']}: ", style="red", hanging=2)
        for error in answer.get("errors", ()):
            say(out, f"{error['pointer'] or 'the body'}: {error['detail']}", before="  ", hanging=2)
        return
    order, revision, why = answer.get("order"), answer.get("revision"), answer.get("reason")
    parts = [
        f"order {order}" if order is not None else "",
        f"revision {revision}" if revision is not None else "",
        f"event {answer['event']}",
        f"the same webhook as event {answer['duplicate_of']}" if "duplicate_of" in answer else "",
        str(why or ""),
    ]
    say(out, ", ".join(filter(None, parts)), before=f"{answer['status']}: ", style="green", hanging=2)
    if order is not None:
        say(out, f"order-relay order {as_word(order)}", before="what becomes of it: ")
