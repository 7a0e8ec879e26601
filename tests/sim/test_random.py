"""Draws against a second implementation in plain Python, against theory, and against fixed values for all platforms."""

import math

import numpy as np
import pytest

from xengym.sim.random import DISTRIBUTIONS, DistributionSpec, sample_ns

WORD = 2**64 - 1
GUEST, ARRIVAL, SERVICE = 1, 2, 3
MEAN = 1_000_000.0
#: The greatest mean whose draws still have every bit of a double: what truncation to whole ns hides is 2e-16.
PRECISE_MEAN = 2.0**52
COUNT = 100_000


def mix64(z):
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & WORD
    return z ^ (z >> 31)


def uniforms(count, *, seed, stream=GUEST, entity=0):
    key = mix64((mix64((seed + 0x9E3779B97F4A7C15 * stream) & WORD) + 0xD1342543DE82EF95 * (entity + 1)) & WORD)
    for counter in range(1, count + 1):
        bits = mix64((key + 0x9E3779B97F4A7C15 * counter) & WORD)
        yield ((bits >> 12) + 0.5) * 2.0**-52


def normals(count, **stream):
    """Marsaglia's polar method on the same uniforms."""
    draws = uniforms(10 * count + 100, **stream)
    for _ in range(count):
        while True:
            u, v = 2 * next(draws) - 1, 2 * next(draws) - 1
            s = u * u + v * v
            if 0 < s < 1:
                break
        yield u * math.sqrt(-2 * math.log(s) / s)


class TestAgainstPlainPython:
    @pytest.mark.parametrize(
        ("seed", "stream", "entity"), [(0, GUEST, 0), (2**64 - 1, ARRIVAL, 7), (42, SERVICE, 2**20)]
    )
    def test_uniform_draws_are_identical(self, seed, stream, entity):
        spec = DistributionSpec("uniform", MEAN, 0.5)
        expected = [
            int(MEAN * (1.0 + 0.5 * (2.0 * u - 1.0))) for u in uniforms(1000, seed=seed, stream=stream, entity=entity)
        ]
        assert sample_ns(spec, 1000, seed=seed, stream=stream, entity=entity) == expected

    def test_the_logarithm_is_that_of_the_platform_to_a_few_units_in_the_last_place(self):
        got = np.array(sample_ns(DistributionSpec("exponential", PRECISE_MEAN), 20_000, seed=5), dtype=float)
        expected = np.array([-PRECISE_MEAN * math.log(u) for u in uniforms(20_000, seed=5)])
        assert expected.min() < PRECISE_MEAN / 5_000  # also where the logarithm is near 0
        assert np.abs(got - expected).max() <= 4 * np.spacing(expected.max())
        np.testing.assert_allclose(got, expected, rtol=2e-15, atol=1)

    @pytest.mark.parametrize("shape", [1.5, 3.0, 50.0])
    def test_the_exponential_in_pareto_draws_is_that_of_the_platform(self, shape):
        mean = 2.0**40  # the cut at 1000 times the mean still fits
        got = sample_ns(DistributionSpec("pareto", mean, shape), 20_000, seed=6)
        low = mean * (shape - 1) / shape
        expected = [min(low * u ** (-1 / shape), 1000 * mean) for u in uniforms(20_000, seed=6)]
        np.testing.assert_allclose(got, expected, rtol=3e-14, atol=1)

    @pytest.mark.parametrize("sigma", [0.0, 0.5, 4.0])
    def test_lognormal_draws_likewise(self, sigma):
        mean = 2.0**40
        got = sample_ns(DistributionSpec("lognormal", mean, sigma), 5_000, seed=7)
        expected = [mean * math.exp(sigma * z - sigma * sigma / 2) for z in normals(5_000, seed=7)]
        np.testing.assert_allclose(got, np.maximum(expected, 1), rtol=3e-14, atol=1)


@pytest.mark.parametrize(
    ("kind", "spread", "first", "total"),
    # As drawn on x86-64 Linux; the same on every platform.
    [
        ("constant", 0.0, [1000000, 1000000, 1000000, 1000000], 100000000000),
        ("uniform", 1.0, [396628, 1318984, 611419, 363470], 99737529214),
        ("exponential", 0.0, [1617901, 416284, 1185118, 1705205], 100339848402),
        ("pareto", 2.5, [1146065, 708707, 963889, 1186795], 100157803877),
        ("lognormal", 0.8, [302936, 462304, 1641265, 1078699], 99610903608),
    ],
)
def test_golden_values(kind, spread, first, total):
    samples = sample_ns(DistributionSpec(kind, MEAN, spread), COUNT, seed=2026, entity=3)
    assert samples[:4] == first
    assert sum(samples) == total


