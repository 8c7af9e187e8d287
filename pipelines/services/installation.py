"""What one data folder holds: secret, Label Studio's login, and where its services listen.

``maskloop up`` writes these files, the other commands read them to find what is running. Nothing here starts
a process.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from backends.core.errors import SetupFault
from backends.settings import Settings, from_env, named_in

MIN_FREE_MB = 500
_EMAIL = "annotator@maskloop.local"


@dataclass(frozen=True)
class Login:
    """The one account that ``maskloop up`` makes in Label Studio; ``token`` is its legacy API token."""

    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True)
class Services:
    """Where the services of this data folder listen; kept over restarts."""

    port: int
    label_studio_port: int
    redis_url: str


def prepare(data_dir: Path) -> None:
    """Make the folders, private to this user. Raises SetupFault where the disk is full or not ours."""
    try:
        for folder in (data_dir, data_dir / "run", data_dir / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        for private in ("run", "logs"):
            (data_dir / private).chmod(0o700)
    except OSError as error:
        raise SetupFault(
            f"cannot write to {data_dir}: {error.strerror}; set MASKLOOP_DATA_DIR to a folder of yours"
        ) from error
    free = free_mb(data_dir)
    if free < MIN_FREE_MB:
        raise SetupFault(
            f"the disk of {data_dir} has {free} MB left and MaskLoop wants {MIN_FREE_MB} MB to start; "
            "free some space, or set MASKLOOP_DATA_DIR to a folder on another disk"
        )


def free_mb(folder: Path) -> int:
    """Megabytes this user may still write on the disk of ``folder``."""
    return shutil.disk_usage(folder).free // 1_000_000


def ensure_secret(settings: Settings) -> str:
    """The secret from the settings or the data folder; written there (0600) at the first start."""
    path = settings.data_dir / "secret"
    if not settings.secret and not _text_of(path):
        write_private(path, secrets.token_urlsafe(24) + "\n")
    return settings.shared_secret()


def ensure_login(data_dir: Path) -> Login:
    """Label Studio's account; generated at the first start and kept in ``label-studio-login.json`` (0600)."""
    login = read_login(data_dir)
    if login is None:
        login = Login(_EMAIL, secrets.token_urlsafe(9), secrets.token_hex(20))
        keep_login(data_dir, login)
    return login


def keep_login(data_dir: Path, login: Login) -> None:
    write_private(login_path(data_dir), json.dumps(asdict(login), indent=1) + "\n")


def read_login(data_dir: Path) -> Login | None:
    """The stored account, or None before the first start. Raises SetupFault when the file is broken."""
    path = login_path(data_dir)
    text = _text_of(path)
    if not text:
        return None
    try:
        return Login(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise SetupFault(
            f"{path} is damaged ({error}); write it by hand as "
            '{"email": "…", "password": "…", "token": "…"} with an account of this Label Studio'
        ) from error


def login_path(data_dir: Path) -> Path:
    return data_dir / "label-studio-login.json"


def keep_services(data_dir: Path, services: Services) -> None:
    write_private(data_dir / "run" / "services.json", json.dumps(asdict(services), indent=1) + "\n")


def read_services(data_dir: Path) -> Services | None:
    """Where the services listened last; None before the first start or when the file cannot be read."""
    try:
        return Services(**json.loads(_text_of(data_dir / "run" / "services.json")))
    except (TypeError, ValueError):
        return None  # it only saves a choice; `up` chooses again


def effective(settings: Settings, named: frozenset[str]) -> Settings:
    """``settings`` completed by what ``maskloop up`` chose and wrote; names set by hand are left alone.

    ``named``: the fields that the environment sets (:func:`backends.settings.named_in`).
    """
    found: dict[str, object] = {}
    if services := read_services(settings.data_dir):
        found["port"] = services.port
        found["label_studio_port"] = services.label_studio_port
        found["label_studio_url"] = f"http://127.0.0.1:{services.label_studio_port}"
        found["redis_url"] = services.redis_url
    if login := read_login(settings.data_dir):
        found["label_studio_token"] = login.token
    return replace(settings, **{name: value for name, value in found.items() if name not in named})  # type: ignore[arg-type]


def current_settings() -> Settings:
    """What the environment, the settings file and this installation say together."""
    return effective(from_env(), named_in())


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def _text_of(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
