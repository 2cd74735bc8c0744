"""Prometheus and its tool, as `make` puts them into ``.tools``, and what ``deploy`` gives them."""

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "alerts.yml"
BIN = ROOT / ".tools/bin"


@dataclass(frozen=True)
class Alert:
    """One rule."""

    name: str
    expr: str
    wait: str
    """Its ``for``."""
    severity: str
    description: str
    page: str
    """Of the runbook."""


@cache
def alerts() -> tuple[Alert, ...]:
    """Every alert, in the file's order."""
    rules = YAML(typ="safe").load(ALERTS)
    return tuple(
        Alert(
            rule["alert"],
            rule["expr"],
            rule.get("for", ""),
            rule["labels"]["severity"],
            rule["annotations"]["description"],
            Path(rule["annotations"]["runbook"]).stem,
        )
        for group in rules["groups"]
        for rule in group["rules"]
    )


def program(name: str) -> Path:
    """Where it is. Never skipped: a machine without it is told what to do."""
    found = BIN / name
    assert found.exists(), f"there is no {name}: run `make .tools/.ready`, which `make test` does by itself"
    return found


def promtool(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """What it says to a command."""
    return subprocess.run(
        [program("promtool"), *words], input=stdin, capture_output=True, text=True, check=False, timeout=60
    )
