"""The composition root: builds everything from the configuration, and returns it running."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version as version_of
from typing import cast

from aiohttp import web
from pydantic import SecretStr

from relay.api import Pulse, View, api
from relay.cancelling import Canceller, SalesApi
from relay.clock import Clock, SystemClock
from relay.config import Channel as ChannelSettings
from relay.config import (
    ConfigError,
    Secrets,
    Settings,
    Storefront,
    current_api_token,
    current_secrets,
    kind_of,
    registered,
)
from relay.config.kinds.bigcommerce import BigCommerceStorefront
from relay.config.kinds.native import NativeStorefront
from relay.config.kinds.thin import ThinStorefront
from relay.console import add_console
from relay.core import instant
from relay.core.delivery import HeadStarts, State
from relay.core.events import Happening, LoopLate, Observer, Started, Stopped, Stopping, Warned
from relay.core.mapping import Maker
from relay.core.order import cancelling, fetching
from relay.core.pace import Mode
from relay.core.preview import Previewer
from relay.core.sources import Source, Thin
from relay.core.trace import Tracer
from relay.core.whereabouts import way_out
from relay.desk import Desk
from relay.destination import Destination, Endpoint, async_headers, session, sync_headers
from relay.dispatch import Cancelling, Channel, Delivering, Dispatcher, Errand, Fetching
from relay.fetching import Api, Fetcher, bigcommerce, squarespace
from relay.guard import Gate, Guard, Room
from relay.housekeeping import Housekeeper, Retention
from relay.ingest import Door, Ingest, Limits
from relay.inspector import Inspector
from relay.listener import Bounds, Listener
from relay.observe.logs import Gathered, Logs, libraries_in, logger
from relay.observe.metrics import Metrics
from relay.releaser import Releaser, Rule
from relay.replayer import Reader, Replayer
from relay.store import Receipt, Revived, Settled, Store, StoreError
from relay.store.memory import MemoryStore
from relay.store.sqlite import SqliteStore

VERSION = version_of("order-relay")

_PROBE_S = 2.0
_UNFINISHED = frozenset((State.WAITING, State.SLEEPING, State.DEAD))
_PULSE_S = 0.25
_DAY_S = 86_400.0
_CANCELS_MAX = 4
"""Sales that are cancelled at the same time, at the most, on each channel."""
_BUSY = 0.05
"""Of the commit queue in use: then housekeeping gives way, and so does the releaser."""


@dataclass(slots=True)
class Relay:
    """A relay that runs."""

    public_url: str
    private_url: str
    store: Store
    dispatchers: Mapping[str, Dispatcher] = field(repr=False)
    guard: Guard | None = field(default=None, repr=False)
    tracer: Tracer | None = field(default=None, repr=False)
    """Where traces are made."""
    stopping: bool = False


async def open_store(settings: Settings, observe: Observer | None = None) -> Store:
    """The store that the configuration names. Raises :class:`relay.store.StoreError`."""
    path = settings.store.path
    if path is None:
        return MemoryStore()
    return await SqliteStore.open(path, queue_max=settings.public.queue_max, observe=observe)


@asynccontextmanager
async def running(
    settings: Settings, *, clock: Clock | None = None, observers: Iterable[Observer] | None = None
) -> AsyncIterator[Relay]:
    """A relay as the configuration says; on leaving it stops accepting, finishes or hands back what is in flight,
    and closes the store.

    Raises :class:`relay.store.StoreError` when the store cannot be opened, :class:`OSError` when an address cannot be
    listened on. Ends with an :class:`ExceptionGroup` should a part of it die.
    """
    clock = clock or SystemClock()
    metrics = Metrics(version=VERSION, storefronts=settings.storefronts, channels=_channels(settings), now=clock.now)
    watching: list[Observer] = [metrics, *(observers or ())]

    def observe(happening: Happening) -> None:
        for observer in watching:
            observer(happening)

    async with AsyncExitStack() as stack:
        if observers is None:
            gathered = Gathered(sys.stderr.fileno())
            stack.callback(gathered.close)
            log = logger(settings.log.level, settings.log.format, gathered, settings.log.quiet)
            stack.enter_context(libraries_in(log))
            watching.append(Logs(log))
        store = await open_store(settings, observe)
        stack.callback(observe, Stopped())
        stack.push_async_callback(store.close)
        metrics.remember({name: sender.last_at for name, sender in (await store.storefronts()).items()})
        makers = {name: maker_of(storefront) for name, storefront in settings.storefronts.items()}
        relay = Relay("", "", store, {}, tracer=await _tracer(settings, clock, observe, watching, stack))
        ingest, inspector, guard = _way_in(settings, relay, makers, clock, observe)
        relay.dispatchers = dispatchers = await _dispatchers(settings, relay, makers, inspector, clock, observe, stack)
        pulse = Pulse(clock, tuple(settings.storefronts))
        watching += [inspector, guard, pulse]
        housekeeper = _housekeeper(settings, store, ingest, clock, observe)
        replayer = _replayer(settings, relay, makers, clock, observe)
        releaser = _releaser(settings, relay, makers, replayer.offer, ingest, clock, observe)
        desk = Desk(store, dispatchers, guard, replayer, metrics, clock)
        private = await _private(settings, relay, desk, pulse, observe, stack)
        public = Listener(ingest, _bounds(settings), observe)
        host, port = await public.open(settings.public.listen.host, settings.public.listen.port)
        stack.push_async_callback(public.close, 0.0)
        relay.public_url, relay.private_url = _url(host, port), private
        observe(
            Started(
                VERSION, relay.public_url, relay.private_url, settings.store.url,
                tuple(settings.storefronts), tuple(settings.channels),
            )
        )  # fmt: skip
        for warning in (*_warnings(settings), *await _stranded(store, dispatchers, settings)):
            observe(warning)
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(dispatcher.run()) for dispatcher in dispatchers.values()]
            loops.append(tasks.create_task(inspector.run()))
            loops.append(tasks.create_task(guard.run()))
            loops.append(tasks.create_task(housekeeper.run()))
            loops.append(tasks.create_task(replayer.run()))
            loops.append(tasks.create_task(releaser.run()))
            loops.append(tasks.create_task(_until_mended(store, clock)))
            loops.append(tasks.create_task(_pulse(clock, observe)))
            try:
                yield relay
            finally:
                relay.stopping = True
                observe(Stopping(settings.life.shutdown_grace_s))
                await _stop(public, loops, dispatchers.values(), settings.life.shutdown_grace_s)


async def _tracer(
    settings: Settings, clock: Clock, observe: Observer, watching: list[Observer], stack: AsyncExitStack
) -> Tracer | None:
    """Make traces, if they are asked for; from here on it watches. Where OpenTelemetry's variables cannot be used, the
    relay runs without."""
    asked = settings.tracing
    if not asked.enabled:
        return None
    from relay.observe.tracing import Options, is_disabled, tracing  # the extra may not be installed

    if is_disabled():
        observe(Warned("OTEL_SDK_DISABLED is true: no traces are made", "unset it, or set tracing.enabled = false"))
        return None
    if asked.endpoint is None and os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").startswith("grpc"):
        said = "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and traces are sent over HTTP"
        remedy = "set tracing.endpoint to where the collector takes OTLP over HTTP, such as http://collector:4318"
        observe(Warned(said, remedy, is_wrong=True))
    addresses = {name: _endpoint(table, Secrets(None, None)).url for name, table in settings.channels.items()}
    addresses |= {cancelling(name): table.api_url for name, table in settings.channels.items()}
    addresses |= {fetching(name): storefront.api_url for name, storefront in settings.thin.items()}
    options = Options(
        VERSION, asked.endpoint, asked.sent_headers, asked.sample_ratio, asked.service_name, asked.trust_parent,
        addresses,
    )  # fmt: skip
    try:
        made = await stack.enter_async_context(tracing(options, clock.now, observe))
    except ValueError as error:
        observe(Warned(f"no traces are made: {error}", "mend the variables that begin with OTEL_", is_wrong=True))
        return None
    watching.append(made)
    return made


def _warnings(settings: Settings) -> Iterator[Warned]:
    """What is better known before it costs orders."""
    if settings.store.path is None:
        said = 'store.url is "memory:": acknowledged orders are gone with the process'
        yield Warned(said, "for anything but a trial, set it to sqlite:PATH")
    for channel, sharing in settings.sharing().items():
        said = f"storefronts {', '.join(sharing)} share channel {channel}: there an id of one is an id of the other"
        yield Warned(said, "give each an external_id_prefix of its own, unless their ids can never be the same")
    for trouble in registered().troubles:
        yield Warned(str(trouble), f"mend the package {trouble.package}, or uninstall it")
    for key in settings.placeholders():
        yield Warned(f"{key} still is the example's, which everyone knows", "put your own there", is_wrong=True)


def _channels(settings: Settings) -> list[str]:
    """Every channel, those included on which orders are fetched or cancelled."""
    return [*settings.channels, *map(fetching, settings.thin), *map(cancelling, settings.cancelling)]


async def _cancelled_on(settings: Settings, store: Store) -> list[str]:
    """Channels whose sales are cancelled through Jetti's API: as it is configured, and where orders are left from when
    it was, as long as there is what the call needs."""
    left = {channel for (channel, state, _), orders in (await store.tally()).items() if orders and state in _UNFINISHED}
    configured = settings.cancelling
    also = (n for n, t in settings.channels.items() if n not in configured and t.token and t.channel_id is not None)
    return [*configured, *(name for name in also if cancelling(name) in left)]


async def _stranded(store: Store, dispatchers: Container[str], settings: Settings) -> list[Warned]:
    """Orders that wait for a channel which is not configured (renamed, removed): nobody will send them."""
    waiting: dict[str, int] = {}
    for (channel, state, _), orders in (await store.tally()).items():
        if channel not in dispatchers and state in (State.WAITING, State.SLEEPING):
            waiting[channel] = waiting.get(channel, 0) + orders
    warned = [
        Warned(f"{orders} order(s) wait for channel {name}, which is not configured", way_out(name), is_wrong=True)
        for name, orders in waiting.items()
        if orders
    ]
    for group in await store.held_groups():
        if group.storefront not in settings.storefronts:
            said = f"{group.count} order(s) of storefront {group.storefront}, which is not configured, are held"
            warned.append(Warned(said, f"configure the storefront again; or see: {_held_list(group.storefront)}"))
    return warned


def _held_list(storefront: str) -> str:
    return f"order-relay held list --storefront {storefront}"


async def _until_mended(store: Store, clock: Clock) -> None:
    """While the store fails, see whether it works again: no webhook may be coming that would find out."""
    while True:
        await clock.sleep(_PROBE_S)
        if store.failure() is not None:
            with suppress(StoreError):
                await store.probe()


async def _pulse(clock: Clock, observe: Observer) -> None:
    """Tell how late the event loop is: everything that is answered is late by as much."""
    while True:
        due = clock.monotonic() + _PULSE_S
        await clock.sleep(_PULSE_S)
        observe(LoopLate(max(0.0, clock.monotonic() - due)))


async def _stop(
    public: Listener, loops: Sequence[asyncio.Task[None]], dispatchers: Iterable[Dispatcher], grace_s: float
) -> None:
    """No new events, then no new requests; what is in flight has ``grace_s`` seconds in all."""
    public.stop_accepting()
    for loop in loops:
        loop.cancel()
    await asyncio.gather(public.close(grace_s), *(dispatcher.finish(grace_s) for dispatcher in dispatchers))


def _way_in(
    settings: Settings, relay: Relay, makers: Mapping[str, Maker], clock: Clock, observe: Observer
) -> tuple[Ingest, Inspector, Guard]:
    limits = Limits(
        body_max_bytes=settings.public.body_max_bytes,
        body_timeout_s=settings.public.body_timeout_s,
        retry_after_s=settings.public.retry_after_s,
        queue_max=settings.public.queue_max,
    )

    def onward(settled: Settled) -> None:
        _onward(relay.dispatchers, inspector, settled)

    inspector = Inspector(relay.store, makers.get, clock, observe, onward, relay.tracer)
    waits_s = {fetching(name): storefront.fetch.wait_s for name, storefront in settings.thin.items()}

    def hand_on(channel: str, receipt: Receipt) -> None:
        if receipt.waiting is not None:
            relay.dispatchers[channel].offer(receipt.waiting)
        if channel in waits_s:
            relay.dispatchers[channel].asleep(instant.after(clock.now(), waits_s[channel]))
        elif receipt.order_id is not None and receipt.revision is not None:
            inspector.offer(receipt.order_id)

    doors = {name: _door(name, storefront, settings, makers[name]) for name, storefront in settings.storefronts.items()}
    onwards = {name: storefront.channel for name, storefront in settings.thin.items()}
    gates = {name: Gate(door.channel, door.refuse_at, onwards.get(name)) for name, door in doors.items()}
    backlog_max = {name: channel.backlog_max for name, channel in settings.channels.items()}
    backlog_max |= {fetching(name): storefront.fetch.backlog_max for name, storefront in settings.thin.items()}
    room = Room(backlog_max, settings.store.disk_free_min_bytes)
    guard = relay.guard = Guard(gates, room, relay.store, lambda: ingest.queue_share, clock, observe)
    ingest = Ingest(doors, relay.store.accept, hand_on, guard.refusal, limits, clock, observe)
    ingest.tracer = relay.tracer
    return ingest, inspector, guard


def _housekeeper(settings: Settings, store: Store, ingest: Ingest, clock: Clock, observe: Observer) -> Housekeeper:
    retention = settings.retention
    kept = Retention(retention.bodies_days * _DAY_S, retention.finished_days * _DAY_S, retention.sweep_every_s)
    return Housekeeper(store, kept, partial(_is_busy, ingest), clock, observe)


def _replayer(
    settings: Settings, relay: Relay, makers: Mapping[str, Maker], clock: Clock, observe: Observer
) -> Replayer:
    head_starts = {name: dispatcher.channel.head_starts for name, dispatcher in relay.dispatchers.items()}
    doors = {name: _door(name, storefront, settings, makers[name]) for name, storefront in settings.storefronts.items()}
    readers = {
        name: Reader(door.source, door.channel, door.head_starts, door.new_order_window_s, door.fetch_after_s)
        for name, door in doors.items()
    }

    def offer(revived: Revived) -> None:
        if revived.channel in relay.dispatchers:  # of one that is not configured any more, nobody sends it
            relay.dispatchers[revived.channel].offer(revived.waiting)

    return Replayer(relay.store, readers, head_starts, offer, clock, observe)


def _releaser(
    settings: Settings,
    relay: Relay,
    makers: Mapping[str, Maker],
    offer: Callable[[Revived], None],
    ingest: Ingest,
    clock: Clock,
    observe: Observer,
) -> Releaser:
    rules = {name: Rule(makers[name], storefront.channel) for name, storefront in settings.storefronts.items()}
    head_starts = {name: channel.head_starts for name, channel in settings.channels.items()}
    return Releaser(relay.store, rules, head_starts, offer, partial(_is_busy, ingest), clock, observe)


def _is_busy(ingest: Ingest) -> bool:
    return ingest.queue_share > _BUSY


async def _private(
    settings: Settings, relay: Relay, desk: Desk, pulse: Pulse, observe: Observer, stack: AsyncExitStack
) -> str:
    """Open the private listener; its address."""

    def not_ready() -> Sequence[str]:
        return [*desk.not_ready(), *(["stopping"] if relay.stopping else [])]

    view = View(
        version=VERSION,
        started_at=desk.clock.now(),
        store_url=settings.store.url,
        storefronts={
            name: {"kind": s.kind, "channel": s.channel, "accept_when": s.accept_when}
            for name, s in settings.storefronts.items()
        },
        channels=desk.channels,
        not_ready=not_ready,
        metrics=desk.exposed,
        hands=desk.hands,
        pulse=pulse,
        limits=desk.limits,
        previewers={name: previewer_of(name, storefront) for name, storefront in settings.storefronts.items()},
        body_max_bytes=settings.public.body_max_bytes,
        host=settings.private.listen.host,
        tokens={name: token.get_secret_value() for name, token in settings.private.secrets.items()},
    )
    served = api(view, relay.store, desk.clock, observe)
    add_console(served)
    runner = web.AppRunner(served, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, settings.private.listen.host, settings.private.listen.port).start()
    host, port = runner.addresses[0][:2]
    return _url(host, port)


async def _dispatchers(
    settings: Settings,
    relay: Relay,
    makers: Mapping[str, Maker],
    inspector: Inspector,
    clock: Clock,
    observe: Observer,
    stack: AsyncExitStack,
) -> Mapping[str, Dispatcher]:
    """One for each channel, one for each storefront whose orders are fetched, and one for each channel whose sales are
    cancelled through Jetti's API."""

    def onward(settled: Settled) -> None:
        _onward(relay.dispatchers, inspector, settled)

    def dispatcher(channel: Channel, errand: Errand) -> Dispatcher:
        made = Dispatcher(channel, relay.store, errand, clock, observe, random.random, onward)
        made.tracer = relay.tracer
        return made

    made: dict[str, Dispatcher] = {}
    for name, table in settings.channels.items():
        wire = await _wire(name, table, clock, stack)
        delivering = Delivering(relay.store, makers.get, wire, cancel_after_s=table.imported_after_s)
        made[name] = dispatcher(_channel(name, table), delivering)
    for name in await _cancelled_on(settings, relay.store):
        canceller = await _canceller(name, settings.channels[name], clock, stack)
        errand = Cancelling(relay.store, makers.get, canceller)
        made[cancelling(name)] = dispatcher(_cancelling(name, settings.channels[name]), errand)
    for name, storefront in settings.thin.items():
        source = cast("Thin", makers[name].source)  # a thin storefront's is one
        fetcher = await _fetcher(name, storefront, source, clock, stack)
        starts, window_s = settings.channels[storefront.channel].head_starts, storefront.new_order_window_s
        reading = Fetching(fetcher, source, storefront.channel, starts, window_s, clock, observe)
        made[fetching(name)] = dispatcher(_fetching(name, storefront, starts), reading)
    return made


