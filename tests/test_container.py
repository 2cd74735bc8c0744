"""The container: no engine can be counted on where tests run, so its steps are done here in an empty environment.

What is run is what the Dockerfile says, read from it and not copied: its build stage with the paths moved under a
temporary folder, with only the files that .dockerignore lets through, and with an empty virtual environment standing
in for the base image's Python. What comes out is started as the container would start it.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from ruamel.yaml import YAML

from relay import config

pytestmark = pytest.mark.xdist_group("container")  # what is set up once is set up in one process

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
INSTALLED = "/opt/order-relay"
UID = 10001


# ---- reading the Dockerfile and .dockerignore ----------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One instruction, without the line breaks."""

    name: str
    text: str

    @property
    def argv(self) -> list[str]:
        """An exec form's words."""
        words: list[str] = json.loads(self.text)
        return words


@dataclass
class Stage:
    """What stands between two FROMs."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def all(self, name: str) -> list[Step]:
        return [step for step in self.steps if step.name == name]

    def only(self, name: str) -> Step:
        (step,) = self.all(name)
        return step


def stages() -> dict[str, Stage]:
    lines = (line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#"))
    found: dict[str, Stage] = {}
    current = Stage("", "")
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, text = line.strip().partition(" ")
        if name == "FROM":
            base, _, alias = text.split()
            current = found[alias] = Stage(base, alias)
        elif name:
            current.steps.append(Step(name, " ".join(text.split())))
    return found


def admitted(path: str) -> bool:
    """Whether .dockerignore lets a file through: the last pattern that matches it or a folder above it decides."""
    parents = [path, *(str(parent) for parent in Path(path).parents)]
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            bare = pattern.removeprefix("!")
            if any(fnmatch(each, bare) or fnmatch(f"/{each}", f"/{bare}".replace("/**/", "*/")) for each in parents):
                ignored = not pattern.startswith("!")
    return not ignored


def context_files(source: str) -> list[str]:
    """The files that a COPY of ``source`` takes."""
    place = ROOT / source
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    taken = [str(file.relative_to(ROOT)) for file in files if admitted(str(file.relative_to(ROOT)))]
    assert taken, f"COPY {source}: nothing of it gets past .dockerignore"
    return taken


# ---- the Dockerfile and the compose file, read ---------------------------------------------------------------------


def test_the_dockerfile_is_clean() -> None:
    done = subprocess.run([BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_not_meant_for_the_image_stays_out_of_its_build() -> None:
    assert admitted("relay/store/migrations/0001_begin.sql")
    for kept_out in (
        "config.toml", "relay.db", ".git/config", ".venv/bin/python", "tests/test_container.py",
        "deploy/secrets.example/shopify", "deploy/relay.toml", "relay/__pycache__/app.cpython-311.pyc",
        "relay/core/__pycache__/order.cpython-313.pyc",
    ):  # fmt: skip
        assert not admitted(kept_out), kept_out


def test_every_install_is_locked_and_hashed() -> None:
    """Each ``pip install`` either takes hashed wheels only, or has no index and takes what was built here."""
    text = " ".join(step.text for stage in stages().values() for step in stage.all("RUN"))
    commands = [command for command in re.split("&&|;", text) if "pip" in command and " install " in command]
    assert len(commands) == 3
    for command in commands:
        locked = "--require-hashes" in command and "--only-binary :all:" in command
        assert locked or ("--no-index" in command and "--no-deps" in command), command


def test_the_locks_agree_with_each_other() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (DEPLOY / name).read_text().splitlines()
        return dict(line.split()[0].split("==") for line in lines if re.match(r"[a-z]", line))

    dev = pins("requirements-dev.txt")
    for name in ("requirements.txt", "requirements-build.txt"):
        assert pins(name).items() <= dev.items(), f"{name}: run `make lock`"


def test_the_image_runs_as_nobody_in_particular_and_is_told_to_stop_by_a_signal_it_gets() -> None:
    image = stages()["relay"]
    assert f"{UID}:{UID}" == image.only("USER").text
    assert image.only("VOLUME").argv == ["/data"]
    assert image.only("WORKDIR").text == "/data"
    assert image.only("STOPSIGNAL").text == "SIGTERM"
    assert image.only("ENTRYPOINT").argv == ["order-relay"]  # no shell between the signal and the relay
    assert image.only("CMD").argv == ["serve"]
    assert f"PATH={INSTALLED}/bin:$PATH" in image.only("ENV").text
    # After USER nothing is written any more.
    names = [step.name for step in image.steps]
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])


def compose() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "compose.yaml")
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def test_the_compose_file_is_valid() -> None:
    command = [f"{BIN}/check-jsonschema", "--builtin-schema", "vendor.compose-spec", f"{DEPLOY}/compose.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["relay", "sandbox", "prometheus", "grafana"])
def test_every_service_is_confined(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert not service["user"].startswith("0")
    assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])  # noqa: S108
    assert {"cpus", "memory", "pids"} == service["deploy"]["resources"]["limits"].keys()
    assert service["healthcheck"]
    assert ":" in service["image"]
    assert not service["image"].endswith(":latest")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert not {"privileged", "network_mode", "pid", "cap_add"} & service.keys()


def test_the_store_is_the_relays_one_writable_place() -> None:
    relay = services()["relay"]
    writable = [volume for volume in relay["volumes"] if not volume.endswith(":ro")]
    assert writable == ["relay-data:/data"]
    assert "relay-data" in compose()["volumes"]
    assert f"{UID}:{UID}" == relay["user"] == services()["sandbox"]["user"]


def test_a_service_starts_when_what_it_needs_is_healthy() -> None:
    assert services()["relay"]["depends_on"] == {"sandbox": {"condition": "service_healthy"}}
    assert services()["prometheus"]["depends_on"] == {"relay": {"condition": "service_healthy"}}
    # The relay's own check is the image's; compose adds only the interval.
    assert len(stages()["relay"].all("HEALTHCHECK")) == 1


def test_secrets_are_files_that_exist_and_never_values() -> None:
    for name, secret in compose()["secrets"].items():
        file = secret["file"].replace("${SECRETS_DIR:-./secrets.example}", "secrets.example")
        assert (DEPLOY / file).read_text().strip(), name
    assert set(services()["relay"]["secrets"]) == set(compose()["secrets"])
    assert services()["relay"]["environment"] == {"RELAY_PRIVATE__TOKEN_FILE": "/run/secrets/relay-api-token"}
    command = services()["sandbox"]["command"]
    assert (DEPLOY / "secrets.example/jetti-webhook-hash").read_text().strip() in command


def adapted(folder: Path, sandbox: str) -> str:
    """The compose file's relay configuration: its secrets, store, ports and sandbox are here now, the rest is as is."""
    text = (DEPLOY / "relay.toml").read_text()
    for there, here in (
        ("/run/secrets", str(folder / "secrets")),
        ("sqlite:/data", f"sqlite:{folder / 'data'}"),
        ("0.0.0.0:8080", "127.0.0.1:0"),
        ("0.0.0.0:9090", "0.0.0.0:0"),
        ("http://sandbox:8090", sandbox),
    ):
        assert there in text, f"deploy/relay.toml has no {there}"
        text = text.replace(there, here)
    return text


