"""ALTO, Application-Layer Traffic Optimization (RFC 7285 and its extensions), sans-IO."""

from alto.errors import AltoError, ConfigurationError, DecodeError, ErrorCode, RequestError, StateError

__all__ = ["AltoError", "ConfigurationError", "DecodeError", "ErrorCode", "RequestError", "StateError"]
