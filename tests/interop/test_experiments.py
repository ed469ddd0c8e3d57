"""The gates of the experiments, the part of each that is worth most; `make experiments` runs all."""

import json
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from interop.cli.simulate import command
from interop.experiments import GATES, Metric, Result, Verdict, World
from interop.experiments import _report as report
from interop.experiments._controllers import make
from interop.simulation import megabits

_SMOKE = ("E1", "E2", "E3", "E4", "E5", "E6", "E6b", "E7", "E8", "E9", "E10", "E12", "E17")


@pytest.mark.parametrize("gate", _SMOKE)
def test_the_gate_meets_its_bars(gate: str) -> None:
    """Requirements section 4.3; a figure that misses its bar has to be documented where it is made."""
    result = GATES[gate].run(quick=True)
    missed = [(metric.name, metric.value, metric.bar) for metric in result.metrics if metric.verdict is Verdict.MISSED]
    assert not missed
    assert any(metric.verdict is Verdict.MET for metric in result.metrics)


@pytest.mark.parametrize("name", ["R", "P", "A", "Reno", "CUBIC", "RS"])
def test_the_same_run_gives_the_same_trace(name: str) -> None:
    """Gate 0: nothing depends on anything but the arguments."""

    def trace() -> str:
        world = World(name, rate=megabits(2), buffer=0.2, loss=0.001, jitter=0.002)
        flow = world.flow(name, make(name), record=True)
        world.run(20.0)
        return flow.trace

    assert trace() == trace()


def test_a_figure_is_judged_by_its_bar() -> None:
    """What misses its bar counts as missed, with or without a reason."""
    assert Metric("x", 1.0).verdict is Verdict.REPORTED
    assert Metric("x", 1.0, low=1.0).verdict is Verdict.MET
    assert Metric("x", 0.9, low=1.0).verdict is Verdict.MISSED
    documented = Metric("x", 0.9, low=1.0, accepted=(0.8, None), why="so it is")
    assert documented.verdict is Verdict.DOCUMENTED
    assert attrs.evolve(documented, value=0.7).verdict is Verdict.MISSED
    assert Result("E0", "x", (documented,)).passed
    assert (documented.bar, Metric("x", 1, 0, 2).bar, Metric("x", 1, high=2).bar) == ("≥ 1", "0 to 2", "≤ 2")


def test_the_table_stands_between_the_markers(tmp_path: Path) -> None:
    """Figures of one kind share a row; the reasons stand below."""
    path = tmp_path / "README.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    metrics = (
        Metric("A, gap 5 s: Jain", 0.99, low=0.98),
        Metric("A, gap 9 s: Jain", 0.97, low=0.98, accepted=(0.9, None), why="of the gap"),
    )
    report.write_table(path, [Result("E3", "x", metrics)])
    text = path.read_text(encoding="utf-8")
    assert "| E3 | A: Jain | 0.970 to 0.990 | ≥ 0.98 | missed (1 of 2) [1] |" in text
    assert "1. Of the gap." in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    with pytest.raises(ValueError, match="markers"):
        report.write_table(Path(__file__).with_name("conftest.py"), [])


def test_the_command_lists_the_scenarios() -> None:
    """Each by its number and a name."""
    listed = CliRunner().invoke(command, ["ledbat", "--list"])
    assert listed.exit_code == 0
    assert all(gate.slug in listed.stdout for gate in GATES.values())
    as_json = json.loads(CliRunner().invoke(command, ["ledbat", "--list", "--json"]).stdout)
    assert [each["id"] for each in as_json] == list(GATES)


def test_the_command_writes_figures_and_plots(tmp_path: Path) -> None:
    """A table on stdout; JSON, PNG and SVG in the directory, the last the same for the same run."""
    written = []
    for directory in (tmp_path / "a", tmp_path / "b"):
        done = CliRunner().invoke(command, ["ledbat", "application-limited", "--quick", "--out", str(directory)])
        assert done.exit_code == 0, done.output
        assert "cwnd above flightsize" in done.stdout
        written.append((directory / "E12.svg").read_bytes())
        assert (directory / "E12.png").read_bytes().startswith(b"\x89PNG")
        result = json.loads((directory / "E12.json").read_text(encoding="utf-8"))
        assert result["passed"]
        assert result["runs"][0]["flows"][0]["cwnd"]
    assert written[0] == written[1]


def test_the_command_prints_json_where_that_is_wanted(tmp_path: Path) -> None:
    """One object, and nothing else on stdout."""
    done = CliRunner().invoke(command, ["ledbat", "E6b", "--quick", "--json", "--out", str(tmp_path)])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["gate"] == "E6b"


@pytest.mark.parametrize("words", [["ledbat"], ["ledbat", "nonsense"]])
def test_a_wrong_word_is_a_mistake(words: list[str]) -> None:
    """Exit status 2."""
    assert CliRunner().invoke(command, words).exit_code == 2
