"""Every Python snippet in the README files runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_READMES = [_ROOT / "README.md", *sorted(_ROOT.glob("*/README.md"))]


def _snippets() -> list[tuple[str, str]]:
    return [
        (f"{readme.relative_to(_ROOT)}-{number}", text)
        for readme in _READMES
        for number, text in enumerate(_SNIPPET.findall(readme.read_text(encoding="utf-8")), 1)
    ]


@pytest.mark.parametrize(("name", "text"), _snippets(), ids=[name for name, _ in _snippets()])
def test_a_snippet_runs_in_a_fresh_interpreter(name: str, text: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, f"{name}: {ran.stderr}"


def test_there_are_snippets() -> None:
    assert len(_snippets()) >= 3
