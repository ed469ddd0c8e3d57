"""What `alto` itself lists: all of it is there, typed, and imported no sooner than it is used."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import attrs

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


_ATTRS_ALONE = """
import sys

class Wall:
    allowed = {"alto", "attrs", "attr"}
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in self.allowed and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError("not allowed: " + name, name=name)

sys.meta_path.insert(0, Wall())
sys.path[:0] = sys.argv[1:]
import alto
for name in alto.__all__:
    getattr(alto, name)
places = alto.NetworkMap({"here": {"ipv4": ["192.0.2.0/24"]}, "rest": {"ipv4": ["0.0.0.0/0"]}})
costs = alto.CostMatrix(["here", "rest"], ["here", "rest"], [[1, 2.5], [3, None]])
routing = alto.CostType("numerical", "routingcost")
resources = [
    alto.NetworkMapResource("places", places),
    alto.CostMapResource("costs", "places", "num", routing, costs),
    alto.EndpointPropertyResource("properties"),
]
server = alto.AltoServer(alto.Directory(resources, default_network_map="places"), epoch=0.0)
answer = server.handle(alto.Request("GET", "/costs"), None, 0.0)
loaded = {name.partition(".")[0] for name in sys.modules}
print(*sorted(loaded & {"ppsp", "interop", "reload", "ledbat", "decade", "numpy", "orjson", "asyncio", "ssl"}))
print(answer.body.decode())
"""


def test_all_of_it_works_with_attrs_alone():
    site = Path(attrs.__file__).parents[1]
    command = [sys.executable, "-I", "-S", "-c", _ATTRS_ALONE, str(Path(alto.__file__).parents[1]), str(site)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    others, _, body = done.stdout.partition("\n")
    assert others == ""
    assert json.loads(body)["cost-map"] == {"here": {"here": 1, "rest": 2.5}, "rest": {"here": 3}}
