"""The containers' files, as far as they can be checked without a container engine."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from backends.ledger import Ledger
from backends.settings import Settings
from pipelines.services import label_studio_process
from pipelines.services.installation import Login
from pipelines.services.redis_process import find_redis

ROOT = Path(__file__).resolve().parents[2]
BASE, GPU = ROOT / "docker-compose.yml", ROOT / "docker-compose.gpu.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(BASE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"backend", "worker", "trainer"}
SETTINGS = {f"MASKLOOP_{item.name.upper()}" for item in fields(Settings)}
LABEL_STUDIO_SOURCES = sorted(ROOT.glob(".venv-label-studio/lib/python*/site-packages/label_studio"))
INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "ONBUILD",
    "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


def check_schema(*files: Path) -> subprocess.CompletedProcess[str]:
    """Hold the files against the Compose Specification's own JSON schema, which check-jsonschema carries."""
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        *map(str, files),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, argument) of a Dockerfile, comments dropped and continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.split("\n"))
    ]


DOCKERFILE = instructions((ROOT / "Dockerfile").read_text())


def variables(text: str) -> set[str]:
    """Names that compose takes from .env; ``$$`` is a literal dollar."""
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))


def test_compose_files_follow_the_specification() -> None:
    run = check_schema(BASE, GPU)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_schema_sees_a_mistake(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(BASE.read_text().replace("read_only: true", "readonly: true", 1))
    assert check_schema(broken).returncode != 0


def test_parts_are_those_of_one_installation() -> None:
    assert set(SERVICES) == {"label-studio", "redis", "backend", "worker", "trainer"}


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_no_more_power_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & set(service)
    assert service.get("read_only") or name == "label-studio"
    assert service["stop_grace_period"] and service["restart"]
    assert not [mount for mount in service["volumes"] if "docker.sock" in mount]


@pytest.mark.parametrize("name", SERVICES)
def test_service_says_when_it_is_well(name: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"]
    assert test[0] in {"CMD", "CMD-SHELL"} and len(test) > 1


def test_a_worker_is_well_when_it_stands_in_the_ledger(tmp_path: Path) -> None:
    def status() -> int:
        program = SERVICES["worker"]["healthcheck"]["test"][3]
        env = {**os.environ, "MASKLOOP_DATA_DIR": str(tmp_path)}
        return subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, timeout=120).returncode

    ledger = Ledger(Settings(data_dir=tmp_path).ledger_path)
    assert status() == 1
    ledger.register_worker("this very process", ("propagate",))
    assert status() == 0


@pytest.mark.parametrize("name", sorted(set(SERVICES) - OURS))
def test_foreign_images_have_an_exact_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+(-\w+)?", SERVICES[name]["image"])


def test_ports_are_published_on_loopback_and_redis_has_none() -> None:
    published = {name: port for name, service in SERVICES.items() for port in service.get("ports", [])}
    assert set(published) == {"label-studio", "backend"}
    assert all(port.startswith("127.0.0.1:") for port in published.values())
    assert SERVICES["redis"]["networks"] == SERVICES["worker"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_redis_wants_a_password_and_keeps_a_log() -> None:
    script = SERVICES["redis"]["command"][-1]
    assert "requirepass $$REDISCLI_AUTH" in script and "appendonly yes" in script
    assert "noeviction" in script


def test_redis_starts_with_this_configuration(tmp_path: Path) -> None:
    """The same script, moved to a folder and a socket of this test."""
    program = Path(find_redis().path)
    where = f"dir {tmp_path}\nport 0\nunixsocket {tmp_path}/s"
    script = SERVICES["redis"]["command"][-1].replace("$$", "$").replace("dir /data", where)
    script = script.replace("redis-server", shlex.quote(str(program)), 1)
    env = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": "abc123"}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(["sh", "-c", script], env=env, stdout=log, stderr=log)
    try:
        with redis.Redis(unix_socket_path=f"{tmp_path}/s", password="abc123") as client:
            assert eventually(lambda: answers(client)), (tmp_path / "log").read_text()
            assert client.info()["aof_enabled"] == 1
            with pytest.raises(redis.ResponseError, match="unknown command"):
                client.config_get("dir")
        with (
            redis.Redis(unix_socket_path=f"{tmp_path}/s") as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
    finally:
        server.terminate()
        server.wait(timeout=30)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False


def eventually(true: Callable[[], bool], limit_s: float = 30.0) -> bool:
    """Whether ``true()`` comes true within the limit."""
    ends = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def test_media_has_one_path_everywhere() -> None:
    mounts = {
        name: [v.split(":")[1] for v in SERVICES[name]["volumes"] if v.startswith("media:")]
        for name in SERVICES
    }
    paths = {name: found[0] for name, found in mounts.items() if found}
    assert set(paths) == {"label-studio", "backend", "worker", "trainer"} and len(set(paths.values())) == 1
    root = paths["backend"]
    assert SERVICES["label-studio"]["environment"]["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] == root
    assert all(SERVICES[name]["environment"]["MASKLOOP_MEDIA_ROOT"] == root for name in OURS)


@pytest.mark.parametrize("name", ["ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED"])
def test_label_studio_may_reach_the_backend(name: str) -> None:
    assert SERVICES["label-studio"]["environment"][f"LABEL_STUDIO_{name}"] == "false"


def test_our_environment_names_are_settings() -> None:
    gpu = yaml.safe_load(GPU.read_text())["services"]["worker"]
    used = {name for service in [*(SERVICES[n] for n in OURS), gpu] for name in service["environment"]}
    assert used <= SETTINGS, f"not fields of Settings: {sorted(used - SETTINGS)}"


def test_label_studio_knows_its_environment_names() -> None:
    if not LABEL_STUDIO_SOURCES:
        pytest.skip("no Label Studio environment beside this checkout; `make demo` makes one")
    files = [*LABEL_STUDIO_SOURCES[0].glob("core/settings/*.py"), LABEL_STUDIO_SOURCES[0] / "server.py"]
    files += LABEL_STUDIO_SOURCES[0].glob("core/*.py")
    text = "\n".join(path.read_text() for path in files)
    names = SERVICES["label-studio"]["environment"]
    unknown = [
        n for n in names if f"'{n}'" not in text and f"'{n.removeprefix('LABEL_STUDIO_')}'" not in text
    ]
    assert not unknown


def test_label_studio_is_set_as_on_one_machine() -> None:
    ours = label_studio_process.environment(Settings(), Login("a@example.com", "", ""), ROOT)
    of_the_image = {"LABEL_STUDIO_BASE_DATA_DIR"}  # the image has its own data folder
    wanted = {name: value for name, value in ours.items() if name.startswith("LABEL_STUDIO_")}
    given = SERVICES["label-studio"]["environment"]
    assert set(given) == set(wanted) - of_the_image
    switches = {name: value for name, value in given.items() if value in ("true", "false", "")}
    assert switches and switches == {name: wanted[name] for name in switches}


def test_env_example_names_each_variable_and_holds_no_secret() -> None:
    lines = [line for line in (ROOT / ".env.example").read_text().splitlines() if line and line[0] != "#"]
    example = dict(line.split("=", 1) for line in lines)
    assert set(example) == variables(BASE.read_text())
    assert not [name for name in example if re.search("PASSWORD|TOKEN|SECRET", name) and example[name]]


def test_secrets_have_no_default() -> None:
    for name in variables(BASE.read_text()):
        if re.search("PASSWORD|TOKEN|SECRET", name):
            assert re.findall(rf"\$\{{{name}(:?.)", BASE.read_text()) == [":?"] * BASE.read_text().count(
                "${" + name
            )


def test_dockerfile_reads_as_one() -> None:
    words = [word for word, _ in DOCKERFILE]
    assert set(words) <= INSTRUCTIONS
    assert next(word for word in words if word != "ARG") == "FROM"
    assert all(rest for _, rest in DOCKERFILE)


def test_dockerfile_copies_what_exists_and_is_not_ignored() -> None:
    kept = {
        line[1:].rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for word, rest in DOCKERFILE:
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists() and source.rstrip("/") in kept, source


def test_image_runs_as_nobody_in_particular_and_cannot_build() -> None:
    last = max(i for i, (word, _) in enumerate(DOCKERFILE) if word == "FROM")
    final = DOCKERFILE[last:]
    assert [rest for word, rest in final if word == "USER"] == ["10001:10001"]
    ran = " ".join(rest for word, rest in final if word == "RUN")
    assert "pip uninstall" in ran and "pip install" not in ran and "apt-get" not in ran


def test_base_image_has_an_exact_version() -> None:
    default = next(rest for word, rest in DOCKERFILE if word == "ARG" and rest.startswith("PYTHON_IMAGE="))
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.1[12]\.\d+-slim-\w+", default)


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_commands_exist(name: str) -> None:
    module = SERVICES[name]["command"][-1]
    assert (ROOT / Path(*module.split("."))).with_suffix(".py").is_file(), module
