"""The package as others see it: what it imports, what it exports, and that it fits the ports of its neighbours."""

import subprocess
import sys
from pathlib import Path

import attrs
import mypy.api
import pytest

import ledbat

ROOT = Path(__file__).parents[2]

_ATTRS_ALONE = """
import sys

class Wall:
    allowed = {"ledbat", "attrs", "attr"}
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in self.allowed and top not in sys.stdlib_module_names:
            raise ImportError("not allowed: " + name)

sys.meta_path.insert(0, Wall())
sys.path[:0] = sys.argv[1:]
import ledbat
flow = ledbat.Ledbat(mss=1400)
flow.on_sent(sent=1400, now=0.0)
flow.on_ack(acked=1400, delays_us=[5], rtt=0.1, now=0.1)
loaded = {name.partition(".")[0] for name in sys.modules}
print(*sorted(loaded & {"ppsp", "interop", "reload", "alto", "decade"}), flow.cwnd)
"""


def test_it_works_with_attrs_alone() -> None:
    """attrs is the only dependency, and no other package of this distribution is imported."""
    site = Path(attrs.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ATTRS_ALONE, str(ROOT), str(site)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["2800"]


def test_it_reads_no_clock_and_opens_no_socket() -> None:
    """Time is an argument; I/O belongs to interop."""
    forbidden = {"asyncio", "socket", "ssl", "select", "threading", "time", "random", "subprocess"}
    for path in (ROOT / "ledbat").rglob("*.py"):
        words = {
            line.split()[1].partition(".")[0]
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith(("import ", "from "))
        }
        assert not words & forbidden, path


def test_everything_in_all_is_there_and_has_a_docstring() -> None:
    """Public is what `__all__` lists."""
    assert sorted(ledbat.__all__) == ledbat.__all__
    for name in ledbat.__all__:
        assert getattr(ledbat, name).__doc__


def test_it_fits_the_port_that_ppsp_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ppsp.ports.CongestionController` is structural: mypy is asked whether a Ledbat is one."""
    program = tmp_path / "fits.py"
    program.write_text(
        "from ledbat import DelayFilter, EwmaFilter, Ledbat, MinFilter, NullFilter\n"
        "from ppsp.ports import CongestionController\n"
        "controller: CongestionController = Ledbat(mss=1024)\n"
        "filters: list[DelayFilter] = [EwmaFilter(), MinFilter(), NullFilter()]\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    options = ["--strict", "--follow-imports=silent", "--config-file=", f"--cache-dir={tmp_path}"]
    output, errors, status = mypy.api.run([*options, str(program)])
    assert (status, errors) == (0, ""), output
