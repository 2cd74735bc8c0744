"""The types of single values: what is taken, in which form it is kept, and the words in which it is refused."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema

from relay.config.problems import SECRET, wrong

NO_HEADER = "has a space, a line break or a character beyond ASCII, which cannot stand in an HTTP header"
_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")


def _number(value: object) -> object:
    if isinstance(value, bool):  # pydantic would take true for 1
        raise wrong("is true or false, not a number", "")
    return value


def as_list(value: object) -> object:
    """One entry may be written plainly, and an environment variable holds a list as JSON (which is also TOML)."""
    if not isinstance(value, str):
        return value
    if not value.startswith("["):
        return [value]
    entries = None
    with suppress(ValueError, RecursionError):
        entries = json.loads(value)
    if entries is None:
        raise wrong("begins like a list and is none", 'write ["one", "two"], or one entry plainly')
    return entries


def _named(value: str) -> str:
    if len(value) > 63 or not _NAME.fullmatch(value):
        raise wrong(
            "is no name for a table",
            "use up to 63 of a-z and 0-9, with single - or _ between them: the name appears in addresses and metrics",
        )
    return value


def _secret(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise wrong("is empty", "set the secret, or leave the key out")
    return value


def is_header(value: str) -> bool:
    """Whether it can stand in an HTTP header, as one word."""
    return all("!" <= character <= "~" for character in value)


def _header_secret(value: SecretStr) -> SecretStr:
    if not is_header(_secret(value).get_secret_value()):
        raise wrong(NO_HEADER, "copy it again, as one word")
    return value


def headers_in(text: str) -> dict[str, str]:
    """``name=value, name=value``, values percent-encoded where they have to be, as OTEL_EXPORTER_OTLP_HEADERS is
    written. Raises :class:`ValueError`."""
    found: dict[str, str] = {}
    for pair in text.split(","):
        name, equals, value = pair.strip().partition("=")
        name, value = name.strip(), unquote(value.strip())
        if not equals or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name):
            raise ValueError("no name=value")
        if not value or not all(" " <= character <= "~" for character in value):
            raise ValueError("no value for a header")
        found[name] = value
    return found


def _trace_headers(value: SecretStr) -> SecretStr:
    with suppress(ValueError):
        headers_in(_secret(value).get_secret_value())
        return value
    raise wrong("is no list of headers", 'write "name=value", with commas between several')


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise wrong("is no e-mail address", 'write it as "orders@example.com"')
    return value


def _hex_secret(value: SecretStr) -> SecretStr:
    text = _secret(value).get_secret_value()
    if not re.fullmatch(r"([0-9a-fA-F]{2})+", text):
        raise wrong("is not hexadecimal digits, two for each byte", "copy it again")
    return value


def _header_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", value):
        raise wrong("is no name of a header", 'write one such as "X-Signature"')
    return value


def _currency(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", value):
        raise wrong("is no currency", 'write its code, such as "EUR"')
    return value


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int
    """0: any free one."""

    @classmethod
    def parse(cls, value: object) -> object:
        """``host:port`` or ``[ipv6]:port``."""
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", value)
        if match is None or int(match[3]) > 65_535:
            raise wrong("is no address to listen on", 'write "0.0.0.0:8080", "127.0.0.1:9090" or "[::1]:9090"')
        return cls(match[1] or match[2], int(match[3]))

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _store_url(value: str) -> str:
    scheme, _, rest = value.partition(":")
    if value == "memory:" or (scheme == "sqlite" and rest and not rest.startswith((":", "//")) and "?" not in rest):
        return value
    if scheme in {"postgresql", "postgres"}:
        raise wrong("PostgreSQL is not in this version", 'set url = "sqlite:relay.db"; one relay then owns its store')
    raise wrong(
        "is no store",
        'write "sqlite:relay.db" (in the working directory), "sqlite:/var/lib/order-relay/relay.db", or "memory:" '
        "for a trial that forgets everything when it stops",
    )


def _web_address(value: str) -> str:
    remedy = "write https://host/path, without user, password, ? or #"
    parts, port = None, None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise wrong("is no web address", remedy)
    if "@" in parts.netloc or "?" in value or "#" in value or not all("!" <= c <= "~" for c in value):
        raise wrong("has a part that does not belong into this address", remedy)
    return value.rstrip("/")


def as_toml(value: object) -> str:
    """A value as TOML writes it (for single values and lists, JSON does the same)."""
    if isinstance(value, dict) and value.keys() == {"host", "port"}:  # how JSON schema shows the default of an address
        value = str(Address(**value))
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(key)} = {as_toml(entry)}" for key, entry in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value, ensure_ascii=False)


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_number)]
Share = Annotated[float, Field(ge=0.05, le=1, allow_inf_nan=False), BeforeValidator(_number)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_number)]
ChannelId = Annotated[int, Field(ge=1, le=2_147_483_647), BeforeValidator(_number)]
Name = Annotated[str, AfterValidator(_named)]
Listen = Annotated[
    Address, BeforeValidator(Address.parse), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Email = Annotated[str, AfterValidator(_email)]
Sku = Annotated[str, Field(min_length=1, max_length=255)]
Currency = Annotated[str, AfterValidator(_currency)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
Texts = Annotated[tuple[str, ...], BeforeValidator(as_list)]
Wholes = Annotated[tuple[Whole, ...], BeforeValidator(as_list)]
_Hidden = PlainSerializer(lambda _: SECRET, return_type=str)
Secret = Annotated[SecretStr, AfterValidator(_secret), _Hidden]
HeaderSecret = Annotated[SecretStr, AfterValidator(_header_secret), _Hidden]
TraceHeaders = Annotated[SecretStr, AfterValidator(_trace_headers), _Hidden]
HexSecret = Annotated[SecretStr, AfterValidator(_hex_secret), _Hidden]
