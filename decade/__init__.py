"""DECADE, in-network storage (RFC 7069), as a profile over HTTP, CBOR and signed tokens, sans-IO."""
