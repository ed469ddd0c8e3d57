"""The command line: `ietf-p2p`, which is also `python -m interop`."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from collections.abc import Sequence

try:
    import click
except ModuleNotFoundError as missing:  # attrs alone is enough for the packages, not for the command line
    print(f"ietf-p2p: the command line needs {missing.name}: pip install 'ietf-p2p[interop]'", file=sys.stderr)
    raise SystemExit(2) from None

from interop.cli._errors import one_line
from interop.cli._lazy import LazyGroup

_COMMANDS = {
    "tracker": "Introduce peers to one another (RFC 7846).",
    "seed": "Publish a file as a swarm, and serve it.",
    "fetch": "Fetch a swarm into a file, verifying every chunk.",
    "play": "Watch a swarm while it is being fetched, in any player.",
    "live": "Broadcast a stream as a live swarm.",
    "pex": "Issue certificates by which peers of a swarm tell each other of peers.",
    "alto": "Tell applications which peers and servers are near (RFC 7285).",
    "decade": "Store and fetch objects by their hash, within hard limits (DECADE, RFC 7069).",
    "reload": "Read messages of an overlay (RELOAD, RFC 6940).",
    "utp": "Send and receive files over uTP (BEP 29), which yields to other traffic.",
    "demo": "Stream a real file through a swarm of processes, and show who got what from whom.",
    "simulate": "Run experiments in virtual time, and plot them: congestion control, overlays.",
    "conformance": "Run the conformance vectors, against this or any other implementation.",
}
_INTERRUPTED = 128 + signal.SIGINT


@click.group(
    name="ietf-p2p",
    cls=LazyGroup,
    table=_COMMANDS,
    package="interop.cli",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example:\n\n\b\n  ietf-p2p tracker --listen 127.0.0.1:8700 &\n"
    "  ietf-p2p seed film.mp4 --tracker http://127.0.0.1:8700/",
)
@click.version_option(importlib.metadata.version("ietf-p2p"), prog_name="ietf-p2p", message="%(prog)s %(version)s")
@click.pass_context
def group(ctx: click.Context) -> None:
    """The IETF's peer-to-peer protocols: stream a file through a swarm of peers (PPSPP, RFC 7574)."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; a mistake is one line on stderr."""
    try:
        status = group.main(args=arguments, prog_name="ietf-p2p", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        print(one_line(error), file=sys.stderr)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left. Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1  # as click does where it meets it
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
