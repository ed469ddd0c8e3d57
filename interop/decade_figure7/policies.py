"""Who gets nothing at Sb, and who gets how much."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time

import httpx

from decade.client_exchange import Credential, FailedError
from decade.errors import ErrorCode
from decade.issuer import Issuer
from decade.names import Digest, NiUri
from decade.scope import Operation
from interop.decade_client import DecadeClient
from interop.decade_figure7 import expect
from interop.decade_figure7._servers import ACCOUNT, OTHER, Keys, make_key
from interop.decade_figure7.source import Source

_CTI_SIZE = 16


async def access(decade: DecadeClient, source: Source, keys: Keys) -> dict[str, str]:
    """Ask Sb for an object without the right to; who was refused, and why. Raises Figure7Error for who was not."""
    name, cti = source.names[0], secrets.token_bytes(_CTI_SIZE)

    async def get(*credentials: Credential) -> str:
        try:
            await decade.fetch(NiUri(name), [source.sb], credentials)
        except FailedError as error:
            code = error.failures[-1].code
            return "" if code is None else ErrorCode(code).name.lower().replace("_", "-")
        return "served"

    once, gone = source.read([name], uses=1), source.withdrawable([name], cti)
    served = [await get(once), await get(gone)]
    expect(served == ["served"] * 2, f"good tokens are refused: {served}")
    await source.revoke(cti)

    def elsewhere(issuer: Issuer) -> Credential:
        return issuer.read([name], wall=time.time(), size=source.size)

    return {
        "no token": await get(),
        "used-up token": await get(once),
        "revoked token": await get(gone),
        "token for another object": await get(source.read([source.whole])),
        "token of another account": await get(elsewhere(Issuer(keys.other, (source.sb,)))),
        "token of nobody": await get(elsewhere(Issuer(make_key(), (source.sb,)))),
    }


async def shares(source: Source, keys: Keys, context: ssl.SSLContext) -> dict[str, int]:
    """Two accounts read at once from Sb: the octets that each has got, from when both have some until one has all.

    The other account stores the film itself: Sb has it already, and still gives nobody the rights of another account.
    """
    issuer = Issuer(keys.other, (source.sb,))
    manage = issuer.manage(Operation.PUT, wall=time.time())
    read = {ACCOUNT: source.read([source.whole]), OTHER: issuer.read([source.whole], wall=time.time())}
    had = dict.fromkeys(read, 0)
    first: dict[str, int] = {}
    last: dict[str, int] = {}

    async def reader(http: httpx.AsyncClient, account: str) -> None:
        url, digest = source.sb + source.whole.path, Digest()
        async with http.stream("GET", url, headers=dict(read[account].headers(url))) as answer:
            async for octets in answer.aiter_raw():
                digest.update(octets)
                had[account] += len(octets)
                if not (first or last) and all(had.values()):
                    first.update(had)
                if not last and digest.size == source.size:
                    last.update(had)
        expect(digest.matches(source.whole), f"{account} has got something else than the film")

    async with DecadeClient(verify=context) as decade:
        await decade.put(source.film, source.sb, [manage])
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:
        await asyncio.gather(*(reader(http, account) for account in read))
    expect(bool(first), "one account was served after the other")
    return {account: last[account] - first[account] for account in read}
