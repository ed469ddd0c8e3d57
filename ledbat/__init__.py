"""LEDBAT congestion control (RFC 6817), sans-IO."""
