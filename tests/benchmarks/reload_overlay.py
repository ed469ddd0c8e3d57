"""What an overlay costs: CPU time and memory until all peers have joined and the ring is right, and messages a second.

    python tests/benchmarks/reload_overlay.py [--peers 2048] [--signatures null|p256|rsa] [--json]

Real nodes and messages in virtual time, in one process. Fails beyond 10 minutes of CPU or 3 GiB.
"""

import argparse
import json
import time

from interop.reload_simulation import Scenario, Signatures, build
from interop.reload_simulation._report import peak_memory

CPU_SECONDS, MEMORY = 600.0, 3 << 30


def main() -> None:
    """Build one overlay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=2048)
    parser.add_argument("--signatures", choices=list(Signatures), default="null")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    before, start = peak_memory(), time.process_time()
    overlay = build(Scenario(peers=options.peers, signatures=Signatures(options.signatures)))
    seconds, memory = time.process_time() - start, peak_memory()
    messages = sum(overlay.traffic.maintenance.messages.values())
    kilobytes = (memory - before) / options.peers / 1000
    figures = {
        "peers": options.peers,
        "virtual_seconds": overlay.now,
        "cpu_seconds": seconds,
        "messages_per_cpu_second": messages / seconds,
        "memory_octets": memory,
        "kilobytes_per_peer": kilobytes,
    }
    if options.json:
        print(json.dumps(figures))
    else:
        print(
            f"overlay, {options.peers} peers, {options.signatures}: {seconds:.1f} CPU s until settled "
            f"(at most {CPU_SECONDS:g}), {messages / seconds:.0f} messages per CPU second, "
            f"{memory / 2**20:.0f} MiB (at most {MEMORY / 2**20:.0f}), {kilobytes:.0f} kB a peer"
        )
    if seconds > CPU_SECONDS or memory > MEMORY:
        raise SystemExit("the overlay costs too much")


if __name__ == "__main__":
    main()
