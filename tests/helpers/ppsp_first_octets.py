"""A first HANDSHAKE, octet by octet (section 3.1.1)."""

ZERO = bytes(4)


def first_octets(peer, swarm_id):
    """A first HANDSHAKE, octet by octet: version, minimum, swarm ID, CIPM, MHF, CAM, chunk size, end."""
    options = "0001 0101 020020" + swarm_id.hex() + "0301 0402 0602 0900000400 ff"
    return ZERO + b"\x00" + peer.channel.to_bytes(4, "big") + bytes.fromhex(options)
