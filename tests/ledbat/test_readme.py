"""The README's snippets run, in their order, as one program."""

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "ledbat" / "README.md"


def test_the_snippets_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    """What a newcomer copies works, and prints what the comment beside it says."""
    snippets = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(snippets) >= 5
    names: dict[str, Any] = {}
    for number, snippet in enumerate(snippets, start=1):
        exec(compile(snippet, f"README.md, snippet {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "Snapshot(cwnd=1400, flightsize=0" in printed
    assert "TARGET is 0.2 s; it must be above 0 and at most 0.1 s (RFC 6817 section 2.5)" in printed


def test_the_readme_names_everything_public() -> None:
    """A name that is exported is explained, or it is not meant to be public."""
    import ledbat

    text = README.read_text(encoding="utf-8")
    missing = [name for name in ledbat.__all__ if f"`{name}`" not in text and not name.endswith(("Error", "Snapshot"))]
    assert missing == []
