"""How a DECADE server shares a real line of 100 Mbit/s, also when one account is greedy.

    python tests/benchmarks/decade_fairness.py [--mbps 90] [--seconds 5] [--json]

As root it runs in a network namespace of its own, whose loopback `tc` has made a line of 100 Mbit/s with packets of
1,500 octets; else on loopback as it is. The server is told to send a little less than the line has, for the queue of
the kernel knows no shares. First three accounts of weights 4, 2 and 1, the lightest with four times the connections;
then three of one weight, one of which has 64 connections where the others have 4: Jain's index of what they got is 1
when it is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys

import decade_shares

ERROR, JAIN = 0.01, 0.999
_LINE = (
    "ip link set lo mtu 1500 up && tc qdisc add dev lo root tbf rate 100mbit burst 32kb latency 50ms"
    ' || export DECADE_LINE=none; exec "$@"'
)


def in_namespace() -> bool:
    """Whether this runs on a line of its own. It is begun anew there if it does not yet, and can."""
    line = os.environ.get("DECADE_LINE")
    programs = all(shutil.which(name) for name in ("unshare", "ip", "tc"))
    is_able = os.geteuid() == 0 and programs
    if line is None and is_able and not subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        os.environ["DECADE_LINE"] = "tc"
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", _LINE, "sh", sys.executable, *sys.argv])
    return line == "tc"


def jain(found: list[float]) -> float:
    """1 when all are the same, and 1/n when one has everything."""
    return sum(found) ** 2 / (len(found) * sum(one * one for one in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbps", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", type=int, default=4 << 20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    is_own = in_namespace()
    weights = {account: weight for account, (_, weight, _) in decade_shares.ACCOUNTS.items()}
    weighted = decade_shares.measure(options.mbps, options.seconds, options.size)
    total = sum(weighted.values())
    shares = {account: octets / total * sum(weights.values()) for account, octets in weighted.items()}
    error = max(abs(shares[account] / weight - 1) for account, weight in weights.items())
    decade_shares.ACCOUNTS = {
        account: (key, 1, 64 if account == "carol" else 4) for account, (key, _, _) in decade_shares.ACCOUNTS.items()
    }
    equal = decade_shares.measure(options.mbps, options.seconds, options.size)
    index = jain(list(map(float, equal.values())))
    rates = [sum(found.values()) * 8 / options.seconds / 1e6 for found in (weighted, equal)]
    if options.json:
        print(json.dumps({"line": is_own, "shares": shares, "error": error, "jain": index, "mbps": rates}))
        return
    print("a line of 100 Mbit/s by tc" if is_own else "loopback as it is")
    print("  ".join(f"{account} {shares[account]:.3f} of {weight}" for account, weight in weights.items()))
    print(f"greatest error {error:.2%}, at most {ERROR:.0%}: {'met' if error <= ERROR else 'NOT met'}")
    verdict = "met" if index >= JAIN else "NOT met"
    print(f"64 connections beside 4 and 4: Jain's index {index:.5f}, at least {JAIN}: {verdict}")
    print(f"{rates[0]:.1f} and {rates[1]:.1f} of {options.mbps} Mbit/s")


if __name__ == "__main__":
    main()
