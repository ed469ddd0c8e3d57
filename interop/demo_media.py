"""A real media file for the demo, made on the spot: H.264 and AAC, by the ffmpeg that the imageio-ffmpeg wheel has."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from interop._lifetime import with_us

# Some 30 MB: at 4 Mbit/s of video, a minute; encoding takes about 10 s on two cores.
_SECONDS = 60
_VIDEO_RATE = 3_900_000
_TIMEOUT = 300.0


class DemoMediaError(Exception):
    """The file could not be made; the text says why, in one line."""


def demo_media(folder: Path) -> Path:
    """The demo's film in `folder`, encoded now unless an earlier run has left it there. Raises DemoMediaError."""
    film = folder / "demo.mp4"
    if film.exists():
        return film
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"demo.{os.getpid()}.tmp.mp4"
    try:
        _encode(_ffmpeg(), unfinished)
        unfinished.replace(film)
    finally:
        unfinished.unlink(missing_ok=True)
    return film


def _ffmpeg() -> str:
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError as exc:
        raise DemoMediaError("making the demo's film needs pip install 'ietf-p2p[demo]', or take --file") from exc
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as exc:
        raise DemoMediaError("the imageio-ffmpeg package has no ffmpeg for this machine: take --file") from exc


def _encode(ffmpeg: str, path: Path) -> None:
    # Moving test pictures with film grain, so that the video needs the rate it gets, and a two-tone siren.
    pictures = f"testsrc2=size=1280x720:rate=30:duration={_SECONDS}"
    siren = f"aevalsrc='0.2*sin(2*PI*t*(440+220*gt(mod(t,2),1)))|0.2*sin(330*2*PI*t)':s=48000:d={_SECONDS}"
    rate = str(_VIDEO_RATE)
    command = [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
    command += ["-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", siren]
    command += ["-vf", "noise=alls=12:allf=t", "-pix_fmt", "yuv420p"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-b:v", rate, "-maxrate", rate, "-bufsize", rate]
    command += ["-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=False, preexec_fn=with_us()
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise DemoMediaError(f"ffmpeg did not run: {exc}") from exc
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        raise DemoMediaError(f"ffmpeg failed: {last}")
