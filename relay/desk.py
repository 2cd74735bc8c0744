"""What the private listener is given of the running relay: its parts, as the API and the metrics ask for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.api import ChannelView, Hands, LimitView
from relay.clock import Clock
from relay.core.delivery import Lane, State
from relay.core.order import is_cancelling, is_fetching
from relay.dispatch import Channel, Dispatcher
from relay.guard import Guard
from relay.observe.metrics import CONTENT_TYPE, ChannelFigures, Figures, Metrics
from relay.replayer import Replayer
from relay.store import Store, Tally


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a person sits in front of the relay."""

    store: Store
    dispatchers: Mapping[str, Dispatcher]
    guard: Guard
    replayer: Replayer
    metrics: Metrics
    clock: Clock

    # -- looking ---------------------------------------------------------------------------------------------------

    def channels(self) -> Mapping[str, ChannelView]:
        """Every channel, as it is now."""
        return {
            name: ChannelView(
                mode=_mode(name, d.channel),
                rate=d.rate,
                configured_rate=d.ceiling,
                in_flight=d.in_flight,
                condition=d.condition,
                resting_s=d.resting_s,
                probe_in_s=d.probe_in_s,
                trouble=d.trouble,
                flights=d.flights,
                rate_for_s=d.rate_for_s,
            )
            for name, d in self.dispatchers.items()
        }

    def not_ready(self) -> Sequence[str]:
        """Why no event would be accepted; empty when one would."""
        failure, no_room = self.store.failure(), self.guard.all_refused()
        reasons = [f"the store cannot commit: {failure}"] if failure else []
        return [*reasons, f"every storefront is refused: {no_room}"] if no_room else reasons

    def limits(self) -> Sequence[LimitView]:
        """How near every limit is, and who is refused for it."""
        return [
            LimitView(
                felt.pressure.limit.value, felt.pressure.channel, felt.pressure.level, felt.pressure.words, felt.refused
            )
            for felt in self.guard.pressures
        ]

    async def exposed(self) -> tuple[bytes, str]:
        """The metrics, and their content type."""
        tally = await self.store.tally()
        figures = Figures(
            tally=tally,
            oldest_due=await self.store.oldest_due(),
            dead=await self.store.dead_tally(),
            channels={
                name: ChannelFigures(
                    in_flight=view.in_flight,
                    rate=view.rate,
                    configured_rate=view.configured_rate,
                    allowed_rate=view.allowed_rate,
                    circuit=view.condition.breaker.circuit,
                    paused=view.condition.pause is not None,
                    resting_s=view.resting_s,
                    state=view.state,
                    drain_s=view.drain_s(_to_send(tally, name)),
                )
                for name, view in self.channels().items()
            },
            size=await self.store.size(),
            ready=not self.not_ready(),
            now=self.clock.now(),
            held=await self.store.held_groups(),
        )
        return self.metrics.expose(figures), CONTENT_TYPE

    # -- acting ----------------------------------------------------------------------------------------------------

    @property
    def hands(self) -> Hands:
        """Everything that may be done."""
        return Hands(
            pause=self.pause,
            resume=self.resume,
            set_rate=self.set_rate,
            offer=self.replayer.offer,
            read_again=self.replayer.read_again,
            replay_begun=self.replayer.begun,
            head_starts={name: dispatcher.channel.head_starts for name, dispatcher in self.dispatchers.items()},
        )

    async def pause(self, channel: str, by: str, why: str, token: str | None) -> None:
        """See :meth:`relay.dispatch.Dispatcher.pause`."""
        await self.dispatchers[channel].pause(by, why, token)

    async def resume(self, channel: str, by: str, why: str, token: str | None) -> None:
        """See :meth:`relay.dispatch.Dispatcher.resume`."""
        await self.dispatchers[channel].resume(by, why, token)

    async def set_rate(
        self, channel: str, rate: float | None, for_s: float | None, by: str, why: str, token: str | None
    ) -> None:
        """See :meth:`relay.dispatch.Dispatcher.set_rate`."""
        await self.dispatchers[channel].set_rate(rate, for_s, by, why, token)


def _mode(name: str, channel: Channel) -> str:
    """``async`` or ``sync``; of a channel that does something else than deliver, that."""
    return "fetch" if is_fetching(name) else "cancel" if is_cancelling(name) else channel.mode.value


def _to_send(tally: Tally, channel: str) -> int:
    """How many orders wait for the channel, those between two attempts included."""
    return sum(tally.get((channel, state, lane), 0) for state in (State.WAITING, State.SLEEPING) for lane in Lane)