def _onward(dispatchers: Mapping[str, Dispatcher], inspector: Inspector, settled: Settled) -> None:
    """An order goes on on another channel: what was fetched is delivered, what was in flight is to be fetched, what was
    delivered is to be cancelled."""
    order = settled.order
    if order.channel not in dispatchers:  # it is not configured any more: nobody sends it
        return
    if settled.waiting is not None:
        dispatchers[order.channel].offer(settled.waiting)
        inspector.offer(order.id)
    elif order.state is State.SLEEPING:
        dispatchers[order.channel].asleep(order.due_at)


def _channel(name: str, settings: ChannelSettings) -> Channel:
    return Channel(
        name=name,
        mode=settings.import_mode,
        pace=settings.pace,
        retry=settings.retry.policy,
        breaker=settings.breaker.policy,
        head_starts=settings.head_starts,
        in_flight_max=settings.in_flight_max,
        window=settings.window,
    )


def _fetching(name: str, storefront: ThinStorefront, head_starts: HeadStarts) -> Channel:
    """The channel on which a storefront's orders are fetched."""
    fetch = storefront.fetch
    return Channel(
        name=fetching(name),
        pace=fetch.pace,
        retry=fetch.retry.policy,
        breaker=fetch.breaker.policy,
        head_starts=head_starts,
        in_flight_max=fetch.in_flight_max,
        window=fetch.window,
        wait_s=fetch.wait_s,
    )


