"""The documentation against the code: all that people can type or set is there, and nothing else."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from xml.etree import ElementTree

import pytest

from backends.settings import PREFIX, Settings
from pipelines import cli

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
CONFIGS = sorted((ROOT / "labelstudio_config").glob("*.xml"))


def tracked() -> list[Path]:
    """Files under version control that exist in the working tree."""
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in run.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # a picture or a weights file


PAGES = [path for path in tracked() if path.suffix == ".md"]


def commands(parser: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """What can be typed behind ``maskloop``; a group gives way to its members (``study floors``)."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in (parser or cli.build_parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                members = {f"{name} {member}": below for member, below in commands(command).items()}
                found |= members or {name: command}
    return found


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from (name for name in action.option_strings if name.startswith("--") and name != "--help")


def sections(text: str) -> dict[str, str]:
    """Heading without its marks -> the text below it, up to the next heading."""
    parts = re.split(r"^##+ (.+)$", text, flags=re.M)
    return {title.strip("` "): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


CLI_PAGE = (REFERENCE / "cli.md").read_text()


@pytest.mark.parametrize("name", commands())
def test_command_is_described_with_its_options_and_an_example(name: str) -> None:
    section = sections(CLI_PAGE).get(f"maskloop {name}")
    assert section is not None, f"docs/reference/cli.md has no section 'maskloop {name}'"
    assert f"maskloop {name}" in section, "no example"
    missing = [option for option in options(commands()[name]) if f"`{option}" not in section]
    assert not missing


def test_page_names_no_command_or_option_that_is_not_there() -> None:
    named = {title.removeprefix("maskloop ") for title in sections(CLI_PAGE) if title.startswith("maskloop ")}
    assert named == set(commands())
    parsers = [cli.build_parser(), *commands().values()]
    known = {"--help"} | {option for parser in parsers for option in options(parser)}
    assert set(re.findall(r"`(--[a-z-]+)", CLI_PAGE)) <= known


def test_each_setting_is_described_with_its_default() -> None:
    page = (REFERENCE / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(MASKLOOP_\w+)` \| (.+?) \|", page, flags=re.M))
    assert set(rows) == {PREFIX + item.name.upper() for item in fields(Settings)}
    for item in fields(Settings):
        default = str(item.default)
        assert rows[PREFIX + item.name.upper()] == (f"`{default}`" if default else "empty"), item.name


def test_settings_named_anywhere_in_the_docs_exist() -> None:
    known = {PREFIX + item.name.upper() for item in fields(Settings)} | OTHER_VARIABLES
    for page in PAGES:
        assert set(re.findall(r"\bMASKLOOP_[A-Z_]*[A-Z]", text_of(page))) <= known, page.name


OTHER_VARIABLES: set[str] = set()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_each_label_and_control_is_described(path: Path) -> None:
    page = (REFERENCE / "label_config.md").read_text()
    assert path.name in page
    root = ElementTree.fromstring(path.read_text())
    names = {node.get("name") for node in root.iter() if node.get("name")}
    labels = {node.get("value") for node in root.iter("Label")}
    assert names and labels
    missing = [word for word in names | labels if f"`{word}`" not in page]
    assert not missing


def links(page: Path) -> Iterator[str]:
    """Targets of relative links, code left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text_of(page), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The names that headings get: lower case, punctuation dropped, spaces to hyphens."""
    titles = re.findall(r"^#+ (.+)$", text_of(page), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), f"{target}: no such file"
        assert place.is_relative_to(ROOT), f"{target} leads out of the repository"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{target}: no such heading"


def test_each_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            found = [(page.parent / target.partition("#")[0]).resolve() for target in links(page)]
            waiting += [place for place in found if place.suffix == ".md" and place.exists()]
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= seen


# Written in pieces, so that this file does not hold what it looks for.
FOLDERS = "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers", "opt/py" + "pi", "opt/whe" + "els"])
FOREIGN = {
    "a path of one machine": rf"(?<![\w.$}})\]*-])/(?:{FOLDERS})/[\w.]",
    "a package index": r"index-url[= ]+[\"']?\w+://|INDEX(?:_URL)?[=:] *[\"']?\w+://|download\.pyto"
    + r"rch\.org(?!/models)",
    "a package host": "pytho" + r"nhosted\.org",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_tracked_files_hold_nothing_of_one_machine(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        if (match := re.search(FOREIGN[what], text_of(path)))
    ]
    assert not found


def test_env_files_are_not_tracked() -> None:
    found = [path.name for path in tracked() if re.fullmatch(r"\.env(\..+)?", path.name)]
    assert found == [".env.example"]


@pytest.mark.parametrize("text", ["see /wo" + "rk/main", "'/ro" + "ot/x'", "cd /ho" + "me/ann"])
def test_a_path_of_one_machine_would_be_found(text: str) -> None:
    assert re.search(FOREIGN["a path of one machine"], text)