def test_the_relays_configuration_fits_the_compose_file(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "secrets.example", tmp_path / "secrets")
    (tmp_path / "relay.toml").write_text(adapted(tmp_path, "http://sandbox:8090"))
    environ = {"RELAY_PRIVATE__TOKEN_FILE": str(tmp_path / "secrets/relay-api-token")}
    settings = config.load(tmp_path / "relay.toml", environ).for_serving()
    # Without its token the private listener, which others can reach, must not open.
    with pytest.raises(config.ConfigError, match="no token guards it"):
        config.load(tmp_path / "relay.toml", {})
    named = set(re.findall(r"/run/secrets/([a-z-]+)", (DEPLOY / "relay.toml").read_text())) | {"relay-api-token"}
    assert named == set(services()["relay"]["secrets"])
    assert float(services()["relay"]["stop_grace_period"].removesuffix("s")) > settings.life.shutdown_grace_s


def test_prometheus_scrapes_the_relay_where_it_listens() -> None:
    scraping = YAML(typ="safe").load(DEPLOY / "prometheus.yml")
    (job,) = scraping["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("order-relay", "/metrics")
    assert job["static_configs"] == [{"targets": ["relay:9090"]}]
    assert 'listen = "0.0.0.0:9090"' in (DEPLOY / "relay.toml").read_text()
    assert any(volume.startswith("./prometheus.yml:") for volume in services()["prometheus"]["volumes"])


# ---- the install steps, done ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """What the build stage made, with its paths below ``root``."""

    root: Path

    def moved(self, text: str) -> str:
        """A text with the image's paths below the root."""
        return re.sub(r"(?<![\w./])/(opt|build)\b", lambda found: f"{self.root}{found[0]}", text)

    @property
    def command(self) -> Path:
        return Path(self.moved(f"{INSTALLED}/bin/order-relay"))


def build(image: Image) -> None:
    """Do the build stage's steps, one after the other."""
    base = image.root / "base"
    subprocess.run([sys.executable, "-m", "venv", base], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environ = kept | {"PATH": f"{base / 'bin'}:/usr/bin:/bin"}
    workdir = image.root
    for step in stages()["build"].steps:
        match step.name:
            case "WORKDIR":
                workdir = Path(image.moved(step.text))
                workdir.mkdir(parents=True)
            case "COPY":
                *sources, target = step.text.split()
                copy(sources, workdir / target)
            case "RUN":
                text = image.moved(re.sub(r"--mount=\S+ ", "", step.text))
                done = subprocess.run(
                    ["/bin/sh", "-ec", text], cwd=workdir, env=environ, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{step.text}\n{done.stdout}\n{done.stderr}"
            case _:
                raise AssertionError(f"this test does not know {step.name}")


def copy(sources: list[str], target: Path) -> None:
    """As COPY does: what is in a folder, or the files as they are called."""
    for source in sources:
        for file in context_files(source):
            below = Path(file).relative_to(source) if (ROOT / source).is_dir() else Path(Path(file).name)
            (target / below).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, target / below)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Built once. Not below pytest's own folder, which other users may not enter."""
    with tempfile.TemporaryDirectory(prefix="order-relay-image-") as folder:
        Path(folder).chmod(0o755)
        made = Image(Path(folder).resolve())
        build(made)
        yield made


def confined(writable: Path) -> list[str]:
    """What to put before a command so that it runs as in the container, as far as this machine lets us: as root, with
    a read-only root file system of its own and as another user; else as the user we are."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    place = shlex.quote(str(writable))
    sealed = f'mount --bind {place} {place} && mount -o remount,bind,ro / && exec "$@"'
    for prefix in (["unshare", "--mount", "/bin/sh", "-c", sealed, "sh", *user], user):
        if not subprocess.run([*prefix, sys.executable, "-V"], capture_output=True, check=False).returncode:
            return prefix
    return []


@contextmanager
def running(image: Image, arguments: list[str], writable: Path, **environ: str) -> Iterator[dict[str, str]]:
    """The installed command, started as the container starts it; yields the addresses it says it listens on."""
    process = subprocess.Popen(
        [*confined(writable), image.command, *arguments, "--json"],
        cwd="/",
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONDONTWRITEBYTECODE": "1", **environ},  # and no HOME
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        if not line:
            process.kill()
            pytest.fail(process.communicate()[1])
        yield json.loads(line)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=40)
        assert process.returncode == 0, said
        assert "Traceback" not in said
    finally:
        process.kill()
        process.communicate()


def fetched(url: str, body: bytes | None = None, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(url, body, named), timeout=10) as response:  # noqa: S310 - what we started ourselves
        return json.load(response)


@pytest.mark.timeout(600)
def test_the_install_steps_work_in_an_empty_environment(image: Image) -> None:
    done = subprocess.run([image.command, "--help"], capture_output=True, text=True, check=True, env={}, cwd="/")
    assert "serve" in done.stdout
    python = image.command.parent / "python"
    listing = "from importlib.metadata import distributions as d; print(*{i.name.lower() for i in d()})"
    names = set(subprocess.run([python, "-c", listing], capture_output=True, text=True, check=True).stdout.split())
    assert "order-relay" in names
    assert not names & {"pip", "hatchling", "pytest", "mypy", "ruff"}
    # Compiled, in a way that holds however the files' times come out of the image: nothing is compiled at start.
    packages = next((image.command.parent.parent / "lib").glob("python3*/site-packages"))
    compiled = list((packages / "relay").glob("__pycache__/app.*.pyc"))
    assert len(compiled) == 1
    assert int.from_bytes(compiled[0].read_bytes()[4:8], "little") == 0b01  # PEP 552: by hash, unchecked


@pytest.mark.timeout(600)
def test_what_was_installed_serves_with_its_store_as_the_only_writable_place(image: Image) -> None:
    with tempfile.TemporaryDirectory(prefix="order-relay-run-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        data, nothing = folder / "data", folder / "nothing"
        for made in (data, nothing):
            made.mkdir()
            if os.geteuid() == 0:
                os.chown(made, UID, UID)
        shutil.copytree(DEPLOY / "secrets.example", folder / "secrets")
        if prefix := confined(data):
            elsewhere = subprocess.run(
                [*prefix, "touch", image.root / "x", folder / "x"], capture_output=True, check=False
            )
            assert elsewhere.returncode != 0
        command = [{"0.0.0.0:8090": "127.0.0.1:0"}.get(word, word) for word in services()["sandbox"]["command"]]
        with running(image, command, nothing) as sandbox:
            file = folder / "relay.toml"
            file.write_text(adapted(folder, sandbox["sandbox"]))
            token_file = str(folder / "secrets/relay-api-token")
            environ = {"RELAY_CONFIG": str(file), "RELAY_PRIVATE__TOKEN_FILE": token_file}
            with running(image, services()["relay"]["command"], data, **environ) as relay:
                an_order_gets_through(image, relay, sandbox["sandbox"])
        assert {"relay.db"} == {file.name for file in data.glob("relay.db")}
        assert list(nothing.iterdir()) == []


def an_order_gets_through(image: Image, relay: dict[str, str], sandbox: str) -> None:
    private = relay["private"].replace("0.0.0.0", "127.0.0.1")
    its_health_check_passes(image, private)
    with pytest.raises(HTTPError, match="401"):
        fetched(f"{private}/api/status")
    secret = (DEPLOY / "secrets.example/own-checkout").read_text().strip()
    sale = (ROOT / "tests/samples/native-sale.json").read_bytes()
    credential = {"Authorization": f"Bearer {secret}", "Content_Type": "application/json"}
    assert fetched(f"{relay['public']}/orders", sale, **credential)["status"] == "queued"
    token = (DEPLOY / "secrets.example/relay-api-token").read_text().strip()
    for _ in range(5000):  # each is a round trip of milliseconds
        status = fetched(f"{private}/api/status", Authorization=f"Bearer {token}")
        if status["channels"]["main"]["orders"]["sent"]:
            break
    assert [sale["externalId"] for sale in fetched(f"{sandbox}/sandbox/sales")["sales"]] == ["5001"]


def its_health_check_passes(image: Image, private: str) -> None:
    """The image's own, at the port that it has here; and it fails where nothing listens."""
    python, *rest = json.loads(stages()["relay"].only("HEALTHCHECK").text.partition(" CMD ")[2])
    assert python == "python"
    for port, healthy in ((private.rpartition(":")[2], True), ("9", False)):
        words = [word.replace("9090", port) for word in rest]
        done = subprocess.run([image.command.parent / python, *words], capture_output=True, check=False)
        assert healthy == (done.returncode == 0)
