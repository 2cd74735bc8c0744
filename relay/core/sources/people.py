"""Who bought and where it goes: addresses, e-mail and phone as a sale's columns."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from relay.core.sale import PHONE_MAX_CHARACTERS, too_long_for_a_phone
from relay.core.sources.findings import Findings, set_key

_NO_DIGIT = re.compile(r"[^0-9]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A billing or shipping address; what is blank is ``None``."""

    first_name: str | None = None
    last_name: str | None = None
    name: str | None = None
    company: str | None = None
    line_one: str | None = None
    line_two: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    country: str | None = None


def columns(
    kind: str, address: Address | None, found: Findings, pointer: str, *, company_in_line_two: bool
) -> dict[str, object]:
    """An address's columns. One that is missing stays missing: a billing address is not where to ship to."""
    if address is None:
        return {}
    line_two, company = address.line_two, address.company
    if company is not None and company_in_line_two:
        line_two = company if line_two is None else f"{company}, {line_two}"
    elif company is not None:
        found.note(pointer, "a sale has no column for a company; company_in_line_two = true puts it in the address")
    return {
        f"{kind}FirstName": address.first_name,
        f"{kind}LastName": address.last_name,
        f"{kind}Name": address.name,
        f"{kind}AddressLineOne": address.line_one,
        f"{kind}AddressLineTwo": line_two,
        f"{kind}City": address.city,
        f"{kind}State": address.state,
        f"{kind}Zip": address.zip,
        f"{kind}Country": address.country,
    }


def email(found: Findings, pointer: str, candidates: Iterable[str | None], fallback: str | None) -> str | None:
    """The first address there is, else the fallback; refused without either."""
    given = next(filter(None, candidates), None)
    if given is None and fallback:
        found.note(pointer, "the order has no e-mail address; fallback_email is sent")
    elif given is None:
        found.refuse(pointer, "the order has no e-mail address and Jetti requires one; " + set_key("fallback_email"))
    return given or fallback


def phone(found: Findings, pointer: str, candidates: Iterable[str | None]) -> str | None:
    """The first number there is, unless Jetti does not take one of its length. A sale has no more than one."""
    numbers = [number for number in candidates if number]
    number = numbers[0] if numbers else None
    if len({_NO_DIGIT.sub("", given) for given in numbers}) > 1:
        found.note(pointer, "the order has more than one phone number; a sale has one, and the first is sent")
    if number is not None and len(number) > PHONE_MAX_CHARACTERS:
        found.note(pointer, too_long_for_a_phone(number))
        return None
    return number
