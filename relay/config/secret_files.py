"""The files that hold secrets: read at the start, and again when a secret may have been changed.

Errors are built outside ``except`` blocks, so that no exception that has seen a secret hangs on them as context.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from relay.config.errors import as_shown
from relay.config.kinds.thin import ThinStorefront
from relay.config.problems import ConfigError, Problem
from relay.config.tables import Channel
from relay.config.values import NO_HEADER, is_header

_FILE_MAX = 1_048_576


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a channel shows to Jetti."""

    webhook_hash: SecretStr | None
    token: SecretStr | None


def current_secrets(channel: Channel) -> Secrets:
    """A channel's secrets as their files hold them now; those that came from no file, as they were.

    Reads files: a network drive may take a while, so not in the event loop.

    Raises:
        ConfigError: with what is wrong with a file; the keys are relative to the channel's table.
    """
    webhook_hash, of_hash = _current(channel.webhook_hash, channel.webhook_hash_file, "webhook_hash")
    token, of_token = _current(channel.token, channel.token_file, "token")
    problems = [problem for problem in (of_hash, of_token) if problem is not None]
    if problems:
        raise ConfigError(problems)
    return Secrets(webhook_hash, token)


def current_api_token(storefront: ThinStorefront) -> SecretStr:
    """A storefront's API token as its file holds it now; one that came from no file, as it was. Reads a file, like
    :func:`current_secrets`, and raises the same."""
    token, problem = _current(storefront.api_token, storefront.api_token_file, "api_token")
    if problem is not None or token is None:
        raise ConfigError([problem] if problem else [])
    return token


def _current(known: SecretStr | None, file: Path | None, key: str) -> tuple[SecretStr | None, Problem | None]:
    if file is None:
        return known, None
    text, complaint = read_text(file)
    secret = secret_in(text)
    if complaint is None and not secret.strip():
        complaint = "is empty"
    if complaint is None and not is_header(secret):
        complaint = NO_HEADER
    if complaint is not None:
        return None, Problem(f"{key}_file", as_shown(str(file)), complaint, remedy_of(key))
    return SecretStr(secret), None


def read_text(path: Path) -> tuple[str, str | None]:
    """The text of a file, or what is wrong with it."""
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_MAX + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        return "", "there is no such file"
    except OSError as error:
        return "", f"cannot be read: {error.strerror}"
    except ValueError:
        return "", "is not UTF-8 text"
    return (text, None) if len(raw) <= _FILE_MAX else ("", f"is larger than {_FILE_MAX} bytes")


def secret_in(text: str) -> str:
    """The one secret of a file: without the line break that editors put at the end."""
    return text.rstrip("\r\n")


def remedy_of(key: str) -> str:
    """What to do about a file that cannot be used."""
    return f"name a file that this user can read and that holds {key}"
