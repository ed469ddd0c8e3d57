"""What the tests of hostile peers share: the highest numbers, the cost of an action, an honest peer that serves."""

import time

TOP32 = 2**32 - 1
TOP64 = 2**64 - 1


def seconds_for(action):
    """Processor time of an action."""
    start = time.process_time()
    action()
    return time.process_time() - start


def fetch(bench, peer, seconds=10.0):
    """Let an honest peer serve until nothing is asked any more."""
    for _ in range(int(seconds * 20)):
        peer.serve_requests()
        bench.advance(0.05)