def _cancelling(name: str, settings: ChannelSettings) -> Channel:
    """The channel on which a channel's sales are cancelled."""
    return Channel(
        name=cancelling(name),
        mode=Mode.SYNC,
        pace=settings.cancel_pace,
        retry=settings.retry.policy,
        breaker=settings.breaker.policy,
        head_starts=settings.head_starts,
        in_flight_max=min(settings.in_flight_max, _CANCELS_MAX),
        window=settings.window,
        wait_s=settings.cancel_after_s,
    )


async def _wire(name: str, settings: ChannelSettings, clock: Clock, stack: AsyncExitStack) -> Destination:
    connections = await stack.enter_async_context(session(settings.in_flight_max))
    known = Secrets(settings.webhook_hash, settings.token)
    return Destination(_endpoint(settings, known), connections, clock, partial(_endpoint_again, name, settings))


async def _canceller(name: str, settings: ChannelSettings, clock: Clock, stack: AsyncExitStack) -> Canceller:
    connections = await stack.enter_async_context(session(_CANCELS_MAX))
    api = _sales_api(settings, Secrets(settings.webhook_hash, settings.token))

    def again() -> SalesApi:
        with _naming(f"channels.{name}"):
            return _sales_api(settings, current_secrets(settings))

    return Canceller(api, connections, clock, again)


