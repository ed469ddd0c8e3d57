"""The errors of this package: one root, and one class for each kind of mistake."""


class LedbatError(Exception):
    """The root of every error that this package raises."""


class StateError(LedbatError):
    """A verb was called when, or with a number that, makes no sense; nothing was changed."""


class ParameterError(LedbatError, ValueError):
    """A constructor was given a value that the RFC forbids; the text names the value and the section."""


class DecodeError(LedbatError):
    """Octets from the network are not what they should be; the text says what and where."""
