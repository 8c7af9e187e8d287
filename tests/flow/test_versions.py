"""``maskloop versions``, ``promote`` and ``roll-back`` as they are typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backends.registry import Registry
from backends.settings import Settings
from pipelines import cli
from pipelines.doctor.machine import _model


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path))
    return Registry(tmp_path / "models")


def add(registry: Registry, content: bytes, **card: object) -> str:
    path = registry.models_dir.parent / "new.safetensors"
    path.write_bytes(content)
    return registry.add("video_object", path, card or None).version


def test_the_circle_of_promoting_and_rolling_back(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = registry.served("video_object").version
    one = add(registry, b"one", project=7, snapshot="abc123")
    two = add(registry, b"two")

    def typed(*words: str) -> str:
        assert cli.main(words) == 0
        return capsys.readouterr().out

    def starred() -> list[str]:
        return re.findall(r"^\* (\S+)", typed("versions", "video_object"), flags=re.M)

    assert starred() == [shipped]
    assert f"{one} is served from the next request on (before: {shipped})" in typed(
        "promote", "video_object", one
    )
    assert "served already" in typed("promote", "video_object", one)
    typed("promote", "video_object", two)
    assert starred() == [two]
    listed = typed("versions")
    assert "project 7, snapshot abc123" in listed and "shipped with this release" in listed
    assert f"{one} is served again (before: {two})" in typed("roll-back", "video_object")
    typed("roll-back", "video_object")
    assert starred() == [shipped]


def test_a_project_goes_its_own_way_and_back(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = registry.served("video_object").version
    one, two = add(registry, b"one"), add(registry, b"two")

    def typed(*words: str) -> str:
        assert cli.main(words) == 0
        return capsys.readouterr().out

    def starred(*words: str) -> list[str]:
        return re.findall(r"^\* (\S+)", typed("versions", "video_object", *words), flags=re.M)

    said = typed("promote", "video_object", one, "--project", "7")
    assert f"in project 7: {one} is served from the next request on (before: {shipped})" in said
    assert (starred(), starred("--project", "7"), starred("--project", "8")) == ([shipped], [one], [shipped])
    typed("promote", "video_object", two, "--project", "12")
    assert "unchanged where a project has its own: 7, 12" in typed("promote", "video_object", two)
    listed = typed("versions", "video_object")
    assert re.search(rf"^\* {two}  .{{16}}  12, the others$", listed, flags=re.M)
    assert re.search(rf"^  {one}  .{{16}}  7$", listed, flags=re.M)
    assert "stays, as its own" in typed("promote", "video_object", two, "--project", "8")
    assert "served already" in typed("promote", "video_object", two, "--project", "8")
    assert f"{two} is served again, as everywhere without a version of its own" in typed(
        "roll-back", "video_object", "--project", "7"
    )
    assert starred("--project", "7") == [two]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("promote", "video_object", "video_object-00000000"), "no version"),
        (("promote", "video_object", "../evil"), "not a version name"),
        (("promote", "clicks", "shipped"), "unknown algorithm"),
        (("roll-back", "video_object"), "nothing was served before"),
        (("roll-back", "video_object", "--project", "7"), "project 7 has no version of its own"),
        (("promote", "video_object", "shipped", "--project", "-7"), "no project's number"),
        (("versions", "video_object", "--project", "-7"), "no project's number"),
        (("versions", "../.."), "unknown algorithm"),
    ],
)
def test_what_cannot_be_is_said(
    registry: Registry, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert cli.main(words) == 2
    assert says in capsys.readouterr().err


def test_an_algorithm_without_versions_says_how_to_get_one(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    if any(version.is_shipped for version in registry.versions("weak_shot")):
        pytest.skip("weights of weak_shot are shipped, so there is always a version")
    assert cli.main(("versions", "weak_shot")) == 0
    assert "maskloop train weak_shot" in capsys.readouterr().out


def test_the_doctor_says_which_projects_have_their_own_and_what_is_broken(registry: Registry) -> None:
    one = add(registry, b"one")
    registry.promote("video_object", one, 7)
    [_, own] = _model(Settings(models_dir=registry.models_dir))
    assert own.ok and own.said == f"project 7 is answered by {one}"
    registry.find("video_object", one).weights.unlink()
    [_, own] = _model(Settings(models_dir=registry.models_dir))
    assert not own.ok and "no version" in own.said
    assert cli.main(own.fix.split()[1:]) == 0
    assert [finding.ok for finding in _model(Settings(models_dir=registry.models_dir))] == [True]
