"""Run gates, and write their tables: ``python -m interop.experiments [ledbat | reload | GATE ...]``.

All gates of LEDBAT go into ``ledbat/README.md``, all of RELOAD into ``reload/README.md``, with a plot beside it; with
gates named, only their figures are printed. Exits 1 when a figure misses its bar without being documented.
"""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from interop.experiments import GATES, Gate, Result, Verdict, _reload_maintenance, reload
from interop.experiments._report import number, write_table
from interop.reload_simulation._plot import compare as plot_comparison

_ROOT = Path(__file__).parents[2]
_GROUPS = {"ledbat": GATES, "reload": reload.GATES}
_COMPARED = "R9"
_RELOAD_LEGEND = "Rates of octets and messages count every hop, without framing, DTLS and UDP."


def main() -> int:
    """Run the gates."""
    names = sys.argv[1:] or list(_GROUPS)
    gates = {**GATES, **reload.GATES}
    unknown = set(names) - set(gates) - set(_GROUPS)
    if unknown:
        known = ", ".join([*_GROUPS, *gates])
        print(f"experiments: no gate {', '.join(sorted(unknown))}; there are {known}", file=sys.stderr)
        return 2
    results = _run([gates[name] for name in names if name in gates], all_figures=True)
    if "ledbat" in names:
        found = _run(GATES.values())
        write_table(_ROOT / "ledbat" / "README.md", found)
        results += found
    if "reload" in names:
        results += _reload()
    return 0 if all(result.passed for result in results) else 1


def _reload() -> list[Result]:
    results = _run(gate for gate in reload.GATES.values() if gate.id != _COMPARED)
    start = time.process_time()
    reports = _reload_maintenance.compare()
    result = _reload_maintenance.judge(reports)
    _tell(result, time.process_time() - start)
    results.append(result)
    table = _reload_maintenance.table(reports)
    write_table(_ROOT / "reload" / "README.md", results, legend=_RELOAD_LEGEND, more=f"{table}\n")
    plot_comparison(reports, _ROOT / "reload" / "maintenance.svg")
    return results


def _run(gates: Iterable[Gate], *, all_figures: bool = False) -> list[Result]:
    results: list[Result] = []
    for gate in gates:
        start = time.process_time()
        result = gate.run()
        _tell(result, time.process_time() - start, all_figures=all_figures)
        # The runs are needed no longer, and are large.
        results.append(Result(result.gate, result.title, result.metrics))
    return results


def _tell(result: Result, seconds: float, *, all_figures: bool = False) -> None:
    print(f"{result.gate:4} {result.title}: {seconds:.1f} s of CPU", flush=True)
    for metric in result.metrics:
        if all_figures or metric.verdict in (Verdict.MISSED, Verdict.DOCUMENTED):
            print(f"     {metric.name}: {number(metric.value)} ({metric.bar}) {metric.verdict.value}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
