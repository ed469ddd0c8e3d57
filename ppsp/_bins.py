"""Nodes of the binary tree over the chunks (RFC 7574 section 4.2), named by the chunks below them.

A node is (layer, index): it covers the chunks from ``index << layer`` up to, not including, ``(index + 1) << layer``.
Leaves are layer 0. Its parent is (layer + 1, index >> 1), its sibling (layer, index ^ 1). Ranges are given as on the
wire, end inclusive.
"""


def node_of(start: int, end: int) -> tuple[int, int] | None:
    """The node over the chunks `start` to `end`; None where no single node covers exactly these."""
    width = end - start + 1
    if start < 0 or width <= 0 or width & (width - 1) or start & (width - 1):
        return None
    layer = width.bit_length() - 1
    return layer, start >> layer


def range_of(layer: int, index: int) -> tuple[int, int]:
    """The first and the last chunk below a node."""
    return index << layer, ((index + 1) << layer) - 1


def peaks(chunk_count: int) -> list[tuple[int, int]]:
    """The peak nodes of so many chunks, left to right: one for every 1 in the binary form (section 5.6.1)."""
    nodes = []
    start = 0
    for layer in range(chunk_count.bit_length() - 1, -1, -1):
        if chunk_count >> layer & 1:
            nodes.append((layer, start >> layer))
            start += 1 << layer
    return nodes
