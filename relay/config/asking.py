"""The little of the configuration that is needed to ask a running relay something.

Nothing else of it is looked at: it is asked exactly when something else is wrong, such as a file that holds the secret
of a channel which is halted for it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relay.config.errors import explain, relevant, with_origin
from relay.config.loading import (
    Values,
    _default_file,
    _drop_overridden,
    _Layer,
    _read_environment,
    _read_secret_files,
    _read_toml,
    _validate,
)
from relay.config.problems import ConfigError, Problem
from relay.config.tables import SECRETS, Private

_ONLY = "private"


@dataclass(frozen=True, slots=True)
class Asking:
    """Where a relay is asked, and what it is shown."""

    private: Private
    files: frozenset[str]
    """Keys of the channels that name a file which holds a secret: ``channels.main.webhook_hash_file``."""


def load_private(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Asking:
    """As :func:`relay.config.load`, but only ``private.*`` is checked, and only its file is read.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    asking, problems = _load(path or _default_file(environ), environ)
    del environ  # some tracebacks show local variables: no frame that raises may hold a secret
    if asking is None or problems:
        raise ConfigError(problems)
    return asking


def _load(path: Path | None, environ: Mapping[str, str]) -> tuple[Asking | None, list[Problem]]:
    file, problem = _read_toml(path)
    if problem is not None:
        return None, [problem]
    env, origins = _read_environment(environ, file)
    _drop_overridden(file, env)
    files = frozenset(_files_of_channels(file) | _files_of_channels(env))
    secrets: Values = {}
    env, file = _only(env), _only(file)
    problems = [*_read_secret_files(env, secrets), *_read_secret_files(file, secrets)]
    settings, errors = _validate((_Layer(env), _Layer(file), _Layer(secrets)))
    problems += [problem for error in relevant(errors) for problem in explain(error)]
    asking = None if settings is None else Asking(settings.private, files)
    return asking, [with_origin(problem, origins) for problem in problems]


def _only(values: Values) -> Values:
    return {_ONLY: values[_ONLY]} if _ONLY in values else {}


def _files_of_channels(values: Values) -> set[str]:
    tables = values.get("channels")
    named = {name: t for name, t in tables.items() if isinstance(t, dict)} if isinstance(tables, dict) else {}
    keys = [f"{key}_file" for key in SECRETS["channels"]]
    return {f"channels.{name}.{key}" for name, table in named.items() for key in keys if key in table}
