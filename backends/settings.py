"""Settings: the only reader of the environment. Each field says its meaning and unit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import quote

from backends.core.errors import SetupFault

PREFIX = "MASKLOOP_"
ENGINES = ("auto", "onnx", "int8", "torch")


@dataclass(frozen=True)
class Settings:
    """What one MaskLoop installation needs to know. Every field is read from ``MASKLOOP_<NAME>``."""

    data_dir: Path = Path("build/demo")
    """Ledger, secret, models, Redis and Label Studio data live below this folder."""
    host: str = "127.0.0.1"
    """Address the backend binds; anything but loopback needs a secret of at least 16 characters."""
    port: int = 9090
    """TCP port of the backend."""
    secret: str = field(default="", repr=False)
    """Shared by Label Studio, the console and the backend; empty: read from ``data_dir/secret``."""
    redis_url: str = ""
    """``unix://…`` or ``redis://…``; empty: the socket that ``maskloop up`` made below ``data_dir``."""
    label_studio_url: str = "http://127.0.0.1:8080"
    """Origin of Label Studio as this process reaches it."""
    label_studio_port: int = 8080
    """TCP port of the Label Studio that ``maskloop up`` starts."""
    label_studio_env: Path = Path(".venv-label-studio")
    """The environment that holds Label Studio alone; ``make`` makes it."""
    label_studio_public_url: str = ""
    """Origin of Label Studio as people's browsers reach it, for the console's links; empty: the one above."""
    allowed_hosts: str = ""
    """Host names under which people open the console, comma-separated; loopback and ``host`` always work."""
    label_studio_token: str = field(default="", repr=False)
    """Legacy token or personal access token; which of the two is told by its shape."""
    media_root: Path = Path("build/demo/media")
    """The folder that Label Studio serves as local files (its document root)."""
    models_dir: Path = Path("build/demo/models")
    """Model versions and the pointers to the served ones."""
    device: str = "cpu"
    """torch device of the worker: ``cpu``, ``cuda`` or ``cuda:N``."""
    threads: int = 0
    """Threads that compute the network; 0: all cores this process may use."""
    warm_models: int = 4
    """Most model versions the worker keeps loaded; one takes about 150 MB, loading it again half a second."""
    engine: str = "auto"
    """Computes the video network on a CPU: onnx, int8, torch, or ``auto``: onnx, or torch if that fails."""
    predict_budget_s: float = 80.0
    """How long an interactive Propagate may wait for frames; Label Studio gives up after 100 s."""
    stall_s: float = 300.0
    """A job without a sign of life for so long is failed; its worker, or a training's process, is ended."""
    draft_wait_s: float = 6.5
    """How long to wait for the draft that holds the triggering click (autosave lags 5 s)."""
    max_waiting: int = 8
    """Most ``/predict`` requests worked on or waiting at once; one more is refused at once with 503."""
    max_regions: int = 150
    """Most regions in one answer: the editor gets slow beyond it."""
    max_prediction_regions: int = 600
    """Most regions in one prediction: opening 300 took 9 s; more objects are better split into two tasks."""
    max_clip_frames: int = 50
    """Longer videos are cut into clips of this many frames that overlap by one."""
    max_side_px: int = 854
    """Longest side of the frames that annotators see; larger media are scaled at ingest."""
    max_image_pixels: int = 50_000_000
    """Images with more pixels are refused before they are decoded."""
    log_level: str = "INFO"
    """Python logging level name."""

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise SetupFault(f"MASKLOOP_PORT is {self.port}; a TCP port is 1 to 65535")
        if self.warm_models < 1:
            raise SetupFault(f"MASKLOOP_WARM_MODELS is {self.warm_models}; the worker needs 1 or more")
        if self.engine not in ENGINES:
            raise SetupFault(f"MASKLOOP_ENGINE is {self.engine!r}; it can be {', '.join(ENGINES)}")
        if self.predict_budget_s >= 100:
            raise SetupFault("MASKLOOP_PREDICT_BUDGET_S must stay below Label Studio's limit of 100 s")

    @property
    def ledger_path(self) -> Path:
        """The SQLite ledger."""
        return self.data_dir / "ledger.sqlite3"

    @property
    def graphs_dir(self) -> Path:
        """Graphs that were made of weights; they are made again where they are missing."""
        return self.data_dir / "cache" / "graphs"

    @property
    def redis_socket(self) -> Path:
        """The private socket of the embedded Redis."""
        return self.data_dir / "run" / "redis.sock"

    def redis_address(self) -> str:
        """The URL for ``redis.Redis.from_url``."""
        return self.redis_url or f"unix://{quote(str(self.redis_socket.resolve()))}"

    def shared_secret(self) -> str:
        """The secret from the environment or ``data_dir/secret``; raises SetupFault when neither is set."""
        if self.secret:
            return self.secret
        path = self.data_dir / "secret"
        if path.is_file() and (text := path.read_text().strip()):
            return text
        raise SetupFault(f"no secret: set MASKLOOP_SECRET or start with `maskloop up`, which writes {path}")


def from_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Build Settings from ``MASKLOOP_*``; unset names keep their defaults.

    Paths that default below ``data_dir`` follow a changed ``MASKLOOP_DATA_DIR``.
    """
    env = os.environ if environ is None else environ
    given: dict[str, object] = {}
    for item in fields(Settings):
        text = env.get(PREFIX + item.name.upper())
        if text is None or text == "":
            continue
        given[item.name] = _parse(item.name, str(item.type), text)
    if "data_dir" in given:
        data_dir = given["data_dir"]
        assert isinstance(data_dir, Path)
        given.setdefault("media_root", data_dir / "media")
        given.setdefault("models_dir", data_dir / "models")
    return Settings(**given)  # type: ignore[arg-type]


def to_env(settings: Settings) -> dict[str, str]:
    """The inverse of :func:`from_env`: ``MASKLOOP_*`` for a child process, paths made absolute."""
    texts: dict[str, str] = {}
    for item in fields(Settings):
        value = getattr(settings, item.name)
        text = str(value.resolve()) if isinstance(value, Path) else str(value)
        if text:
            texts[PREFIX + item.name.upper()] = text
    return texts


def named_in(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """The fields that the environment sets; a default may be moved out of the way, these may not."""
    env = os.environ if environ is None else environ
    return frozenset(item.name for item in fields(Settings) if env.get(PREFIX + item.name.upper()))


def inherited(names: Iterable[str] | None = None) -> dict[str, str]:
    """This process's environment for a child, or of it only ``names`` where they are set."""
    if names is None:
        return dict(os.environ)
    return {name: os.environ[name] for name in names if name in os.environ}


def _parse(name: str, kind: str, text: str) -> object:
    try:
        return {"int": int, "float": float, "Path": Path, "str": str}[kind](text)
    except ValueError as error:
        raise SetupFault(f"{PREFIX}{name.upper()}={text!r}: wants {kind}") from error
