"""PPSPP (RFC 7574) and its tracker protocol (RFC 7846), sans-IO."""
