"""Transfers between servers, ordered over HTTP as a client does."""

import httpx
from decade_server import bearer, token
from decade_transfers import request
from decade_two import until

from decade.messages import MEDIA_TYPE, Direction, Remote, decode_message, encode_message

TEMPLATE = "/.well-known/ni/{alg}/{val}"


def order(site, url, *names, direction=Direction.PULL, credential=None, **more):
    """The transfer that a client orders over HTTP."""
    remote = Remote(object_template=url + TEMPLATE)
    credential = token(aud=(url,)) if credential is None else credential
    message = request(*names, direction=direction, remote=remote, token=credential, **more)
    answer = httpx.post(
        site.url + "/decade/v1/transfers",
        content=encode_message(message),
        headers={"Content-Type": MEDIA_TYPE, **dict(bearer(token(aud=(site.url,))))},
    )
    assert answer.status_code == 202, answer.content
    return site.server.transfers.find(decode_message(answer.content).id, site.clock())


def ended(transfer):
    until(lambda: transfer.has_ended)
    return transfer.status()
