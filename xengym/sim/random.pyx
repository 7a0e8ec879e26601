"""Draws from named distributions, bit-identical on every platform (see `random.pxd`)."""
from libc.math cimport ldexp, sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from typing import NamedTuple

DISTRIBUTIONS = {
    "constant": DIST_CONSTANT,
    "uniform": DIST_UNIFORM,
    "exponential": DIST_EXPONENTIAL,
    "pareto": DIST_PARETO,
    "lognormal": DIST_LOGNORMAL,
}

cdef double _LN2 = 0.6931471805599453
cdef double _PARETO_CUT = 1000.0


cdef double exact_log(double x) noexcept nogil:
    """Natural logarithm of a normal x > 0 by the series of artanh: bits of the format, then + - * /."""
    cdef uint64_t bits
    cdef double mantissa, s, z, series
    cdef int exponent
    memcpy(&bits, &x, sizeof(double))
    # x = mantissa 2^exponent with the mantissa in [1, 2), then moved to about [0.7, 1.4).
    exponent = <int>(bits >> 52) - 1023
    bits = (bits & <uint64_t>0x000FFFFFFFFFFFFF) | <uint64_t>0x3FF0000000000000
    memcpy(&mantissa, &bits, sizeof(double))
    if mantissa > 1.4142135623730951:
        mantissa *= 0.5
        exponent += 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    series = 1.0 / 21.0
    series = series * z + 1.0 / 19.0
    series = series * z + 1.0 / 17.0
    series = series * z + 1.0 / 15.0
    series = series * z + 1.0 / 13.0
    series = series * z + 1.0 / 11.0
    series = series * z + 1.0 / 9.0
    series = series * z + 1.0 / 7.0
    series = series * z + 1.0 / 5.0
    series = series * z + 1.0 / 3.0
    return 2.0 * (s + s * z * series) + exponent * _LN2


cdef double exact_exp(double x) noexcept nogil:
    """Exponential by argument reduction and Taylor's series; ldexp is exact."""
    cdef int exponent = <int>(x / _LN2 + (0.5 if x >= 0.0 else -0.5))
    cdef double r = x - exponent * _LN2
    cdef double term = 1.0
    cdef double total = 1.0
    cdef int k
    for k in range(1, 18):
        term *= r / k
        total += term
    return ldexp(total, exponent)


cdef double _draw_normal(uint64_t key, uint64_t* counter) noexcept nogil:
    """Standard normal by Marsaglia's polar method."""
    cdef double u, v, s
    while True:
        u = 2.0 * draw_unit(key, counter) - 1.0
        v = 2.0 * draw_unit(key, counter) - 1.0
        s = u * u + v * v
        if 0.0 < s < 1.0:
            return u * sqrt(-2.0 * exact_log(s) / s)


cdef int64_t draw_ns(Distribution* dist, uint64_t key, uint64_t* counter) noexcept nogil:
    """A duration of at least 1 ns with the distribution's mean (a constant may be 0)."""
    cdef double value
    cdef double low
    if dist.kind == DIST_CONSTANT:
        return <int64_t>dist.mean_ns
    if dist.kind == DIST_UNIFORM:
        value = dist.mean_ns * (1.0 + dist.spread * (2.0 * draw_unit(key, counter) - 1.0))
    elif dist.kind == DIST_EXPONENTIAL:
        value = -dist.mean_ns * exact_log(draw_unit(key, counter))
    elif dist.kind == DIST_PARETO:
        low = dist.mean_ns * (dist.spread - 1.0) / dist.spread
        value = low * exact_exp(-exact_log(draw_unit(key, counter)) / dist.spread)
        if value > _PARETO_CUT * dist.mean_ns:
            value = _PARETO_CUT * dist.mean_ns
    else:
        value = dist.mean_ns * exact_exp(dist.spread * _draw_normal(key, counter) - 0.5 * dist.spread * dist.spread)
    return <int64_t>value if value >= 1.0 else 1


class DistributionSpec(NamedTuple):
    """A named distribution of durations.

    Attributes:
        kind: one of ``DISTRIBUTIONS``.
        mean_ns: mean in ns.
        spread: uniform: half width as a fraction of the mean (0..1); pareto: shape (> 1); lognormal: standard
            deviation of the logarithm (>= 0); otherwise unused.
    """

    kind: str
    mean_ns: float
    spread: float = 0.0

    def check(self, where):
        """Return self, or raise ValueError naming ``where`` and what was expected."""
        if self.kind not in DISTRIBUTIONS:
            raise ValueError(f"{where}: unknown distribution {self.kind!r}; expected one of {', '.join(DISTRIBUTIONS)}")
        if not 0 <= self.mean_ns < 2.0**53:
            raise ValueError(f"{where}: mean must be >= 0 ns, found {self.mean_ns}")
        if self.kind != "constant" and self.mean_ns < 1:
            raise ValueError(f"{where}: mean of a {self.kind} distribution must be at least 1 ns, found {self.mean_ns}")
        if self.kind == "uniform" and not 0 <= self.spread <= 1:
            raise ValueError(f"{where}: spread of a uniform distribution is a fraction 0..1, found {self.spread}")
        if self.kind == "pareto" and not 1 < self.spread < float("inf"):
            raise ValueError(f"{where}: shape of a pareto distribution must be > 1 (else no mean), found {self.spread}")
        if self.kind == "lognormal" and not 0 <= self.spread <= 4:
            raise ValueError(f"{where}: sigma of a lognormal distribution must be 0..4, found {self.spread}")
        return self


def sample_ns(spec, count, *, seed, stream=STREAM_GUEST, entity=0):
    """Draw ``count`` durations as the kernel does, for tests and plots; a list of int (ns)."""
    cdef Distribution dist
    cdef uint64_t counter = 0
    cdef uint64_t key = stream_key(seed, stream, entity)
    spec.check("sample_ns")
    dist.kind = DISTRIBUTIONS[spec.kind]
    dist.mean_ns = spec.mean_ns
    dist.spread = spec.spread
    return [draw_ns(&dist, key, &counter) for _ in range(count)]
