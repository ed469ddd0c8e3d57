"""Environments for packages that cannot live in ours, made once and kept in the user's cache."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


def foreign_python(*requirements: str) -> Path:
    """The interpreter of an environment with these packages alone. A test that cannot have them fails."""
    wanted = hashlib.sha256(" ".join((sys.version, *requirements)).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ietf-p2p"
    environment = cache / wanted
    if not environment.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _make(cache, environment, requirements)
    return environment / "bin" / "python"


def _make(cache: Path, environment: Path, requirements: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        made = Path(folder) / "environment"
        subprocess.run([sys.executable, "-m", "venv", made], check=True, capture_output=True, timeout=120)
        install = [made / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements]
        installed = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
        if installed.returncode:
            pytest.fail(f"pip install {' '.join(requirements)}: {installed.stderr.strip()[-200:]}")
        try:
            # Whole or not at all: tests may run side by side. Only scripts name the folder, and none of them is used.
            made.rename(environment)
        except OSError:
            if not environment.exists():
                raise
