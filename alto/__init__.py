"""ALTO, Application-Layer Traffic Optimization (RFC 7285 and its extensions), sans-IO."""
