"""Run every gate and write the table into ``ledbat/README.md``: ``python -m interop.experiments [GATE ...]``.

With gates named, only their figures are printed. Exits 1 when a figure misses its bar without being documented.
"""

import sys
import time
from pathlib import Path

from interop.experiments import GATES, Result, Verdict
from interop.experiments._report import number, write_table

_README = Path(__file__).parents[2] / "ledbat" / "README.md"


def main() -> int:
    """Run the gates."""
    names = sys.argv[1:]
    unknown = set(names) - set(GATES)
    if unknown:
        print(f"experiments: no gate {', '.join(sorted(unknown))}; there are {', '.join(GATES)}", file=sys.stderr)
        return 2
    results: list[Result] = []
    for gate in (GATES[name] for name in names or GATES):
        start = time.process_time()
        result = gate.run()
        print(f"{gate.id:4} {result.title}: {time.process_time() - start:.1f} s of CPU")
        for metric in result.metrics:
            if names or metric.verdict in (Verdict.MISSED, Verdict.DOCUMENTED):
                print(f"     {metric.name}: {number(metric.value)} ({metric.bar}) {metric.verdict.value}")
        # The runs are needed no longer, and are large.
        results.append(Result(result.gate, result.title, result.metrics))
    if not names:
        write_table(_README, results)
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
