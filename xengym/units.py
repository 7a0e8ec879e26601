"""The only conversions between units: everything inside is int64 nanoseconds, configuration and output are not."""

from __future__ import annotations

US_NS = 1_000
MS_NS = 1_000_000
S_NS = 1_000_000_000


def us_to_ns(value_us: float) -> int:
    """Microseconds to the nearest nanosecond."""
    return round(value_us * US_NS)


def ms_to_ns(value_ms: float) -> int:
    """Milliseconds to the nearest nanosecond."""
    return round(value_ms * MS_NS)


def s_to_ns(value_s: float) -> int:
    """Seconds to the nearest nanosecond."""
    return round(value_s * S_NS)


def ns_to_ms(value_ns: float) -> float:
    """Nanoseconds to milliseconds."""
    return value_ns / MS_NS


def ns_to_s(value_ns: float) -> float:
    """Nanoseconds to seconds."""
    return value_ns / S_NS
