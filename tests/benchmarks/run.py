"""Run every benchmark of this folder, one after the other: `make bench`. Arguments choose among them by name."""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    here = Path(__file__).parent
    scripts = sorted(path for path in here.glob("*.py") if path.name != "run.py")
    wanted = sys.argv[1:]
    unknown = [name for name in wanted if name not in {path.stem for path in scripts}]
    if unknown:
        names = ", ".join(path.stem for path in scripts)
        raise SystemExit(f"no benchmark is called {unknown[0]}; there are {names}")
    failed = []
    for script in scripts:
        if not wanted or script.stem in wanted:
            print(f"== {script.stem}", flush=True)
            if subprocess.run([sys.executable, str(script)]).returncode:
                failed.append(script.stem)
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
