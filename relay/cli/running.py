"""``serve``, ``sandbox``, ``demo`` and ``bench``: commands that run something."""

import asyncio
import gc
import json
import os
import resource
import signal
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeVar

import typer

from relay.cli.listening import ListenOption, why_not
from relay.cli.terms import Command, ConfigFile, Json, err, fail, out, settings_from
from relay.config import Address

T = TypeVar("T")

_FAULT_HELP = 'A fault from the start, as JSON: \'{"status": 503, "rate": 0.1}\'. May be repeated.'


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(cls=Command, epilog="Example: order-relay serve --config /etc/order-relay.toml")(serve)
    app.command(cls=Command, epilog="Example: order-relay sandbox --listen 127.0.0.1:8090 --webhook-hash secret")(
        sandbox
    )
    app.command(cls=Command, epilog="Example: order-relay demo")(demo)
    app.command(cls=Command, epilog="Example: order-relay bench --json > figures.json")(bench)


def serve(config: ConfigFile = None, as_json: Json = False) -> None:
    """Run the relay until SIGTERM or Ctrl-C."""
    settings = settings_from(config, serving=True)

    async def until_stopped() -> None:
        from relay.app import running

        stop = _on_signal()
        _collect_rarely()
        _open_as_many_files_as_allowed()
        async with running(settings) as relay:
            _announce(as_json, {"public": relay.public_url, "private": relay.private_url})
            await stop.wait()

    listens = {"public.listen": settings.public.listen, "private.listen": settings.private.listen}
    _run(until_stopped(), listens)


def sandbox(  # noqa: PLR0913 - one option each
    *,
    listen: ListenOption = Address("127.0.0.1", 8090),  # noqa: B008 - frozen
    webhook_hash: Annotated[str, typer.Option(help="What the asynchronous endpoint wants to see.")] = "sandbox-hash",
    token: Annotated[str, typer.Option(help="What the synchronous API wants to see.")] = "sandbox-token",  # noqa: S107
    channel_id: Annotated[
        int, typer.Option(help="The channel's id, in the synchronous endpoint's address.", min=1)
    ] = 1,
    async_rate: Annotated[float, typer.Option(help="Requests per second before 429; 0: no limit.")] = 10.0,
    sync_rate: Annotated[float, typer.Option(help="Writes per second before 429; 0: no limit.")] = 1.0,
    latency: Annotated[float, typer.Option(help="Seconds before every answer.")] = 0.0,
    import_delay: Annotated[float, typer.Option(help="Seconds from a 200 to the sale being there.")] = 0.0,
    fault: Annotated[list[str] | None, typer.Option(help=_FAULT_HELP)] = None,
    as_json: Json = False,
) -> None:
    """Imitate Jetti: both import endpoints, their limits, and faults on request. Needs no account."""
    from relay.sandbox import Fault, SandboxSettings
    from relay.sandbox import sandbox as imitate

    settings = SandboxSettings(
        listen=str(listen), webhook_hash=webhook_hash, token=token, channel_id=channel_id, async_rate=async_rate,
        sync_rate=sync_rate, latency_s=latency, import_delay_s=import_delay,
        faults=tuple(_fault(text, Fault) for text in fault or ()),
    )  # fmt: skip

    async def until_stopped() -> None:
        stop = _on_signal()
        async with imitate(settings) as running:
            _announce(as_json, {"sandbox": running.url})
            await stop.wait()

    _run(until_stopped(), {"--listen": listen})


def demo(
    *,
    orders: Annotated[
        int, typer.Option(help="Old orders that are updated; a fifth as many are new.", min=20, max=2000)
    ] = 200,
    rate: Annotated[float, typer.Option(help="Requests per second that Jetti takes.", min=1, max=20)] = 10.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder with store, configuration and log.")] = False,
) -> None:
    """See the main job done on this machine: a sandbox, a relay, a few hundred webhooks. Needs no account."""
    from relay.demo import Plan, run

    if not _run(run(out, Plan(orders, rate, keep))):
        raise typer.Exit(1)


def bench(
    as_json: Json = False,
    seconds: Annotated[float, typer.Option(help="How long each measurement takes.", min=1, max=120)] = 5.0,
    rounds: Annotated[int, typer.Option(help="How often each pair is measured; the median is quoted.", min=1)] = 3,
) -> None:
    """Measure this machine: acknowledgements and deliveries, as ratios to bare aiohttp in the same run."""
    from relay.bench import run

    run(out, as_json=as_json, seconds=seconds, rounds=rounds)


def _fault(text: str, kind: Any) -> Any:
    try:
        return kind(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise typer.BadParameter(f"{text!r} is no fault: {error}", param_hint="--fault") from None


def _announce(as_json: bool, addresses: dict[str, str]) -> None:
    """One line with the addresses that are really listened on, so that scripts need not guess."""
    line = json.dumps(addresses) if as_json else "ready: " + ", ".join(f"{k} {v}" for k, v in addresses.items())
    print(line, flush=True)


def _collect_rarely() -> None:
    """Requests leave little cyclic garbage, and looking for it as often as by default takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _open_as_many_files_as_allowed() -> None:
    """Every connection is one, and the limit that a process starts with is often lower than the one it may set."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems tell no limit, and have one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _on_signal() -> asyncio.Event:
    """Set by the first signal. A second one ends the process at once: nothing acknowledged is lost by that."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    return stop


def _run(main: Coroutine[Any, Any, T], listens: Mapping[str, Address] | None = None) -> T:
    """Under uvloop; what the operator can mend is said in one line."""
    import uvloop

    from relay.store import StoreError

    try:
        return uvloop.run(main)
    except StoreError as error:
        fail(str(error))
    except OSError as error:
        fail(why_not(error, listens or {}))
    except KeyboardInterrupt:
        err.print("stopped")
        raise typer.Exit(1) from None
