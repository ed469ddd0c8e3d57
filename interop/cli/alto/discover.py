"""`ietf-p2p alto discover`: which ALTO servers a domain or an address has."""

from __future__ import annotations

import click

from alto._json import Json
from alto.discovery import SERVICE, Discovery
from interop.cli import _show
from interop.cli._errors import FailureError, run
from interop.cli._options import JSON
from interop.cli._progress import note
from interop.cli.alto._client import RESOLVER, TIMEOUT, Access, nothing_found, plainly


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p alto discover example.com\n"
    "  ietf-p2p alto discover 203.0.113.0/24 --resolver 127.0.0.1:5300"
)
@click.argument("subject", metavar="[DOMAIN|IP]", required=False)
@click.option("--service", default=SERVICE, show_default=True, help="The service parameter of U-NAPTR.")
@click.option("--dnssec", is_flag=True, help="Take only what the resolver has authenticated.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=TIMEOUT, show_default=True, metavar="SECONDS"
)
@RESOLVER
@JSON
def command(
    subject: str | None,
    service: str,
    dnssec: bool,
    timeout: float,
    resolver: tuple[str, int] | None,
    as_json: bool,
) -> int:
    """Find the ALTO servers of a domain (RFC 7286), or those in charge of an address or prefix (RFC 8686), in the DNS.

    Without argument, the search domains of this machine are looked up.
    """
    access = Access(None, None, None, None, timeout, resolver, False)

    async def work() -> int:
        from interop.alto_discovery import discover

        with plainly():
            found = await discover(subject, service, resolver=access.dns(), require_dnssec=dnssec)
        if as_json:
            _show.as_json(_json(found))
        elif found.uris:
            _table(found)
        if not found.uris and not as_json:
            for lookup in found.lookups:
                for text in lookup.ignored:
                    note(_show.clean(f"{lookup.name}: {text}"))
            raise FailureError(nothing_found(subject or "this machine", found))
        return 0 if found.uris else 1

    return run(work())


def _json(found: Discovery) -> dict[str, Json]:
    return {
        "uris": [
            {
                "uri": one.uri,
                "name": one.name,
                "order": one.order,
                "preference": one.preference,
                "authenticated": one.is_authenticated,
            }
            for one in found.uris
        ],
        "lookups": [
            {"name": lookup.name, "status": str(lookup.status), "ignored": list(lookup.ignored)}
            for lookup in found.lookups
        ],
        "retry-after": found.retry_after,
    }


def _table(found: Discovery) -> None:
    rows: list[list[_show.Cell]] = [
        [(one.uri, "bold"), str(one.order), str(one.preference), one.name, "yes" if one.is_authenticated else "no"]
        for one in found.uris
    ]
    _show.table(["DIRECTORY", "ORDER", "PREFERENCE", "FOUND AT", "DNSSEC"], rows, right=(1, 2))
