"""Which weights answer: the shipped ones, a promoted version, or a clear fault."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from backends.core.errors import BadInput, SetupFault
from backends.registry import Registry, version_of


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


def weights(tmp_path, content: bytes):
    path = tmp_path / f"{content.decode()}.safetensors"
    path.write_bytes(content)
    return path


def test_without_a_promoted_version_the_shipped_weights_are_served(registry):
    served = registry.served("video_object")
    assert served.weights.is_file() and served.version == version_of("video_object", served.weights)


def test_a_promoted_version_is_served_until_another_one_is(registry, tmp_path):
    one = registry.add("video_object", weights(tmp_path, b"one"))
    two = registry.add("video_object", weights(tmp_path, b"two"))
    registry.promote("video_object", one.version)
    assert registry.served("video_object") == one
    registry.promote("video_object", two.version)
    assert registry.served("video_object") == two
    registry.promote("video_object", one.version)
    assert registry.served("video_object").weights.read_bytes() == b"one"


def test_the_same_weights_are_one_version(registry, tmp_path):
    first = registry.add("video_object", weights(tmp_path, b"same"))
    assert registry.add("video_object", weights(tmp_path, b"same")) == first


def test_a_copy_torn_by_a_kill_is_not_a_version(registry, tmp_path):
    path = weights(tmp_path, b"whole")
    version = version_of("video_object", path)
    torn = registry.models_dir / "video_object" / f"{version}.part"
    torn.mkdir(parents=True)
    (torn / "weights.safetensors").write_bytes(b"wh")
    with pytest.raises(BadInput, match="no version"):
        registry.promote("video_object", version)
    assert registry.add("video_object", path).weights.read_bytes() == b"whole"


def test_faults_say_what_to_do(registry, tmp_path):
    with pytest.raises(SetupFault, match="maskloop train no_such"):
        registry.served("no_such")
    gone = registry.add("video_object", weights(tmp_path, b"gone"))
    registry.promote("video_object", gone.version)
    gone.weights.unlink()
    with pytest.raises(SetupFault, match="promote another version"):
        registry.served("video_object")


@pytest.mark.parametrize("name", ["../../etc/passwd", "video_object-XYZ", "", "video_object-1a2b3c4d/.."])
def test_names_cannot_leave_the_folder(registry, name):
    with pytest.raises(BadInput, match="not a version name"):
        registry.promote("video_object", name)


def added(registry, tmp_path, *contents: bytes):
    return [registry.add("video_object", weights(tmp_path, content)).version for content in contents]


def test_roll_back_goes_the_way_of_the_promotions_to_the_shipped_weights(registry, tmp_path):
    one, two, three = added(registry, tmp_path, b"one", b"two", b"three")
    shipped = registry.served("video_object")
    for version in (one, two, two, three):  # the same one again is no step
        registry.promote("video_object", version)
    for expected in (two, one, shipped.version):
        assert registry.roll_back("video_object").version == expected
        assert registry.served("video_object").version == expected
    with pytest.raises(BadInput, match="nothing was served before"):
        registry.roll_back("video_object")
    assert registry.promote("video_object", three).version == three, "a version rolled back is still there"


def test_roll_back_passes_over_what_is_gone_or_torn(registry, tmp_path):
    one, two, three, four = added(registry, tmp_path, b"one", b"two", b"three", b"four")
    for version in (one, two, three, four):
        registry.promote("video_object", version)
    (registry.models_dir / "video_object" / two / "weights.safetensors").unlink()
    (registry.models_dir / "video_object" / three / "weights.safetensors").write_bytes(b"thr")
    assert registry.roll_back("video_object").version == one
    assert registry.served("video_object").version == one


def test_the_shipped_weights_can_be_promoted_by_name(registry, tmp_path):
    shipped = registry.served("video_object")
    [one] = added(registry, tmp_path, b"one")
    registry.promote("video_object", one)
    assert registry.promote("video_object", "shipped") == shipped == registry.served("video_object")
    assert registry.roll_back("video_object").version == one
    with pytest.raises(SetupFault, match="no weights"):
        registry.promote("nothing_shipped", "shipped")


def test_a_file_that_is_not_what_its_name_says_is_never_promoted(registry, tmp_path):
    one, two = added(registry, tmp_path, b"one", b"two")
    registry.promote("video_object", one)
    (registry.models_dir / "video_object" / two / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(BadInput, match="not what its name says"):
        registry.promote("video_object", two)
    assert registry.served("video_object").version == one


def test_versions_are_listed_with_their_cards(registry, tmp_path):
    path = weights(tmp_path, b"told")
    told = registry.add("video_object", path, {"snapshot": "abc", "figures": {"c": 0.5}}).version
    [plain] = added(registry, tmp_path, b"plain")
    (registry.models_dir / "video_object" / plain / "card.json").write_text("{torn")
    (registry.models_dir / "video_object" / "video_object-00000000").mkdir()  # no weights: no version
    registry.promote("video_object", plain)
    versions = {version.name: version for version in registry.versions("video_object")}
    shipped = next(version for version in versions.values() if version.is_shipped)
    assert set(versions) == {told, plain, shipped.name}
    assert versions[told].card["snapshot"] == "abc" and versions[plain].card == {}
    assert [v.name for v in versions.values() if v.is_served] == [plain]


def test_a_pointer_cut_by_a_kill_leaves_the_old_one(registry, tmp_path):
    one, two = added(registry, tmp_path, b"one", b"two")
    registry.promote("video_object", one)
    (registry.models_dir / "video_object" / "served.part").write_text("video_ob")
    assert registry.served("video_object").version == one
    registry.promote("video_object", two)
    assert registry.served("video_object").version == two


def _promote(models_dir, version):
    Registry(models_dir).promote("video_object", version)


def test_promotions_at_the_same_time_lose_no_step(registry, tmp_path):
    names = added(registry, tmp_path, *(f"w{i}".encode() for i in range(8)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: _promote(registry.models_dir, name), names))
    seen = {registry.served("video_object").version}
    while len(seen) < len(names):
        seen.add(registry.roll_back("video_object").version)  # raises when a promotion was lost
    assert seen == set(names)
