"""Who pauses and resumes channels, mends secrets, replays and discards dead letters."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from relay.core.delivery import Lane, State
from relay.core.order import Order
from relay.store import Deed, Discarding, Revival, StoreError
from tests.simulation.scenario import Act, Weather

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

T = TypeVar("T")


class Persons:
    """They see to it that what they do gets done, whatever the relay does meanwhile."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.paused: set[str] = set()
        """Channels of which they were told that they are paused."""
        self.discarded: set[int] = set()
        self._one_at_a_time = asyncio.Lock()

    @property
    def are_busy(self) -> bool:
        """Whether someone is pausing or resuming a channel, and does not know yet that it is done."""
        return self._one_at_a_time.locked()

    async def run(self) -> None:
        """Everything that they are to do, each thing after the other."""
        mends = [
            Act(spell.until_s, "mend", name)
            for name, line in self._world.lines.items()
            for spell in line.spells
            if spell.weather is Weather.WRONG and spell.how == "401"
        ]
        async with asyncio.TaskGroup() as acts:
            for act in sorted((*self._world.scenario.acts, *mends), key=lambda act: act.at_s):
                await self._world.clock.sleep(max(0.0, act.at_s - self._world.elapsed()))
                acts.create_task(self._do(act))

    async def _do(self, act: Act) -> None:
        match act.what:
            case "pause":
                await self.pause(act.channel)
            case "resume":
                await self.resume(act.channel)
            case "mend":
                jetti = self._world.jettis[act.channel]
                jetti.file_secret = jetti.secret
                self._world.note("the secret is written down anew", act.channel)
                if self._world.chance.draw("mend") < 0.5:
                    await self.resume(act.channel)
            case "replay":
                await self.replay(act.channel, self._dead(act.channel))
            case _:
                await self.discard(act.channel)

    async def pause(self, channel: str) -> None:
        async with self._one_at_a_time:
            self._world.note("ann pauses", channel)
            await self._insist(lambda process: process.dispatchers[channel].pause("ann", "stocktaking"))
            self.paused.add(channel)
            self._world.paused(channel)

    async def resume(self, channel: str) -> None:
        def asked(process: "Process") -> Awaitable[None]:
            self.paused.discard(channel)
            self._world.resuming(channel)
            return process.dispatchers[channel].resume("ann", "try again")

        async with self._one_at_a_time:
            await self._insist(asked)
            self._world.note("ann has resumed it", channel)

    async def replay(self, channel: str, orders: list[Order]) -> None:
        """Dead letters wait again, in the lane for that."""
        world = self._world
        if not orders:
            return

        async def do(process: "Process") -> None:
            now = world.clock.now()
            starts = {channel: world.lines[channel].channel.head_starts}
            deed = Deed(now, "ann", "replay", f"channel {channel}", "mended")
            revival = Revival([order.id for order in orders], now, starts, Lane.REPLAY, deed=deed)
            for revived in await process.fence.revive(revival):
                process.dispatchers[revived.channel].offer(revived.waiting)

        await self._insist(do)

    async def discard(self, channel: str) -> None:
        """Some dead letters need nothing."""
        world = self._world
        orders = [order.id for order in self._dead(channel) if world.chance.draw("discard") < 0.5]
        deed = Deed(world.clock.now(), "ann", "discard", f"channel {channel}", "they were tests")
        discarded, _ = await world.disk.discard(Discarding(deed, orders))
        self.discarded.update(discarded)
        for order_id in discarded:
            world.note("ann discards it", channel, world.name_of(order_id))

    def _dead(self, channel: str) -> list[Order]:
        return [o for o in self._world.orders() if o.state is State.DEAD and o.channel == channel]

    async def _insist(self, do: Callable[["Process"], Awaitable[T]]) -> T:
        """Until it is done, by whichever process."""
        while True:
            process = self._world.process
            if process is not None and process.alive:
                done = asyncio.ensure_future(do(process))
                died = asyncio.create_task(process.died.wait())
                try:
                    await asyncio.wait({done, died}, return_when=asyncio.FIRST_COMPLETED)
                    if done.done() and process.alive:
                        return done.result()
                except (StoreError, ValueError):
                    pass
                finally:
                    done.cancel()
                    died.cancel()
                    await asyncio.gather(done, died, return_exceptions=True)
            await self._world.clock.sleep(2.0)
