"""Peers played by hand, and what they are asked for."""

from ppsp.messages import Cancel, Request

SIZE = 1000 * 1024 - 5


def peers(lab, bench, publication, number):
    return [lab.HandPeer(bench, publication, host=100 + n, channel=100 + n) for n in range(number)]


def asked(peer):
    """The chunks requested of a peer since the last call."""
    return [chunk for request in peer.take(Request) for chunk in range(request.start, request.end + 1)]


def wanted(peer, pending):
    """Follow REQUESTs and CANCELs: the chunks that the endpoint still waits for from this peer."""
    for message in peer.take(Request, Cancel):
        chunks = range(message.start, message.end + 1)
        if isinstance(message, Request):
            pending.update(dict.fromkeys(chunks))
        else:
            for chunk in chunks:
                pending.pop(chunk, None)
    return pending
