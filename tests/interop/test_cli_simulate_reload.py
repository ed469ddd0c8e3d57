"""`ietf-p2p simulate reload`, its plots, and the tables of the experiments with overlays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from interop.__main__ import main
from interop.cli import _simulate_reload as cli
from interop.experiments import Result
from interop.experiments import _reload_maintenance as compared
from interop.experiments import _report as report
from interop.experiments.reload import GATES
from interop.reload_simulation import Maintenance, NotSettledError, Report, Scenario, run
from interop.reload_simulation._plot import compare, draw

SMALL = ["simulate", "reload", "--peers", "8", "--duration", "30s"]


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    return [
        run(Scenario(peers=8, maintenance=each, mean_session=300.0, duration=120.0, lookups=2.0))
        for each in Maintenance
    ]


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--churn", "10m"]) == 0
    shown = capsys.readouterr()
    assert "8 peers, reactive, mean session 10:00" in shown.out
    for word in ("settled after", "lookups", "hops", "stale hops", "maintenance a node", "routing table", "none lost"):
        assert word in shown.out
    assert "ring" in shown.out
    assert "right" in shown.out


def test_the_command_prints_json_that_tells_the_same_run_twice(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for seed in ("1", "1", "2"):
        assert main([*SMALL, "--json", "--seed", seed, "--maintenance", "periodic", "--lookups", "3"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["digest"] == found[1]["digest"] != found[2]["digest"]
    assert found[0]["scenario"]["maintenance"] == "periodic"
    assert found[0]["scenario"]["stores"] == pytest.approx(0.3)
    assert found[0]["lookups"]["success"] == 1.0
    assert found[0]["maintenance_octets_a_node_a_second"] > 0
    assert found[0]["after"]["lost"] == 0
    assert len(found[0]["samples"]) > 3


def test_another_process_with_another_order_of_sets_runs_the_same() -> None:
    digests = set()
    for seed in ("1", "2"):
        words = [sys.executable, "-m", "interop", *SMALL, "--churn", "5m", "--json"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(words, capture_output=True, text=True, timeout=100, env=environment, check=True)
        digests.add(json.loads(done.stdout)["digest"])
    assert len(digests) == 1


def test_real_signatures_are_used_when_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for signatures in ("null", "p256", "rsa"):
        assert main([*SMALL, "--json", "--signatures", signatures]) == 0
        found = json.loads(capsys.readouterr().out)
        sizes[signatures] = found["workload_octets"]["fetch_ans"]
    assert sizes["null"] == pytest.approx(sizes["p256"], rel=0.02)
    assert sizes["rsa"] > sizes["p256"] + 100


def test_the_estimates_of_self_tuning_peers_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--maintenance", "self-tuning"]) == 0
    assert "estimated joins a second" in capsys.readouterr().out


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "LINE_SECONDS", 0.0)
    assert main(SMALL) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("overlay: ") and " %, " in line for line in lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(SMALL) == 0
    shown = capsys.readouterr().err
    assert "overlay" in shown
    assert "\n" not in shown.strip().splitlines()[0]


@pytest.mark.parametrize("name", ["overlay.svg", "overlay.png", "overlay.pdf"])
def test_the_plot_is_written(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--plot", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF-"}[name[-3:]])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--peers", "0"], "--peers"),
        (["--churn", "soon"], "'soon' is not a time such as 90s, 30m or 2h"),
        (["--duration", "0"], "not a time"),
        (["--duration", "none"], "not a time"),
        (["--maintenance", "none"], "--maintenance"),
        (["--signatures", "dsa"], "--signatures"),
        (["--lookups", "-1"], "--lookups"),
        (["--plot", "overlay.txt"], "has to end with .svg, .png or .pdf"),
        (["--plot", "/nowhere/overlay.svg"], "there is no directory /nowhere"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "reload", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert said in shown.err


@pytest.mark.parametrize("missing", ["matplotlib", "cryptography"])
def test_a_library_that_is_missing_is_one_line(missing: str, tmp_path: Path) -> None:
    words = [*SMALL, "--plot", str(tmp_path / "x.svg")]
    program = f"import sys; sys.modules[{missing!r}] = None; from interop.__main__ import main; sys.exit(main({words}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'ietf-p2p[simulate]'" in done.stderr


def test_an_overlay_that_does_not_settle_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object) -> None:
        raise NotSettledError("7 of 8 peers")

    monkeypatch.setattr("interop.reload_simulation.run", fail)
    assert main(SMALL) == 1
    assert capsys.readouterr().err == "ietf-p2p: the overlay did not settle: 7 of 8 peers\n"


def test_lost_values_and_a_wrong_ring_are_told_and_end_with_1(
    reports: list[Report], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    after = attrs.evolve(reports[0].after, lost=2, wrong_successors=1)
    monkeypatch.setattr("interop.reload_simulation.run", lambda *args: attrs.evolve(reports[0], after=after))
    with pytest.raises(SystemExit) as ended:
        main(SMALL)
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "2 lost" in shown
    assert "wrong neighbors: 1" in shown


def test_help_ends_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "reload", "--help"]) == 0
    assert "ietf-p2p simulate reload --peers" in capsys.readouterr().out.splitlines()[-1]


def test_the_same_run_gives_the_same_drawing(reports: list[Report], tmp_path: Path) -> None:
    for number in (1, 2):
        draw(reports[0], tmp_path / f"run{number}.svg")
        compare(reports, tmp_path / f"compared{number}.svg")
    assert (tmp_path / "run1.svg").read_bytes() == (tmp_path / "run2.svg").read_bytes()
    assert (tmp_path / "compared1.svg").read_bytes() == (tmp_path / "compared2.svg").read_bytes()


def test_the_comparison_has_a_row_for_each_maintenance(reports: list[Report]) -> None:
    rows = compared.table(reports).splitlines()
    assert [row.split(" | ")[0] for row in rows if row.startswith("| ")][1:] == [f"| {each}" for each in Maintenance]
    assert all(row.count("|") == rows[2].count("|") for row in rows if row.startswith("|"))
    result = compared.judge(reports)
    assert len(result.metrics) == 3 * 3 + 3
    assert "self-tuning: peers, estimate to truth" in [metric.name for metric in result.metrics]


def test_the_tables_of_overlays_have_their_own_legend_and_more_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    report.write_table(path, [Result("R9", "x", ())], legend="a legend", more="another table\n")
    text = path.read_text(encoding="utf-8")
    assert text.index("a legend") < text.index("| Gate |") < text.index("another table") < text.index(report.END)
    assert "LEDBAT" not in text


def test_the_gates_have_names_of_their_own() -> None:
    assert [gate.id for gate in GATES.values()] == [f"R{number}" for number in range(1, 10)]
    assert len({gate.slug for gate in GATES.values()}) == len(GATES)


def test_the_table_stands_in_the_readme_with_every_gate() -> None:
    text = (Path(__file__).parents[2] / "reload" / "README.md").read_text(encoding="utf-8")
    table = text[text.index(report.BEGIN) : text.index(report.END)]
    assert all(f"| {gate} |" in table for gate in GATES)
    assert all(f"| {each} |" in table for each in Maintenance)
    assert "MISSED" not in table
    assert "maintenance.svg" in text
