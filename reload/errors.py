"""The errors of this package: one root, and one class for each side at fault."""


class ReloadError(Exception):
    """The root of every error that this package raises."""


class DecodeError(ReloadError):
    """Octets that do not follow RFC 6940 or its extensions; the text says where and what."""


class UnknownTypeError(DecodeError):
    """A type that a structure does not know and cannot skip: the message is discarded, and not answered."""


class EncodeError(ReloadError, ValueError):
    """A value that its structure has no octets for; the text names the member."""


class StateError(ReloadError):
    """A verb was called when it makes no sense; nothing was changed."""


class SecurityError(ReloadError):
    """A signature, certificate or signer that does not hold: nothing of what it came with may be used."""
