"""What this process may use of the machine."""

import os
import resource
from pathlib import Path

from relay.config import Settings
from relay.doctor.finding import Finding, doubtful, fine, wrong

_FILES_BESIDES = 64
"""Open files that are no connections: the store, its readers, logs, listeners, what Python has open."""
_PRIVATE_CONNECTIONS = 64
_MEMORY_BYTES = 268_435_456
"""Held to with a million orders waiting."""
_UNLIMITED = 1 << 60


def process(settings: Settings, root: Path = Path("/")) -> list[Finding]:
    """Whether the limits of the process leave room for what is configured. ``root``: where /proc and /sys are."""
    findings = [_files(settings)]
    memory = memory_limit(root)
    if memory is not None and memory < _MEMORY_BYTES:
        said = (
            f"this process may have {memory / 1e6:.0f} MB (its control group): with a million orders waiting the relay "
            f"uses up to 250 MB; allow {_MEMORY_BYTES / 1e6:.0f} MB"
        )
        findings.append(doubtful("memory", said))
    cores = cores_allowed(root)
    if cores < 1:
        said = (
            f"this process may use {cores:g} of a core (its control group): it is stopped in the middle of answering, "
            "and webhooks wait; allow one whole core"
        )
        findings.append(doubtful("processor", said))
    return findings


def files_needed(settings: Settings) -> int:
    """How many files are open when everything configured is in use."""
    sending = sum(channel.in_flight_max for channel in settings.channels.values())
    fetching = sum(storefront.fetch.in_flight_max for storefront in settings.thin.values())
    cancelling = sum(settings.channels[name].in_flight_max for name in settings.cancelling)
    return settings.public.connections_max + _PRIVATE_CONNECTIONS + sending + fetching + cancelling + _FILES_BESIDES


def _files(settings: Settings) -> Finding:
    """The relay raises its limit as far as it may; so that is what counts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files_needed(settings)
    if most != resource.RLIM_INFINITY and most < needed:
        said = (
            f"this process may open {most} files, and {needed} are needed (public.connections_max, in_flight_max): "
            "raise its limit (ulimit -Hn, LimitNOFILE= of systemd, ulimits of Compose), or lower those"
        )
        return wrong("open files", said)
    allowed = "without limit" if most == resource.RLIM_INFINITY else f"{most}"
    return fine("open files", f"{needed} may be needed, {allowed} may be opened")


def memory_limit(root: Path) -> int | None:
    """What the control group may have, bytes; ``None``: no limit, or none is told."""
    told = [_number(group / "memory.max") for group in _groups(root)]
    told.append(_number(root / "sys/fs/cgroup/memory/memory.limit_in_bytes"))
    return min((number for number in told if number is not None and number < _UNLIMITED), default=None)


def cores_allowed(root: Path) -> float:
    """How many cores the process may use at a time."""
    found = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for group in _groups(root):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit() and int(period):
            found = min(found, int(quota) / int(period))
    return found


def _groups(root: Path) -> list[Path]:
    """The folders of the control group (version 2) and of those it is in."""
    top = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            own = top / line[3:].strip().lstrip("/")
            return [own, *(parent for parent in own.parents if parent.is_relative_to(top))]
    return []


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
