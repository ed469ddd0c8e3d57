"""Every Python snippet in the README files runs: those of one file in their order, in one fresh interpreter."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_READMES = {
    str(readme.relative_to(_ROOT)): _SNIPPET.findall(readme.read_text(encoding="utf-8"))
    for readme in (_ROOT / "README.md", *sorted(_ROOT.glob("*/README.md")))
}


@pytest.mark.parametrize("name", _READMES)
def test_the_snippets_run(name: str, tmp_path: Path) -> None:
    program = "\n".join(_READMES[name])
    command = [sys.executable, "-W", "error", "-c", program]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


def test_every_package_with_code_has_a_readme_with_snippets() -> None:
    packages = ("alto", "decade", "ledbat", "ppsp", "reload")
    assert {"README.md", *(f"{name}/README.md" for name in packages)} <= {
        name for name, found in _READMES.items() if found
    }
