"""Looks at everything that can be wrong, and says what to do. Changes nothing, here or at the other end.

One module for each thing that is looked at; each makes findings (:mod:`relay.doctor.finding`).
"""

from pathlib import Path

from relay.clock import Clock, SystemClock
from relay.config import Settings
from relay.doctor.answering import answering
from relay.doctor.certificates import certificates
from relay.doctor.finding import Finding, fine
from relay.doctor.line import Line
from relay.doctor.listening import listeners
from relay.doctor.machine import process
from relay.doctor.running import asked, is_this, running
from relay.doctor.secrets import placeholders, readable, shared, weak
from relay.doctor.sense import sense
from relay.doctor.storing import disk, store
from relay.doctor.trying import kinds, samples

__all__ = ["Finding", "examine"]


async def examine(
    settings: Settings, folder: Path, *, offline: bool = False, file: Path | None = None, clock: Clock | None = None
) -> list[Finding]:
    """Look at the configuration, the storefronts' tests, the store, the secrets, this machine, a relay that runs, the
    channels and the APIs, in this order.

    ``folder`` is where the files of the tests are looked for, ``file`` the configuration. ``offline``: nothing but the
    configuration and the tests.
    """
    counted = f"{len(settings.storefronts)} storefront(s), {len(settings.channels)} channel(s)"
    tried = [fine("configuration", counted), *sense(settings), *kinds(), *samples(settings, folder)]
    if offline:
        return tried
    line = Line(clock or SystemClock())
    ends = [*await answering(settings, line), *await certificates(settings, line.clock.now())]
    of_store, owned = await store(settings)
    answer = await asked(settings)
    return [
        *tried,
        *of_store,
        *disk(settings),
        *placeholders(settings),
        *weak(settings),
        *shared(settings),
        *readable(settings, file),
        *process(settings),
        *listeners(settings, running=is_this(settings, answer, owned=owned)),
        *running(settings, answer, owned=owned),
        *ends,
        *line.findings(),
    ]
