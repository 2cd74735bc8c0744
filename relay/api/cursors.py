"""Where a list goes on, as a short text that says nothing to who reads it: 24 characters for one flag and two numbers.

Whatever is 24 such characters is some place, so the document can say what a cursor is, and nobody can ask with one that
breaks anything: at worst it leads nowhere.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from struct import Struct

PATTERN = r"^[A-Za-z0-9_-]{24}$"
_PACKED = Struct(">?qqx")

Place = tuple[bool, int, int]


def encoded(first: int, second: int = 0, *, flag: bool = False) -> str:
    """A place as a cursor."""
    return urlsafe_b64encode(_PACKED.pack(flag, first, second)).decode()


def decoded(cursor: str) -> Place:
    """The place that a cursor, which has to look like :data:`PATTERN`, stands for."""
    flag, first, second = _PACKED.unpack(urlsafe_b64decode(cursor))
    return flag, first, second
