"""``python -m tests.fuzzing``: one kind after the other, for as long as is wanted; ends with 1 if anything was found.

With ``atheris`` the search is guided by the coverage of ``relay.core`` and keeps what it learns in ``.fuzz/KIND``. A
case that breaks anything is written there too, and ``--replay FILE KIND`` tries it again. Without ``atheris`` cases are
made from the seed alone.
"""

import argparse
import subprocess
import sys
import time
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

KINDS = ("shopify", "woocommerce", "elasticpath", "bigcommerce", "squarespace", "standard", "hmac", "native")
FOLDER = Path(".fuzz")
_CASE_MAX_BYTES = 100_000
_SLOW_S = 20
_MEMORY_MAX_MB = 2048


def main() -> int:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=[*KINDS], metavar="KIND")
    parser.add_argument("--seconds", type=float, default=240, help="for all kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="from the seed alone, also with atheris")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try one case that was found")
    parser.add_argument("--guided", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.kinds) - set(KINDS):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    each_s = given.seconds / len(given.kinds)
    if given.replay:
        return _replayed(given.kinds[0], given.replay)
    if given.guided:
        return _guided(given.kinds[0], each_s, given.seed)
    if given.plain or find_spec("atheris") is None:
        return max([_plain(kind, each_s, given.seed) for kind in given.kinds])
    return max([_guided_apart(kind, each_s, given.seed) for kind in given.kinds])


def _replayed(kind: str, file: Path) -> int:
    from tests.fuzzing.cases import read
    from tests.fuzzing.subjects import SUBJECTS

    SUBJECTS[kind].check(read(file.read_bytes()))
    print(f"{kind}: nothing is wrong with {file}")
    return 0


def _plain(kind: str, seconds: float, seed: int) -> int:
    from tests.fuzzing.subjects import SUBJECTS

    subject, number = SUBJECTS[kind], 0
    until = time.monotonic() + seconds  # noqa: TID251 - how long it takes is all that is asked
    while time.monotonic() < until:  # noqa: TID251
        case = subject.case(Random(f"{kind}-{seed}-{number}"))
        try:
            subject.check(case)
        except Exception:
            found = FOLDER / kind / f"crash-{seed}-{number}"
            found.parent.mkdir(parents=True, exist_ok=True)
            found.write_bytes(case.wire())
            print(f"{kind}: case {number} of seed {seed} breaks; python -m tests.fuzzing --replay {found} {kind}")
            raise
        number += 1
    print(f"{kind}: {number} cases of seed {seed}, nothing found")
    return 0


def _guided_apart(kind: str, seconds: float, seed: int) -> int:
    """In a process of its own, because libFuzzer ends the process that it runs in."""
    command = [sys.executable, "-m", "tests.fuzzing", "--guided", "--seconds", str(seconds), "--seed", str(seed), kind]
    code = subprocess.run(command, check=False).returncode
    print(f"{kind}: {'nothing found' if code == 0 else f'something was found, and is in {FOLDER / kind}'}", flush=True)
    return int(code != 0)


def _guided(kind: str, seconds: float, seed: int) -> int:
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]  # has no types, is optional

    with redirect_stderr(StringIO()), atheris.instrument_imports(include=["relay.core"]):  # names each module
        from tests.fuzzing.cases import read, varied
        from tests.fuzzing.subjects import SUBJECTS

    subject, folder = SUBJECTS[kind], FOLDER / kind
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(subject.good()):
        (folder / "corpus" / f"good-{number}").write_bytes(case.wire()[:_CASE_MAX_BYTES])

    def one(wire: bytes) -> None:
        subject.check(read(wire))

    def mutated(wire: bytes, size_max: int, number: int) -> Any:
        random = Random(number)
        if random.random() < 0.3:
            return atheris.Mutate(wire, size_max)
        return varied(read(wire), random, subject.headers).wire()[:size_max]

    atheris.Setup(
        [
            sys.argv[0], str(folder / "corpus"), f"-max_total_time={max(1, int(seconds))}", f"-seed={seed}",
            f"-max_len={_CASE_MAX_BYTES}", f"-artifact_prefix={folder}/", f"-timeout={_SLOW_S}",
            f"-rss_limit_mb={_MEMORY_MAX_MB}", "-print_final_stats=1", "-verbosity=0",
        ],
        one, custom_mutator=mutated,
    )  # fmt: skip
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
