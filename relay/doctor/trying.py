"""The storefronts' kinds, and their tests."""

from pathlib import Path

from relay.config import Settings, registered
from relay.doctor.finding import Finding, doubtful
from relay.samples import Tried, tried


def kinds() -> list[Finding]:
    """Packages with kinds of storefront that could not be used."""
    return [doubtful("kinds of storefront", str(trouble)) for trouble in registered().troubles]


def samples(settings: Settings, folder: Path) -> list[Finding]:
    """One line for each storefront that has tests, and one for each test that fails."""
    found: list[Finding] = []
    results = list(tried(settings, folder))
    for name, storefront in settings.storefronts.items():
        key = f"storefronts.{name}.tests"
        failed = [result for result in results if result.key.startswith(f"{key}[") and not result.ok]
        if storefront.tests:
            count = len(storefront.tests)
            said = f"{count - len(failed)} of {count} come to what they expect"
            found += [Finding(key, not failed, said), *map(_failed, failed)]
    return found


def _failed(result: Tried) -> Finding:
    told = [result.trouble] if result.trouble else map(str, result.differences)
    said = "\n".join([result.name, *(f"     {each}" for each in told)])
    return Finding(result.key, False, said, differences=result.differences)
