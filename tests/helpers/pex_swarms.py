"""What the tests of peer exchange on real sockets share: waiting, addresses, figures, and OpenSSL."""

import asyncio
import json
import subprocess
import time

from ppsp_gateway import curl

from ppsp.pex import PeerExchange

LOCAL = ("127.0.0.1", 0)
ANY = "127.0.0.1:0"
ADDRESSES = PeerExchange(addresses=True)


def run(main):
    async def bounded():
        async with asyncio.timeout(60):
            return await main()

    return asyncio.run(bounded())


async def until(condition):
    """Wait until it holds; the test as a whole has a deadline."""
    while not condition():  # noqa: ASYNC110 - it is not told
        await asyncio.sleep(0.02)


def at(address):
    return f"{address[0]}:{address[1]}"


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "not within a minute"
        time.sleep(0.05)
    return found


def stats_of(process, cli):
    """How to ask a `play --json` for its statistics, and its content."""
    while (event := json.loads(cli.line(process)))["event"] != "playing":
        pass
    return (lambda: json.loads(curl(event["stats"]))), event["url"]


def openssl(folder, *words):
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