def _sales_api(settings: ChannelSettings, secrets: Secrets) -> SalesApi:
    """Where a channel's sales are looked up and cancelled. The configuration was refused without token and id."""
    token = _shown(secrets.token)
    return SalesApi(
        settings.api_url.rstrip("/"), settings.channel_id or 0, sync_headers(token), settings.timeout_s, token.encode(),
        frozenset(settings.permanent_codes),
    )  # fmt: skip


async def _fetcher(name: str, storefront: ThinStorefront, source: Thin, clock: Clock, stack: AsyncExitStack) -> Fetcher:
    connections = await stack.enter_async_context(session(storefront.fetch.in_flight_max))
    api = api_of(storefront, _shown(storefront.api_token))
    return Fetcher(api, source, connections, clock, partial(_api_again, name, storefront))


def api_of(storefront: ThinStorefront, token: str) -> Api:
    """A storefront's API, with a token."""
    if isinstance(storefront, BigCommerceStorefront):
        api = bigcommerce(storefront.store_hash, token, url=storefront.api_url)
    else:
        api = squarespace(token, url=storefront.api_url)
    return replace(api, timeout_s=storefront.api_timeout_s)


def _api_again(name: str, storefront: ThinStorefront) -> Api:
    """With the token as its file holds it now. Raises :class:`ValueError` that names the file."""
    with _naming(f"storefronts.{name}"):
        return api_of(storefront, _shown(current_api_token(storefront)))


