"""Secrets: still the example's, easy to guess, shared, or for others to read. None is ever shown."""

import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from relay.config import Settings
from relay.config.kinds.native import NativeStorefront
from relay.config.tables import Table
from relay.doctor.finding import Finding, doubtful, wrong
from relay.doctor.mounts import mount_of

_SHORT = 12
_FEW = 6
"""Different characters."""
_GIVEN_AT = (Path("/run/secrets"), Path("/var/run/secrets"))
"""Where Docker and Kubernetes put secrets, readable by all, because only this container sees them."""


def placeholders(settings: Settings) -> list[Finding]:
    """Those that everyone knows."""
    said = "still is the example's, which everyone knows: put your own there"
    return [wrong(key, said) for key in settings.placeholders()]


def weak(settings: Settings) -> Iterator[Finding]:
    """Those that could be guessed: who has one can send orders, or act on them. Not those that everyone knows."""
    known = set(settings.placeholders())
    for key, token in settings.private.keyed.items():
        if key not in known and _is_weak(token):
            said = f"{_easy(token)}: whoever guesses it can read and discard orders; {_make()}"
            yield (doubtful if settings.private.listen.loopback else wrong)(key, said)
    for name, storefront in settings.storefronts.items():
        key, easy = f"storefronts.{name}.secrets", [secret for secret in storefront.secrets if _is_weak(secret)]
        if easy and key not in known:
            said = f"{_easy(easy[0])}: whoever guesses it can send orders; let the storefront make one, or {_make()}"
            yield doubtful(key, said)


def _is_weak(secret: SecretStr) -> bool:
    text = secret.get_secret_value()
    return len(text) < _SHORT or len(set(text)) < _FEW


def _easy(secret: SecretStr) -> str:
    text = secret.get_secret_value()
    return f"has {len(text)} characters" if len(text) < _SHORT else f"has {len(set(text))} different characters"


def _make() -> str:
    return "make one with: openssl rand -hex 32"


def shared(settings: Settings) -> Iterator[Finding]:
    """What two parts have in common that should differ."""
    owners: dict[str, str] = {}
    for name, storefront in settings.storefronts.items():
        for text in sorted(set(storefront.secret_texts)):
            owner = owners.setdefault(text, name)
            both_native = all(isinstance(settings.storefronts[n], NativeStorefront) for n in (owner, name))
            if owner != name and not both_native:  # which the configuration refuses
                said = (
                    f"one is also storefronts.{owner}'s: a webhook of the one is believed at the other's address; give "
                    "each its own"
                )
                yield doubtful(f"storefronts.{name}.secrets", said)
    hashes: dict[str, str] = {}
    for name, channel in settings.channels.items():
        if channel.mode == "async" and channel.webhook_hash is not None:
            other = hashes.setdefault(f"{channel.async_url} {channel.webhook_hash.get_secret_value()}", name)
            if other != name:
                said = (
                    f"is also that of channels.{other}: both lead to one custom channel of Jetti, which then gets "
                    "twice the pace; copy each channel's own"
                )
                yield doubtful(f"channels.{name}.webhook_hash", said)


def readable(settings: Settings, file: Path | None) -> Iterator[Finding]:
    """Files with secrets that others on this machine may read. ``file``: the configuration."""
    named = dict(_files(settings))
    in_file = _written_out(settings)
    if file is not None and in_file and _open_to_others(file):
        said = (
            f"others may read it, and it holds {in_file[0]}{_and_more(in_file)}: chmod 600 it, or move secrets into "
            "files of their own (…_file)"
        )
        yield doubtful(str(file), said)
    for key, path in named.items():
        if _open_to_others(path):
            yield doubtful(key, f"others may read {path}: chmod 600 it")


def _and_more(keys: list[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    tables: dict[str, Table] = {"private": settings.private, "tracing": settings.tracing}
    tables |= {f"private.tokens.{name}": token for name, token in settings.private.tokens.items()}
    tables |= {f"channels.{name}": channel for name, channel in settings.channels.items()}
    tables |= {f"storefronts.{name}": storefront for name, storefront in settings.storefronts.items()}
    for where, table in tables.items():
        for key in type(table).model_fields:
            value = getattr(table, key)
            if key.endswith("_file") and isinstance(value, Path):
                yield f"{where}.{key}", value


def _written_out(settings: Settings) -> list[str]:
    """Keys of secrets that come from no file of their own."""
    secrets: list[tuple[str, SecretStr | None]] = [*settings.private.keyed.items()]
    secrets.append(("tracing.headers", settings.tracing.headers))
    for name, channel in settings.channels.items():
        secrets += [(f"channels.{name}.webhook_hash", channel.webhook_hash), (f"channels.{name}.token", channel.token)]
    for name, storefront in settings.storefronts.items():
        secrets += [(f"storefronts.{name}.{key}", secret) for key, secret in storefront.every_secret()]
    from_files = {key.removesuffix("_file") for key, _ in _files(settings)}
    return list(dict.fromkeys(key for key, secret in secrets if secret is not None and key not in from_files))


def _open_to_others(path: Path) -> bool:
    """Whether other users may read it, folders and all, and there can be other users."""
    try:
        path = path.resolve()
        if not path.stat().st_mode & stat.S_IROTH:
            return False
        if any(not folder.stat().st_mode & stat.S_IXOTH for folder in path.parents):
            return False
    except OSError:
        return False
    mount = mount_of(path)
    given = any(path.is_relative_to(folder) for folder in _GIVEN_AT) or (mount is not None and mount.kind == "tmpfs")
    return not given
