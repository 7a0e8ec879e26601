"""The schedulers under the laws: how each is made, and parameters that its domains may be given."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from xengym.policies.schedulers.api import Scheduler
from xengym.policies.schedulers.python_adapter import PythonScheduler
from xengym.policies.schedulers.python_policy import PythonPolicy
from xengym.policies.schedulers.registry import make_scheduler
from xengym.policies.schedulers.tunables import Tunable


class Subject(NamedTuple):
    """One scheduler under test.

    Attributes:
        make: from boot options to a new scheduler object.
        options: strategy of boot options.
        params: strategy of a domain's parameters.
        adjust: strategy of parameters of the whole scheduler.
    """

    make: Callable[..., Scheduler]
    options: st.SearchStrategy[dict[str, Any]] = st.just({})
    params: st.SearchStrategy[dict[str, int]] = st.just({})
    adjust: st.SearchStrategy[dict[str, int]] = st.just({})


def named(name, version="current"):
    return lambda **options: make_scheduler(name, version, **options)


def some(**optional):
    return st.fixed_dictionaries({}, optional=optional)


weight_and_cap = some(weight=st.integers(1, 65535) | st.sampled_from([256, 512]), cap=st.integers(0, 100))
credit_3_options = some(tickle_one_idle=st.booleans(), idle_ticks=st.booleans())
tslice_ms = st.sampled_from([1, 2, 5, 30, 100])
ratelimit_us = st.sampled_from([0, 100, 1000])
credit_4_options = some(
    tickle_one_idle=st.booleans(), idle_ticks=st.booleans(), tslice_ms=tslice_ms, ratelimit_us=ratelimit_us,
    migration_delay_us=st.sampled_from([0, 500, 100_000]),
)  # fmt: skip
credit_adjust = some(tslice_ms=tslice_ms, ratelimit_us=ratelimit_us, migration_delay_us=st.sampled_from([0, 500]))


class Fickle(PythonPolicy):
    """Chooses by a rule that looks at everything and means nothing; now and then what it may not."""

    name = "fickle"
    tunables = (Tunable("mood", 0, 10, 3, log_scale=False),)

    def attached(self, pool):
        super().attached(pool)
        self.turn = 0

    def choose(self, pcpu, candidates, now_ns):
        self.turn += 1
        if self.turn % 11 == 0:
            return 1000 - self.turn, None
        if self.turn % 7 == 0:
            return None, 2_000_000
        chosen = candidates[self.turn * 5 % len(candidates)]
        return chosen, 1_000_000 * (1 + self.pool.param(chosen, "mood"))


queue_options = some(slice_us=st.sampled_from([100, 5_000, 30_000]), wake_asks=st.sampled_from(["own", "all"]))

SUBJECTS = {
    "credit-3.0.3": Subject(named("credit", "3.0.3"), credit_3_options, weight_and_cap),
    "credit-3.2": Subject(named("credit", "3.2"), credit_3_options, weight_and_cap),
    "credit-4.5": Subject(named("credit", "4.5"), credit_4_options, weight_and_cap, credit_adjust),
    "credit-4.8": Subject(named("credit", "4.8"), credit_4_options, weight_and_cap, credit_adjust),
    "credit": Subject(named("credit"), credit_4_options, weight_and_cap, credit_adjust),
    "external": Subject(named("external"), queue_options),
    "python": Subject(
        lambda **options: PythonScheduler(Fickle, **options), queue_options, some(mood=st.integers(0, 10))
    ),
}
