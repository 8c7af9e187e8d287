"""Label Studio as a child: its program, its environment variables, and how to tell that it is ready.

Every setting below answers a measured default that breaks or leaks on one machine; see docs/decisions.
"""

from __future__ import annotations

from pathlib import Path

import requests

from backends.core.errors import SetupFault
from backends.settings import Settings, inherited
from pipelines.services.installation import Login
from pipelines.services.supervisor import ChildSpec

# Label Studio also reads plain USERNAME, PASSWORD, HOST, PORT and DEBUG: it gets a small environment instead.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


def find_label_studio(settings: Settings) -> Path:
    """The program in its own environment. Raises SetupFault with the command that makes it."""
    folder = _environment_of(settings)
    program = folder / "bin" / "label-studio"
    if (folder / ".making").exists() or not program.is_file() or not (folder / "bin" / "python").exists():
        raise SetupFault(
            f"Label Studio's environment {folder} is missing or half-made; make it with `make environments`, "
            "or name another one: MASKLOOP_LABEL_STUDIO_ENV=/path/to/venv"
        )
    return program


def spec(settings: Settings, login: Login) -> ChildSpec:
    """How Label Studio is started for these settings: sqlite, loopback, local files, nothing calls out.

    Raises SetupFault when it is not installed.
    """
    program = find_label_studio(settings)
    data = settings.data_dir.resolve() / "label-studio"
    log = settings.data_dir.resolve() / "logs" / "label-studio.log"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = (
        str(program.parent / "python"),  # a script's first line breaks when the path is long or has blanks
        str(program),
        "start",
        "--no-browser",
        "--internal-host",
        "127.0.0.1",
        "--port",
        str(settings.label_studio_port),
        "--enable-legacy-api-token",
        "--log-level",
        "INFO",
    )
    return ChildSpec("label-studio", argv, environment(settings, login, data), data, log)


def environment(settings: Settings, login: Login, data: Path) -> dict[str, str]:
    """The whole environment of Label Studio; ``data`` holds its database, key and uploads."""
    return inherited(_PASSED_ON) | {
        "HOME": str(data),
        "PYTHONUNBUFFERED": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_HOST": settings.label_studio_url,
        "LABEL_STUDIO_USERNAME": login.email,
        "LABEL_STUDIO_PASSWORD": login.password,
        "LABEL_STUDIO_USER_TOKEN": login.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",  # read once, when the organization is created
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(settings.media_root.resolve()),
        "LABEL_STUDIO_ML_BLOCK_LOCAL_IP": "false",  # default true: refuses a backend on loopback
        "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "false",  # default true: drops webhooks to loopback
        "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
        "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
        "LABEL_STUDIO_SENTRY_DSN": "",
        "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
    }


def installed_version(settings: Settings) -> str:
    """Label Studio's version from its environment's metadata, without starting it."""
    for folder in _environment_of(settings).glob("lib/python*/site-packages/label_studio-*.dist-info"):
        return folder.name.removeprefix("label_studio-").removesuffix(".dist-info")
    raise SetupFault(f"no Label Studio in {_environment_of(settings)}; make it with `make environments`")


def is_up(url: str) -> bool:
    """Whether ``GET /health`` says UP now."""
    try:
        return requests.get(f"{url}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _environment_of(settings: Settings) -> Path:
    folder = settings.label_studio_env
    if folder.is_absolute() or folder.exists():
        return folder.absolute()
    return Path(__file__).parents[2] / folder
