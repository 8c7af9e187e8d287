"""Which weights answer: the shipped ones, a promoted version, or a clear fault."""

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
    with pytest.raises(SetupFault, match="maskloop train weak_shot"):
        registry.served("weak_shot")
    gone = registry.add("video_object", weights(tmp_path, b"gone"))
    registry.promote("video_object", gone.version)
    gone.weights.unlink()
    with pytest.raises(SetupFault, match="promote another version"):
        registry.served("video_object")


@pytest.mark.parametrize("name", ["../../etc/passwd", "video_object-XYZ", "", "video_object-1a2b3c4d/.."])
def test_names_cannot_leave_the_folder(registry, name):
    with pytest.raises(BadInput, match="not a version name"):
        registry.promote("video_object", name)
