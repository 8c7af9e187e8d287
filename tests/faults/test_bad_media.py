"""Media that cannot be used: refused by name, and nothing that was there is touched."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from backends.core.errors import BadMedia
from backends.core.frames import clip_from_folder, open_image
from backends.settings import Settings
from pipelines.ingest import ingest
from pipelines.media.video import Video, unpack_video
from tests.media import draw_frame, huge_png, save_frames, write_video


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", media_root=tmp_path / "media")


def clips_in(settings: Settings) -> list[Path]:
    home = settings.media_root / "clips"
    return [p for p in home.iterdir() if p.is_dir()] if home.is_dir() else []


def faststart(path: Path, count: int = 40) -> Path:
    """A video whose index stands in front, so that a part of it can be opened."""
    frames = [draw_frame(i, (96, 128)) for i in range(count)]
    return write_video(path, frames, options={"movflags": "faststart"})


def test_video_without_frames(tmp_path: Path, settings: Settings) -> None:
    whole = faststart(tmp_path / "whole.mp4")
    content = whole.read_bytes()
    head = content[: content.index(b"mdat") + 4]
    for name, data in {"empty.mp4": b"", "head.mp4": head, "noise.mp4": bytes(range(256)) * 40}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadMedia, match=name):
            ingest(tmp_path / name, settings)
    assert clips_in(settings) == []


def test_audio_only_video(tmp_path: Path, settings: Settings) -> None:
    import av
    import numpy as np

    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(BadMedia, match=r"sound\.mp4: holds no video track"):
        ingest(tmp_path / "sound.mp4", settings)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_truncated_video_keeps_what_can_be_decoded_and_says_so(
    tmp_path: Path, settings: Settings, suffix: str
) -> None:
    whole = faststart(tmp_path / f"whole{suffix}")
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    (clip,) = ingest(cut, settings)
    assert 5 < clip.n_frames < 40
    assert clip.notes, "nobody was told that frames are missing"
    assert ingest(cut, settings) == [clip], "the note is kept"
    assert ingest(whole, settings)[0].notes == ()


def test_video_cut_in_its_index_is_refused(tmp_path: Path, settings: Settings) -> None:
    """Without ``faststart`` the index stands at the end, and half a file cannot be decoded at all."""
    whole = write_video(tmp_path / "whole.mp4", [draw_frame(i) for i in range(10)])
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(BadMedia, match=r"cut\.mp4: cannot be opened as a video"):
        ingest(tmp_path / "cut.mp4", settings)


def test_damage_in_the_middle_costs_frames_not_the_clip(tmp_path: Path, settings: Settings) -> None:
    content = bytearray(faststart(tmp_path / "whole.mp4").read_bytes())
    middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 2
    content[middle : middle + 400] = b"\xff" * 400
    (tmp_path / "hurt.mp4").write_bytes(content)
    (clip,) = ingest(tmp_path / "hurt.mp4", settings)
    assert clip.n_frames >= 15


def test_too_large_video_is_refused_before_decoding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", [draw_frame(0)])
    with pytest.raises(BadMedia, match=r"v\.mp4: 64x48 pixels per frame; the limit is 3000"):
        next(Video(path, max_pixels=3000).frames())


class _Counting(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def web_address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Counting)
    _Counting.asked = 0
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/x.ts"
    server.shutdown()
    server.server_close()


def test_playlists_named_like_videos_are_refused(
    tmp_path: Path, settings: Settings, web_address: str
) -> None:
    """A playlist makes a decoder read a neighbour's file or the network."""
    write_video(tmp_path / "neighbour.mp4", [draw_frame(0)] * 3)
    playlists = {
        "concat.mp4": "ffconcat version 1.0\nfile neighbour.mp4\n",
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{web_address}\n#EXT-X-ENDLIST\n",
        "local.mov": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nneighbour.mp4\n#EXT-X-ENDLIST\n",
        "dash.mp4": f'<?xml version="1.0"?><MPD><BaseURL>{web_address}</BaseURL></MPD>',
        "sdp.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(BadMedia, match=name):
            ingest(tmp_path / name, settings)
        with pytest.raises(BadMedia, match=name):
            unpack_video(tmp_path / name, tmp_path, max_pixels=10**6)
    assert _Counting.asked == 0
    assert ingest(tmp_path / "neighbour.mp4", settings)[0].n_frames == 3


def test_address_instead_of_a_file(settings: Settings, web_address: str) -> None:
    for name in (web_address, "concat:a.mp4|b.mp4", "pipe:0"):
        with pytest.raises(BadMedia, match="no such file"):
            ingest(Path(name), settings)
    assert _Counting.asked == 0


def test_folder_with_frames_of_differing_size(tmp_path: Path, settings: Settings) -> None:
    save_frames(tmp_path / "a", 4)
    save_frames(tmp_path / "b", 3, size_hw=(50, 64))[2].replace(tmp_path / "a" / "00002.jpg")
    with pytest.raises(BadMedia, match=r"00002\.jpg: 64x50 pixels, but 00000\.jpg has 64x48"):
        ingest(tmp_path / "a", settings)
    assert clips_in(settings) == []


def test_folder_with_a_broken_frame_leaves_earlier_clips_alone(tmp_path: Path, settings: Settings) -> None:
    save_frames(tmp_path / "good", 3)
    (good,) = ingest(tmp_path / "good", settings)
    paths = save_frames(tmp_path / "bad", 3)
    paths[1].write_bytes(paths[1].read_bytes()[:500])
    with pytest.raises(BadMedia, match=r"00001\.jpg: the image cannot be decoded"):
        ingest(tmp_path / "bad", settings)
    assert clips_in(settings) == [good.folder]
    assert ingest(tmp_path / "good", settings) == [good]


def test_sources_of_other_kinds(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "empty").mkdir()
    picture = save_frames(tmp_path / "one", 1)[0]
    for source, words in {
        tmp_path / "empty": "no frames in it",
        tmp_path / "nowhere": "no such file or folder",
        picture: "one picture is no clip",
        Path("/dev/null"): "neither a folder nor a plain file",
    }.items():
        with pytest.raises(BadMedia, match=words):
            ingest(source, settings)


def test_huge_picture_is_refused_at_once(tmp_path: Path, settings: Settings) -> None:
    save_frames(tmp_path / "a", 2, suffix=".png")
    huge_png(tmp_path / "a" / "00002.png")
    for refuse in (
        lambda: ingest(tmp_path / "a", settings),
        lambda: clip_from_folder(tmp_path / "a"),
        lambda: open_image(tmp_path / "a" / "00002.png"),
    ):
        with pytest.raises(BadMedia, match=r"00002\.png.*50000000"):
            refuse()


def test_huge_picture_costs_the_command_little_memory(tmp_path: Path) -> None:
    save_frames(tmp_path / "a", 1, suffix=".png")
    huge_png(tmp_path / "a" / "00001.png")
    script = (
        "import sys; from pathlib import Path; from pipelines.cli import main\n"
        "code = main(sys.argv[1:])\n"
        # VmHWM is this program's own peak; ru_maxrss would begin with that of the process it was forked from
        "status = Path('/proc/self/status').read_text()\n"
        "print(code, status.split('VmHWM:')[1].split()[0])\n"
    )
    words = ["propagate", "--frames", "a", "--masks", "a", "--out", "out"]
    run = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    code, peak_kb = run.stdout.split()
    assert code == "2" and "00001.png" in run.stderr and "Traceback" not in run.stderr
    assert int(peak_kb) < 300_000  # the decoded picture would be 1.2 GB; torch is not even loaded