@contextmanager
def _naming(table: str) -> Iterator[None]:
    """What is wrong with a file of secrets, with the whole names of its keys."""
    try:
        yield
    except ConfigError as error:
        raise ValueError("; ".join(f"{table}.{problem}" for problem in error.problems)) from None


def _endpoint_again(name: str, settings: ChannelSettings) -> Endpoint:
    """With the secrets as their files hold them now. Raises :class:`ValueError` that names the file."""
    with _naming(f"channels.{name}"):
        return _endpoint(settings, current_secrets(settings))


def _endpoint(settings: ChannelSettings, secrets: Secrets) -> Endpoint:
    """Where a channel's sales go; Jetti's documentation has the two addresses."""
    if settings.import_mode is Mode.ASYNC:
        url, headers = settings.async_url, async_headers(_shown(secrets.webhook_hash))
    else:
        url = f"{settings.api_url.rstrip('/')}/api/channels/{settings.channel_id}/manual-sale.json"
        headers = sync_headers(_shown(secrets.token))
    secret = secrets.webhook_hash if settings.import_mode is Mode.ASYNC else secrets.token
    return Endpoint(url, headers, settings.timeout_s, _shown(secret).encode(), frozenset(settings.permanent_codes))


def _shown(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _source(storefront: Storefront) -> Source:
    made: Source = kind_of(storefront).source(storefront)
    return made


def maker_of(storefront: Storefront) -> Maker:
    """How a storefront's orders are made into sales."""
    criterion = storefront.criterion
    return Maker(
        source=_source(storefront),
        property_style=storefront.property_style,
        skip_unchanged=storefront.skip_unchanged,
        shape=storefront.shape,
        accept_when=None if criterion is None else criterion.holds_for,
        override=storefront.overriding,
        calls_off=storefront.calls_off,
        leaves_cancelled=storefront.leaves_cancelled,
    )


def previewer_of(name: str, storefront: Storefront) -> Previewer:
    """To try a storefront's webhooks with."""
    maker = maker_of(storefront)
    return Previewer(name, storefront.kind, storefront.channel, maker, storefront.new_order_window_s)


def _door(name: str, storefront: Storefront, settings: Settings, maker: Maker) -> Door:
    # Who sends manual sales shows a secret; all others sign, and their source looks at that.
    secrets = storefront.secret_texts if isinstance(storefront, NativeStorefront) else ()
    return Door(
        storefront=name,
        channel=fetching(name) if isinstance(storefront, ThinStorefront) else storefront.channel,
        source=maker.source,
        secrets=tuple(secret.encode() for secret in secrets),
        head_starts=settings.channels[storefront.channel].head_starts,
        new_order_window_s=storefront.new_order_window_s,
        refuse_at=storefront.refuse_at,
        fetch_after_s=storefront.fetch.wait_s if isinstance(storefront, ThinStorefront) else 0.0,
    )


def _bounds(settings: Settings) -> Bounds:
    public = settings.public
    return Bounds(
        connections_max=public.connections_max,
        first_request_s=public.body_timeout_s,
        body_max_bytes=public.body_max_bytes,
        headers_max_bytes=public.headers_max_bytes,
    )


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