class TestTheory:
    def cdf_distance(self, samples, cdf):
        """Kolmogorov's distance between the sample and the distribution."""
        ordered = np.sort(np.asarray(samples, dtype=float))
        theory = cdf(ordered)
        ranks = np.arange(len(ordered) + 1) / len(ordered)
        return max(np.abs(theory - ranks[1:]).max(), np.abs(theory - ranks[:-1]).max())

    CASES = (
        ("uniform", 0.4, 0.4 / math.sqrt(3), lambda x: (x / MEAN - 0.6) / 0.8),
        ("exponential", 0.0, 1.0, lambda x: 1 - np.exp(-x / MEAN)),
        # Shape 3: variance 3/4 of the squared mean's quotient a / ((a-1)^2 (a-2)) times the squared scale 2/3.
        ("pareto", 3.0, math.sqrt(3 / 4) * 2 / 3, lambda x: 1 - (2 / 3 * MEAN / x) ** 3),
        (
            "lognormal",
            0.5,
            math.sqrt(math.exp(0.25) - 1),
            lambda x: np.vectorize(math.erfc)(-(np.log(x / MEAN) + 0.125) / 0.5 / math.sqrt(2)) / 2,
        ),
    )

    @pytest.mark.parametrize(("kind", "spread", "deviation", "cdf"), CASES, ids=[case[0] for case in CASES])
    def test_mean_deviation_and_shape(self, kind, spread, deviation, cdf):
        samples = np.array(sample_ns(DistributionSpec(kind, MEAN, spread), COUNT, seed=11), dtype=float)
        standard_error = MEAN * deviation / math.sqrt(COUNT)
        assert samples.mean() == pytest.approx(MEAN, abs=4 * standard_error)
        if kind != "pareto":  # its fourth moment is infinite
            assert samples.std() == pytest.approx(MEAN * deviation, rel=0.03)
        assert self.cdf_distance(samples, cdf) < 1.95 / math.sqrt(COUNT)  # Kolmogorov's 0.1 % point

    def test_a_pareto_draw_is_cut_at_a_thousand_times_its_mean(self):
        samples = sample_ns(DistributionSpec("pareto", 10.0, 1.01), COUNT, seed=3)
        assert max(samples) == 10_000

    def test_no_draw_is_shorter_than_a_nanosecond_but_a_constant_may_be_none(self):
        assert min(sample_ns(DistributionSpec("exponential", 1.0), 1000, seed=1)) == 1
        assert sample_ns(DistributionSpec("constant", 0.0), 3, seed=1) == [0, 0, 0]
        assert sample_ns(DistributionSpec("constant", 2.9), 1, seed=1) == [2]


class TestStreams:
    SPEC = DistributionSpec("uniform", MEAN, 1.0)

    def test_a_longer_sample_begins_with_the_shorter_one(self):
        assert sample_ns(self.SPEC, 100, seed=4)[:10] == sample_ns(self.SPEC, 10, seed=4)

    def test_seed_stream_and_entity_each_make_another_independent_sequence(self):
        base = {"seed": 4, "stream": GUEST, "entity": 0}
        others = [
            sample_ns(self.SPEC, 20_000, **{**base, name: value})
            for name, value in [("seed", 4), ("seed", 5), ("stream", ARRIVAL), ("entity", 1), ("entity", 65536)]
        ]
        correlation = np.corrcoef(np.array(others, dtype=float))
        off_diagonal = np.abs(correlation[~np.eye(len(others), dtype=bool)])
        assert off_diagonal.max() < 4 / math.sqrt(20_000)


class TestSpec:
    def test_the_names(self):
        assert list(DISTRIBUTIONS) == ["constant", "uniform", "exponential", "pareto", "lognormal"]

    @pytest.mark.parametrize(
        "spec",
        [
            DistributionSpec("constant", 0),
            DistributionSpec("uniform", 1, 1),
            DistributionSpec("pareto", 5, 1.0001),
            DistributionSpec("lognormal", 2.0**53 - 1, 4),
        ],
    )
    def test_the_ends_of_the_ranges_are_legal(self, spec):
        assert spec.check("here") is spec

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (("gauss", 5.0), "unknown distribution 'gauss'; expected one of constant, uniform, exponential, pareto"),
            (("constant", -1.0), r"mean must be >= 0 ns, found -1\.0"),
            (("exponential", math.nan), "mean must be >= 0 ns, found nan"),
            (("exponential", math.inf), "mean must be >= 0 ns, found inf"),
            (("exponential", 0.5), r"mean of an? exponential distribution must be at least 1 ns, found 0\.5"),
            (("uniform", 5.0, -0.1), r"spread of a uniform distribution is a fraction 0\.\.1, found -0\.1"),
            (("uniform", 5.0, 1.1), r"spread of a uniform distribution is a fraction 0\.\.1, found 1\.1"),
            (("uniform", 5.0, math.nan), "spread of a uniform distribution"),
            (("pareto", 5.0, 1.0), r"shape of a pareto distribution must be .*, found 1\.0"),
            (("pareto", 5.0, math.inf), "shape of a pareto distribution must be .*, found inf"),
            (("lognormal", 5.0, -1.0), r"sigma of a lognormal distribution must be 0\.\.4, found -1\.0"),
            (("lognormal", 5.0, 4.1), r"sigma of a lognormal distribution must be 0\.\.4, found 4\.1"),
        ],
    )
    def test_an_impossible_one_is_refused_with_its_place(self, spec, message):
        with pytest.raises(ValueError, match="here: " + message):
            DistributionSpec(*spec).check("here")
        with pytest.raises(ValueError, match="sample_ns: " + message):
            sample_ns(DistributionSpec(*spec), 1, seed=0)
