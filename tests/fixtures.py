"""Real payloads of third parties. They lie beside the checkout and are never part of it; without them tests skip."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("RELAY_FIXTURES") or Path(__file__).parents[2] / "shared" / "fixtures")
SAMPLES = Path(__file__).parent / "samples"


def fixture(path: str) -> bytes:
    """The bytes of a fixture, for instance ``shopify/pyapi-order.json``."""
    file = FOLDER / path
    if not file.is_file():
        pytest.skip(f"the third-party payload {file} is missing; set RELAY_FIXTURES to the folder that has {path}")
    return file.read_bytes()


def names(folder: str) -> list[str]:
    """The names of a folder's fixtures; none where the fixtures are missing."""
    return sorted(file.name for file in (FOLDER / folder).glob("*.json"))


def sample(name: str) -> bytes:
    """The bytes of one of our own samples."""
    return (SAMPLES / name).read_bytes()
