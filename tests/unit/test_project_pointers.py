"""A project's own version beside the one for all: what is served to whom, and how it is taken back."""

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from backends.core.errors import BadInput, SetupFault
from backends.pointers import pointer
from backends.registry import Registry

VIDEO = "video_object"


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


def added(registry, tmp_path, *contents: bytes):
    path = tmp_path / "new.safetensors"
    versions = []
    for content in contents:
        path.write_bytes(content)
        versions.append(registry.add(VIDEO, path).version)
    return versions


def test_a_project_without_a_version_of_its_own_gets_what_all_get(registry, tmp_path):
    shipped = registry.served(VIDEO).version
    [one] = added(registry, tmp_path, b"one")
    assert registry.served(VIDEO, 7).version == shipped
    registry.promote(VIDEO, one)
    assert registry.served(VIDEO, 7).version == one
    assert registry.pointers(VIDEO) == {0: one}


def test_a_promotion_for_one_project_changes_no_other(registry, tmp_path):
    one, two, three = added(registry, tmp_path, b"one", b"two", b"three")
    registry.promote(VIDEO, one)
    registry.promote(VIDEO, two, 7)
    registry.promote(VIDEO, three, 12)
    assert [registry.served(VIDEO, project).version for project in (0, 7, 8, 12)] == [one, two, one, three]
    registry.promote(VIDEO, three)
    assert [registry.served(VIDEO, project).version for project in (0, 7, 8)] == [three, two, three]
    assert registry.pointers(VIDEO) == {0: three, 7: two, 12: three}
    assert list(registry.pointers(VIDEO)) == [0, 7, 12]
    served_to = {version.name: version.served_to for version in registry.versions(VIDEO) if version.is_served}
    assert served_to == {three: (0, 12), two: (7,)}


def test_what_was_served_before_answers_until_it_is_taken_back(registry, tmp_path):
    shipped = registry.served(VIDEO).version
    one, two, three = added(registry, tmp_path, b"one", b"two", b"three")
    assert registry.answering(VIDEO) == {shipped}
    registry.promote(VIDEO, one)
    registry.promote(VIDEO, two, 7)
    registry.promote(VIDEO, three, 7)
    assert registry.answering(VIDEO) == {shipped, one, two, three}
    registry.roll_back(VIDEO, 7)
    assert registry.answering(VIDEO) == {shipped, one, two}
    registry.roll_back(VIDEO, 7)
    registry.roll_back(VIDEO)
    assert registry.answering(VIDEO) == {shipped}


def test_each_project_goes_back_its_own_way_and_then_to_all(registry, tmp_path):
    one, two, three = added(registry, tmp_path, b"one", b"two", b"three")
    registry.promote(VIDEO, one)
    for version in (two, two, three):
        registry.promote(VIDEO, version, 7)
    registry.promote(VIDEO, three, 8)
    assert registry.roll_back(VIDEO, 7).version == two == registry.served(VIDEO, 7).version
    assert registry.roll_back(VIDEO, 7).version == one == registry.served(VIDEO, 7).version
    assert registry.pointers(VIDEO) == {0: one, 8: three}, "its own pointer is gone, the others are not"
    with pytest.raises(BadInput, match="project 7 has no version of its own"):
        registry.roll_back(VIDEO, 7)
    assert registry.served(VIDEO).version == one, "it never goes back for all"


def test_a_project_keeps_the_version_that_all_had_when_it_was_given_it_by_name(registry, tmp_path):
    one, two = added(registry, tmp_path, b"one", b"two")
    registry.promote(VIDEO, one)
    registry.promote(VIDEO, one, 7)
    registry.promote(VIDEO, two)
    assert [registry.served(VIDEO, project).version for project in (7, 8)] == [one, two]


def test_the_shipped_weights_by_their_word_and_by_their_name(registry, tmp_path):
    shipped = registry.served(VIDEO)
    [one] = added(registry, tmp_path, b"one")
    registry.promote(VIDEO, one)
    for name in ("shipped", shipped.version):
        assert registry.promote(VIDEO, name, 7) == shipped == registry.served(VIDEO, 7)
    assert registry.pointers(VIDEO)[7] == shipped.version == registry.find(VIDEO, shipped.version).version
    assert pointer(registry.models_dir / VIDEO, 7).read() == ["shipped"], (
        "the next release's too, and one step"
    )
    added(registry, tmp_path, shipped.weights.read_bytes())
    names = [version.name for version in registry.versions(VIDEO)]
    assert sorted(names) == sorted({one, shipped.version}), "a copy of what is shipped is no second version"


