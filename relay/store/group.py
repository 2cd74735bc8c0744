"""Group commit: one writer thread commits what has gathered in one transaction, then answers everyone who waited.

While one transaction is being synced, the next requests gather; so the busier it is, the more share one fsync, and an
idle relay answers after one. Nothing waits for company.
"""

import asyncio
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from relay.clock import monotonic
from relay.core.events import Committed, Observer
from relay.store import StoreError, StoreFailed, StoreFull

Command = Any
"""What a store can be asked to do in a transaction; only the store's ``transact`` looks inside."""

Transact = Callable[[Sequence[Command]], Sequence[object]]
"""Do all of it in one transaction, and return one result each, or raise and leave nothing."""


class GroupCommit:
    """The writer thread, its queue, and the event loop's side of both."""

    def __init__(
        self, transact: Transact, *, queue_max: int, batch_max: int = 256, observe: Observer | None = None
    ) -> None:
        self._transact = transact
        self._observe = observe
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._queue: SimpleQueue[tuple[Command, asyncio.Future[Any]] | None] = SimpleQueue()
        self._waiting = 0  # refusable commands that are not answered yet
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._failure: str | None = None
        self._thread = Thread(target=self._write, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """What the latest transaction failed with; ``None`` when it was committed."""
        return self._failure

    def ask(self, command: Command, *, share: float | None = None) -> asyncio.Future[Any]:
        """Put a command into the next transaction; the future is done when that is committed.

        What has a ``share`` is refused with :class:`StoreFull` when so much of the queue is in use; the relay's own
        bookkeeping has none, because refusing it would only keep the queue full.
        """
        if self._closing:
            raise StoreFailed("the store is closing")
        if share is not None and self._waiting >= self._queue_max * share:
            raise StoreFull(f"{self._waiting} requests wait for a commit, and no more may")
        future: asyncio.Future[Any] = self._loop.create_future()
        if share is not None:
            future.add_done_callback(self._let_in)
            self._waiting += 1
        self._queue.put((command, future))
        return future

    def _let_in(self, _: "asyncio.Future[Any]") -> None:
        self._waiting -= 1

    async def close(self) -> None:
        """Commit what was asked for, and end the thread."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # -- the writer thread -----------------------------------------------------------------------------------------

    def _write(self) -> None:
        while (batch := self._gather()) is not None:
            began = monotonic()
            answers = self._commit([command for command, _ in batch])
            took_s = monotonic() - began
            pairs = [(future, answer) for (_, future), answer in zip(batch, answers, strict=True)]
            self._loop.call_soon_threadsafe(self._answer, pairs, took_s)

    def _gather(self) -> list[tuple[Command, asyncio.Future[Any]]] | None:
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._batch_max:
            try:
                further = self._queue.get_nowait()
            except Empty:
                break
            if further is None:
                self._queue.put(None)  # the end comes after what was asked before it
                break
            batch.append(further)
        return batch

    def _commit(self, commands: list[Command]) -> Sequence[object]:
        try:
            results = self._transact(commands)
        except StoreError as error:
            self._failure = str(error)
            return [error] * len(commands)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            if len(commands) == 1:
                return [StoreFailed(f"{type(error).__name__}: {error}")]
            # One command that cannot be kept must not take its company with it.
            return [self._commit([command])[0] for command in commands]
        self._failure = None
        return results

    # -- back on the event loop ------------------------------------------------------------------------------------

    def _answer(self, pairs: list[tuple[asyncio.Future[Any], object]], took_s: float) -> None:
        for future, answer in pairs:
            if future.cancelled():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        kept = sum(not isinstance(answer, Exception) for _, answer in pairs)
        if kept and self._observe is not None:
            self._observe(Committed(kept, took_s))
