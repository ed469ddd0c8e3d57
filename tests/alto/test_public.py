"""What `alto` itself lists: all of it is there, typed, and imported no sooner than it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import alto

SOURCE = ast.parse(Path(alto.__file__).read_text(encoding="utf-8"))


def test_every_listed_name_is_there():
    for name in alto.__all__:
        assert getattr(alto, name).__name__ == name
    assert not hasattr(alto, "NoSuchName")


def test_what_is_listed_is_what_type_checkers_see_and_what_is_imported():
    block = next(node for node in SOURCE.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(seen) == sorted(alto.__all__)
    assert seen == alto._MODULE_OF


def test_importing_the_package_imports_neither_its_parts_nor_numpy():
    program = "import sys, alto; print([name for name in sys.modules if name.startswith(('alto.', 'numpy'))])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