def test_going_back_never_leaves_nothing_served(registry, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"first of its kind")
    only = registry.add("nothing_shipped", tmp_path / "w.safetensors").version
    assert registry.pointers("nothing_shipped") == {}
    registry.promote("nothing_shipped", only, 7)
    with pytest.raises(SetupFault, match="no weights"):
        registry.roll_back("nothing_shipped", 7)
    assert registry.served("nothing_shipped", 7).version == only


def test_a_project_whose_version_was_deleted_by_hand_is_told(registry, tmp_path):
    one, two = added(registry, tmp_path, b"one", b"two")
    registry.promote(VIDEO, one, 7)
    registry.promote(VIDEO, two, 7)
    registry.find(VIDEO, two).weights.unlink()
    with pytest.raises(SetupFault, match="served-7 names"):
        registry.served(VIDEO, 7)
    registry.served(VIDEO, 8)
    assert registry.roll_back(VIDEO, 7).version == one


@pytest.mark.parametrize("project", [-1, 10**13])
def test_a_number_that_no_project_has_is_refused(registry, tmp_path, project):
    [one] = added(registry, tmp_path, b"one")
    for ask in (
        lambda: registry.promote(VIDEO, one, project),
        lambda: registry.served(VIDEO, project),
        lambda: registry.roll_back(VIDEO, project),
    ):
        with pytest.raises(BadInput, match="no project's number"):
            ask()
    assert registry.pointers(VIDEO).keys() == {0}


def test_a_pointer_file_of_an_earlier_release_stays_valid(registry, tmp_path):
    one, two = added(registry, tmp_path, b"one", b"two")
    (registry.models_dir / VIDEO / "served").write_text(f"{two}\n{one}\nshipped\n")
    for strange in ("served-", "served-07", "served-x", "served-7.part"):
        (registry.models_dir / VIDEO / strange).write_text(f"{one}\n")
    assert registry.pointers(VIDEO) == {0: two}
    assert registry.roll_back(VIDEO).version == one


def test_nothing_that_is_done_deletes_a_version(registry, tmp_path):
    names = added(registry, tmp_path, *(f"w{i}".encode() for i in range(25)))  # more than are remembered
    for project in (0, 7):
        for name in names:
            registry.promote(VIDEO, name, project)
        with pytest.raises(BadInput):
            while True:
                registry.roll_back(VIDEO, project)
    assert {version.name for version in registry.versions(VIDEO)} > set(names)
    assert all(registry.find(VIDEO, name).weights.is_file() for name in names)


def test_projects_promoted_at_the_same_time_get_each_its_own(registry, tmp_path):
    names = added(registry, tmp_path, *(f"w{i}".encode() for i in range(8)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: Registry(registry.models_dir).promote(VIDEO, names[i], i), range(8)))
    assert registry.pointers(VIDEO) == dict(enumerate(names))


def _swing(models_dir, one, two):
    """Promotes for ever, until it is killed."""
    registry = Registry(models_dir)
    while True:
        registry.promote(VIDEO, one, 7)
        registry.promote(VIDEO, two, 7)


def test_a_version_is_served_whenever_a_promoting_process_is_killed(registry, tmp_path):
    one, two = added(registry, tmp_path, b"one", b"two")
    registry.promote(VIDEO, one, 7)
    fork = multiprocessing.get_context("fork")
    for _ in range(20):
        process = fork.Process(target=_swing, args=(registry.models_dir, one, two), daemon=True)
        before = pointer(registry.models_dir / VIDEO, 7).path.stat().st_mtime_ns
        process.start()
        while pointer(registry.models_dir / VIDEO, 7).path.stat().st_mtime_ns == before:
            assert registry.served(VIDEO, 7).version in (one, two)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert registry.served(VIDEO, 7).weights.read_bytes() in (b"one", b"two")
        registry.promote(VIDEO, one, 7)  # the lock went with the process
