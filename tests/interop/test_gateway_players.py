"""Real players at the gateway: Chromium and ffmpeg play H.264 while it is being fetched, and seek."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from alto_browser import Browser, browser
from ppsp_gateway import CHUNK, Playing, playing

_SECONDS = 40
_RATE = 2_000_000
"""Bits a second of the film."""


def _ffmpeg(*words: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-nostdin", "-y", *map(str, words)]
    subprocess.run(command, check=True, timeout=60)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One film, of moving test pictures with grain; its index (moov) stands first, or last.

    With the index last a player has to seek before it can start.
    """
    folder = tmp_path_factory.mktemp("film")
    first, last = folder / "first.mp4", folder / "last.mp4"
    pictures = f"testsrc2=size=320x240:rate=25:duration={_SECONDS}"
    rate = str(_RATE)
    coded = ["-vf", "noise=alls=40:allf=t", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]
    coded += ["-g", "25", "-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate]
    _ffmpeg("-f", "lavfi", "-i", pictures, *coded, last)
    _ffmpeg("-i", last, "-c", "copy", "-movflags", "+faststart", first)
    found = {"index first": first.read_bytes(), "index last": last.read_bytes()}
    assert min(map(len, found.values())) > 0.8 * _SECONDS * _RATE / 8
    return found


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as tab:
        yield tab


def _seconds(tab: Browser) -> float:
    return float(tab.run("video.currentTime"))


def _plays_on(tab: Browser, seconds: float) -> None:
    """Wait until the film has gone on for so long."""
    tab.until(f"video.error || video.currentTime > {_seconds(tab) + seconds}")
    assert tab.run("video.error && video.error.message") is None


@pytest.mark.parametrize("kind", ["index first", "index last"])
def test_chromium_plays_seeks_to_the_middle_and_plays_on_while_the_film_is_fetched(
    tab: Browser, films: dict[str, bytes], kind: str
) -> None:
    content = films[kind]
    with playing(content, rate=500_000.0) as swarm:
        tab.open(swarm.base + "/")
        tab.run("globalThis.video = document.querySelector('video'); video.muted = true; void video.play()")
        _plays_on(tab, 1.0)
        assert tab.run("[video.videoWidth, video.videoHeight]") == [320, 240]
        assert tab.run("Math.round(video.duration)") == _SECONDS
        middle = len(content) // CHUNK // 2
        before = swarm.stats()
        held = swarm.held(0, middle - 1)
        tab.run(f"video.currentTime = {_SECONDS / 2}; null")
        # At the moment of the seek the film was not complete, nor was all that lies before the middle there.
        assert not before["complete"]
        assert held < 0.8 * middle
        _plays_on(tab, 1.0)
        assert _seconds(tab) > _SECONDS / 2
        assert not swarm.stats()["complete"]
        assert swarm.held(0, middle - 1) < middle
        assert any(reader["position"] > len(content) // 2 for reader in swarm.stats()["readers"])
        assert "verified" in tab.text("#state")
        assert "asked 0 times for peers" in tab.text("#exchange")
        assert tab.troubles == []
        tab.call("Page.navigate", url="about:blank")
        swarm.until(lambda stats: not stats["readers"])


def _frames(swarm: Playing, *words: str) -> int:
    """How many pictures ffmpeg decodes."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-progress", "-", *words]
    done = subprocess.run(
        [*command, "-i", swarm.url, "-frames:v", "25", "-f", "null", "-"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return int(done.stdout.rsplit("frame=", 1)[1].split("\n", 1)[0])


@pytest.mark.parametrize("kind", ["index first", "index last"])
def test_ffmpeg_starts_in_the_middle_of_a_film_that_is_being_fetched(films: dict[str, bytes], kind: str) -> None:
    content = films[kind]
    with playing(content, rate=1_000_000.0) as swarm:
        assert _frames(swarm) == 25
        assert _frames(swarm, "-ss", str(_SECONDS // 2)) == 25
        assert not swarm.stats()["complete"]
