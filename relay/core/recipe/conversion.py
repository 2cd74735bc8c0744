"""Numbers and dates as storefronts write them, as exact numbers and instants."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from relay.core import exact, instant
from relay.core.instant import Instant
from relay.core.sources import amounts

MINOR_UNITS_MAX = 8
_DATE_MAX_CHARACTERS = 100
_YEAR_10000 = 253_402_300_800 * instant.SECOND


def _grouped(sign: str, separators: str) -> re.Pattern[str]:
    thousands = f"[0-9]{{1,3}}(?:([{separators}' ’\u00a0\u202f])[0-9]{{3}}(?:\\1[0-9]{{3}})*)?"
    return re.compile(f"[+-]?(?:{thousands}|[0-9]+)(?:{re.escape(sign)}[0-9]+)?")


_GROUPED = {",": _grouped(",", "."), ".": _grouped(".", ",")}
_CURRENCY = re.compile(r"[A-Z]{3}")


def minor_digits(value: object) -> int:
    """Digits of a minor unit, from their number or from a currency's code. Raises :class:`ValueError`."""
    if isinstance(value, str) and _CURRENCY.fullmatch(value.strip().upper()):
        return amounts.decimals(value.strip().upper())
    try:
        digits = exact.whole(value)
    except ValueError:
        digits = -1
    if not 0 <= digits <= MINOR_UNITS_MAX:
        raise ValueError(f"expected minor_units as a currency's code or as 0 to {MINOR_UNITS_MAX} digits")
    return digits


def in_major_units(value: object, digits: int) -> Decimal:
    """``1990`` cents as ``19.9``. Raises :class:`ValueError`."""
    return exact.canonical(exact.decimal(value).scaleb(-digits))


def ungrouped(value: object, sign: Literal[",", "."]) -> object:
    """A number in text with this decimal sign and thousands separated, as plain text. Raises :class:`ValueError`."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    found = _GROUPED[sign].fullmatch(text) if len(text) <= _DATE_MAX_CHARACTERS else None
    if found is None:
        raise ValueError(f"expected a number such as {'1.234,50' if sign == ',' else '1,234.50'}")
    return text.replace(found[1] or "\0", "").replace(",", ".").removeprefix("+")


@dataclass(frozen=True, slots=True)
class DateFormat:
    """How dates are written. Made by :func:`date_format`."""

    name: str
    zone: tzinfo = UTC
    """Where what names no offset is meant."""

    def read(self, value: object) -> Instant:
        """The instant; :class:`ValueError` if the value is none, or outside 1970 to 9999."""
        try:
            found = _READERS.get(self.name, _read_pattern)(self, value)
        except (ValueError, TypeError, IndexError, OverflowError, ArithmeticError):
            found = -1
        if not 0 <= found < _YEAR_10000:
            raise ValueError(f"expected {_EXAMPLES.get(self.name, f'a date written as {self.name}')}")
        return found

    def written(self, at: Instant) -> str:
        """An instant as :meth:`read` reads it."""
        moment = instant.moment(at).astimezone(self.zone)
        match self.name:
            case "iso":
                return moment.isoformat()
            case "unix":
                return str(at // instant.SECOND)
            case "unix_ms":
                return str(at * 1_000 // instant.SECOND)
            case "rfc2822":
                return format_datetime(moment)
            case pattern:
                return moment.strftime(pattern)


def date_format(name: str, zone: str = "UTC") -> DateFormat:
    """The format of this name, or a pattern of ``strptime``. Raises :class:`ValueError`, fit for a person."""
    if name not in _READERS:
        _check_pattern(name)
    if zone == "UTC":
        return DateFormat(name)
    try:
        return DateFormat(name, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {zone!r}: write one such as Europe/Berlin") from None


def _check_pattern(name: str) -> None:
    wrong = f"{name!r} is no date format: use {', '.join(_READERS)}, or a pattern such as %d.%m.%Y %H:%M"
    if "%" not in name or len(name) > _DATE_MAX_CHARACTERS:
        raise ValueError(wrong)
    try:
        datetime.strptime(datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC).strftime(name), name)  # noqa: DTZ007 - thrown away
    except (ValueError, re.error, IndexError, OverflowError):
        raise ValueError(wrong) from None


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _DATE_MAX_CHARACTERS:
        raise ValueError
    return value.strip()


def _at(moment: datetime, zone: tzinfo) -> Instant:
    return instant.of(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))


def _read_iso(form: DateFormat, value: object) -> Instant:
    return _at(datetime.fromisoformat(_text(value)), form.zone)


def _read_unix(form: DateFormat, value: object) -> Instant:
    seconds = exact.decimal(value)
    factor = instant.SECOND if form.name == "unix" else instant.SECOND // 1000
    return int(seconds * factor) if abs(seconds) < 10**15 else -1


def _read_rfc2822(form: DateFormat, value: object) -> Instant:
    return _at(parsedate_to_datetime(_text(value)), form.zone)


def _read_pattern(form: DateFormat, value: object) -> Instant:
    return _at(datetime.strptime(_text(value), form.name), form.zone)  # noqa: DTZ007 - the zone is put in by _at


_READERS: dict[str, Callable[[DateFormat, object], Instant]] = {
    "iso": _read_iso,
    "unix": _read_unix,
    "unix_ms": _read_unix,
    "rfc2822": _read_rfc2822,
}
_EXAMPLES = {
    "iso": "an ISO 8601 date and time such as 2026-11-21T18:41:49Z",
    "unix": "seconds since 1970",
    "unix_ms": "milliseconds since 1970",
    "rfc2822": "a date such as Sat, 21 Nov 2026 18:41:49 +0000",
}
