"""TCP ports: which one to take, and who holds the one that is taken."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from backends.core.errors import SetupFault

_TRIES = 50


@dataclass(frozen=True)
class PortWish:
    """A port wanted by one service. ``by_hand``: a person named it, so no other will do."""

    service: str
    host: str
    port: int
    by_hand: bool
    variable: str  # the setting that changes it, for the message


@dataclass(frozen=True)
class PortChoice:
    port: int
    remark: str = ""  # what to tell the person, empty when the wish came true


def choose(wish: PortWish, taken: Iterable[int] = ()) -> PortChoice:
    """The wished port, or the next free one when nobody insists on it.

    ``taken``: ports promised to a sibling. Raises SetupFault when a port named by hand is in use.
    """
    promised = set(taken)
    if wish.port not in promised and is_free(wish.host, wish.port):
        return PortChoice(wish.port)
    by = "another part of MaskLoop" if wish.port in promised else _named(holder(wish.port))
    if wish.by_hand:
        raise SetupFault(
            f"port {wish.port} for {wish.service} is in use by {by}; "
            f"end that program or set {wish.variable} to a free port"
        )
    for port in range(wish.port + 1, min(wish.port + _TRIES, 65535)):
        if port not in promised and is_free(wish.host, port):
            return PortChoice(
                port,
                f"port {wish.port} is in use by {by}: {wish.service} takes {port} "
                f"(set {wish.variable} to choose another)",
            )
    raise SetupFault(f"no free port from {wish.port} on for {wish.service}; set {wish.variable} to one")


def settle(wishes: Iterable[PortWish], say: Callable[[str], None], patience_s: float = 0.0) -> list[int]:
    """Choose for several services at once, saying where one had to move.

    ``patience_s``: how long to wait for each port first; after a crash the old services take a moment to go.
    """
    taken: list[int] = []
    for wish in wishes:
        ends = time.monotonic() + patience_s
        while time.monotonic() < ends and not is_free(wish.host, wish.port):
            time.sleep(0.1)
        choice = choose(wish, taken)
        if choice.remark:
            say(f"Note: {choice.remark}.")
        taken.append(choice.port)
    return taken


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now; one that just ended does not count (SO_REUSEADDR)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    # Label Studio itself asks by connecting to "localhost", which may also be ::1, and moves away in silence.
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("::1", port)) != 0


def holder(port: int) -> tuple[int, str] | None:
    """(pid, program) listening on a TCP port, where this user may know it (Linux); else None."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = any(str(link.readlink()) in inodes for link in (process / "fd").iterdir())
            if held:
                return int(process.name), (process / "comm").read_text().strip()
        except OSError:
            continue  # another user's process, or gone meanwhile
    return None


def _listening_inodes(port: int) -> set[str]:
    """Names of the sockets in state LISTEN (0A) on ``port``, as they appear under /proc/<pid>/fd."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.is_file():
            continue
        for line in table.read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rsplit(":", 1)[1], 16) == port:
                found.add(f"socket:[{columns[9]}]")
    return found


def _named(who: tuple[int, str] | None) -> str:
    return f"process {who[0]} ({who[1]})" if who else "another program"
