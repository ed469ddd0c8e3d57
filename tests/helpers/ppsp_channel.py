"""What the tests of `ppsp._channel` share: a peer in mid-download, and its only channel."""

from ppsp.messages import Handshake


def mid_download(lab, publication):
    """A bench whose endpoint holds chunks 0 to 2 of the RFC's seven, as a peer in mid-download does."""
    bench = lab.Bench()
    bench.leech(publication, content_size=7162)
    source = lab.HandPeer(bench, publication, host=1, channel=77)
    source.open()
    for chunk in range(3):
        source.serve(chunk, peaks=False)
    source.send(Handshake(0))
    bench.mail.clear()
    bench.events()
    bench.publication = publication
    return bench


def channel_of(bench):
    """The only channel."""
    (channel,) = bench.endpoint._channels.values()
    return channel
