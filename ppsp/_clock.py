"""Time as DATA messages carry it (RFC 7574 section 8.6): microseconds, modulo 2^64."""

TIMESTAMP_MASK = (1 << 64) - 1


def timestamp_us(unix_time: float) -> int:
    """Seconds since 1970 as a timestamp; only differences of two mean anything."""
    return int(unix_time * 1_000_000) & TIMESTAMP_MASK
