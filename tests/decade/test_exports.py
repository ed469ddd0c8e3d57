"""What `decade` itself lists: all of it is there, typed, and imported no sooner than it is used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import decade

SOURCE = ast.parse(Path(decade.__file__).read_text(encoding="utf-8"))


def test_every_listed_name_is_there():
    for name in decade.__all__:
        assert getattr(decade, name) is getattr(import_module(decade._MODULE_OF[name]), name)
    assert not hasattr(decade, "NoSuchName")


def test_what_is_listed_is_what_type_checkers_see_and_what_is_imported():
    block = next(node for node in SOURCE.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(seen) == sorted(decade.__all__)
    assert seen == decade._MODULE_OF


def test_naming_objects_takes_attrs_alone():
    program = (
        "import sys, decade; decade.name_of(b''); decade.read_ni; decade.recover;"
        "print([name for name in sys.modules if name.partition('.')[0] in ('cbor2', 'cryptography', 'interop')])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
