"""What a folder is on, as Linux tells it. Nothing is known elsewhere."""

import re
from dataclasses import dataclass
from pathlib import Path

_TOLD = Path("/proc/self/mounts")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system, and where it is."""

    at: Path
    kind: str


def mount_of(path: Path) -> Mount | None:
    """The file system that holds a path; ``None`` where the system does not say."""
    try:
        told = _TOLD.read_text()
    except OSError:
        return None
    return holding(path.resolve(), told)


def holding(path: Path, told: str) -> Mount | None:
    """The innermost of the mounts that hold a path; of several at one place, the one on top, which is told last."""
    mounts = (Mount(Path(_plain(fields[1])), fields[2]) for fields in map(str.split, told.splitlines()) if fields[2:])
    found: Mount | None = None
    for mount in mounts:
        if path.is_relative_to(mount.at) and (found is None or mount.at.is_relative_to(found.at)):
            found = mount
    return found


def _plain(text: str) -> str:
    """A space in a path is told as ``\\040``."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
