"""The three places values come from: the file, the environment over it, and the files that hold secrets.

Errors are built outside ``except`` blocks, so that no exception that has seen the input hangs on them as context.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import PydanticBaseSettingsSource

from relay.config.errors import as_shown, explain, relevant, with_origin
from relay.config.kinds import secret_keys
from relay.config.known import PREFIX, KeyPath
from relay.config.problems import ConfigError, Problem
from relay.config.secret_files import read_text, remedy_of, secret_in
from relay.config.settings import Settings
from relay.config.tables import SECRETS

DEFAULT_FILE = Path("config.toml")
"""Read when no file is named and this one exists in the working directory."""
_NOT_KEYS = frozenset({"RELAY_CONFIG", "RELAY_FIXTURES"})
# What Kubernetes and Docker links put into the environment of everything beside a service called "relay".
_NOT_OURS = re.compile(r"RELAY_(SERVICE_HOST|SERVICE_PORT|PORT)(_[A-Z0-9_]+)?")
_REMEDY_OF_NO_FILE = (
    "cp config.example.toml config.toml and fill it in; name another file with --config or RELAY_CONFIG"
)

_LISTS = frozenset({"secrets", "client_secrets"})
"""Secrets of which there may be several; their files have one a line."""

Values = dict[str, Any]


class _Layer(PydanticBaseSettingsSource):
    """Values from one place; pydantic-settings lays the layers over each other."""

    def __init__(self, values: Values) -> None:
        super().__init__(Settings)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        return self._values.get(field_name), field_name, False

    def __call__(self) -> Values:
        return self._values


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The configuration: environment over file over defaults.

    Without ``path`` the file is what RELAY_CONFIG names, else ``config.toml`` in the working directory if there is
    one, else there is none. Relative paths, of files and inside them, are relative to the working directory.

    Raises:
        ConfigError: with everything that is wrong.
    """
    settings, problems = _load(path or _default_file(environ), environ)
    del environ  # some tracebacks show local variables: no frame that raises may hold a secret
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def _load(path: Path | None, environ: Mapping[str, str]) -> tuple[Settings | None, list[Problem]]:
    file, problem = _read_toml(path)
    if problem is not None:
        return None, [problem]
    env, origins = _read_environment(environ, file)
    _drop_overridden(file, env)
    secrets: Values = {}
    problems = [*_read_secret_files(env, secrets), *_read_secret_files(file, secrets)]
    settings, errors = _validate((_Layer(env), _Layer(file), _Layer(secrets)))
    found = [problem for error in relevant(errors) for problem in explain(error)]
    problems += {(problem.key, problem.message): problem for problem in found}.values()  # once for all of a list
    return settings, [with_origin(problem, origins) for problem in problems]


def file_used(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The file that :func:`load` reads, or would if it were there."""
    return path or _default_file(environ) or DEFAULT_FILE


def _default_file(environ: Mapping[str, str]) -> Path | None:
    if named := environ.get("RELAY_CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _validate(layers: tuple[PydanticBaseSettingsSource, ...]) -> tuple[Settings | None, list[ErrorDetails]]:
    try:
        return Settings(_build_sources=(layers, {})), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _read_toml(path: Path | None) -> tuple[Values, Problem | None]:
    if path is None:
        return {}, None
    text, complaint = read_text(path)
    if complaint is not None:
        return {}, Problem(str(path), "", complaint, _REMEDY_OF_NO_FILE)
    try:
        return tomllib.loads(text), None
    except (ValueError, RecursionError) as error:  # its text has the line and the column, and nothing of the value
        complaint = str(error)
    return {}, Problem(str(path), "", f"is not TOML: {complaint}", "mend that line; text goes between double quotes")


def _read_environment(environ: Mapping[str, str], file: Values) -> tuple[Values, dict[KeyPath, str]]:
    """What the RELAY_ variables set, and which variable set what."""
    values: Values = {}
    origins: dict[KeyPath, str] = {}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in _NOT_KEYS and not _NOT_OURS.fullmatch(variable):
            path = _path_of_variable(variable, file)
            origins[path] = variable
            _put(values, path, environ[variable])
    return values, origins


def _path_of_variable(variable: str, file: Values) -> KeyPath:
    section, *rest = variable.removeprefix(PREFIX).lower().split("__")
    if section in {"channels", "storefronts"} and rest:
        # A variable's name has no "-": EU_WEST means the file's "eu-west" if there is one.
        tables = file.get(section)
        names = tables if isinstance(tables, dict) else {}
        rest[0] = next((name for name in names if name.replace("-", "_") == rest[0]), rest[0])
    return (section, *rest)


def _put(values: Values, path: KeyPath, value: object) -> None:
    *tables, key = path
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            return  # RELAY_LOG beside RELAY_LOG__LEVEL; the former is refused anyway
    values[key] = value


def _secret_places(values: Values) -> Iterator[tuple[KeyPath, Values, str]]:
    """Wherever a secret can stand: the path of its table, the table, the key."""
    for section, names in (*SECRETS.items(), ("storefronts", secret_keys())):
        tables = values.get(section)
        if isinstance(tables, dict):
            one = section in {"private", "tracing"}
            within: dict[KeyPath, Any] = {(section,): tables} if one else {(section, n): tables[n] for n in tables}
            if section == "private" and isinstance(named := tables.get("tokens"), dict):
                within |= {(section, "tokens", name): named[name] for name in named}
            for path, table in within.items():
                if isinstance(table, dict):
                    yield from ((path, table, name) for name in names)


def _drop_overridden(file: Values, env: Values) -> None:
    """A secret and its ``_file`` are one setting: whichever the environment sets replaces whichever the file sets."""
    in_env = {(path, key) for path, table, key in _secret_places(env) if key in table or f"{key}_file" in table}
    for path, table, key in _secret_places(file):
        if (path, key) in in_env:
            table.pop(key, None)
            table.pop(f"{key}_file", None)


def _read_secret_files(values: Values, secrets: Values) -> Iterator[Problem]:
    """Read into ``secrets`` what the ``_file`` keys name; yield what is wrong with them."""
    for path, table, key in _secret_places(values):
        named = table.get(f"{key}_file")
        if named is None:
            continue
        where, shown = ".".join((*path, f"{key}_file")), as_shown(named)
        if key in table:
            yield Problem(where, shown, f"is set, and so is {key}", "keep one of the two")
        text, complaint = read_text(Path(named)) if isinstance(named, str) else ("", None)
        lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
        entries = lines if key in _LISTS else secret_in(text)
        if complaint is None and isinstance(named, str) and not entries:
            complaint = "is empty"
        if complaint is not None:
            yield Problem(where, shown, complaint, remedy_of(key))
        # What was named counts as set even so: one mistake is one problem.
        stand_in: object = [where] if key in _LISTS else where
        _put(secrets, (*path, key), entries or stand_in)
