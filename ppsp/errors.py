"""The errors of this package: one root, and one class for each side at fault."""


class PpspError(Exception):
    """The root of every error that this package raises."""


class DecodeError(PpspError):
    """Octets that a peer sent do not follow RFC 7574; the text says what is wrong, and at which offset."""


class StateError(PpspError):
    """A verb was called when it makes no sense; nothing was changed."""


class MetadataError(PpspError, ValueError):
    """Swarm metadata or a swarm URI that no swarm can have; the text names the field."""


class MembershipError(PpspError):
    """A membership certificate, or the key to check one, that is not good."""
