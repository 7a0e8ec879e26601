"""The schedulers under the laws: how each is made, and parameters that its domains may be given."""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from xengym.policies.schedulers.api import Scheduler
from xengym.policies.schedulers.python_adapter import PythonScheduler
from xengym.policies.schedulers.python_policy import PythonPolicy
from xengym.policies.schedulers.registry import make_scheduler
from xengym.policies.schedulers.sedf_rules import UNBLOCK_NAMES
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


weights = st.integers(1, 65535) | st.sampled_from([256, 512])
weight_and_cap = some(weight=weights, cap=st.integers(0, 100))
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


US = 1_000
MS = 1_000_000
# A slice and its period, as often as not in proportion; some cannot be (a slice longer than its period).
sedf_periods_ns = st.sampled_from([10 * US, 100 * US, MS, 10 * MS, 100 * MS]) | st.integers(1, 200 * MS)
sedf_slices_ns = st.sampled_from([5 * US, 50 * US, MS, 3 * MS, 10 * MS]) | st.integers(1, 40 * MS)
extratime = st.integers(0, 1)
sedf_params = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"period_ns": sedf_periods_ns, "slice_ns": sedf_slices_ns},
        optional={"extratime": extratime, "latency_ns": st.sampled_from([0, 500 * US, 5 * MS])},
    ),
    st.fixed_dictionaries(
        {"weight": st.integers(1, 300)},
        optional={"extratime": extratime, "period_ns": st.just(100 * MS), "latency_ns": st.just(2 * MS)},
    ),
)
intervals_ms = st.sampled_from([1, 10, 100, 500])
attributions = st.sampled_from(["packets", "pages", "true"])
managed_ppm = st.sampled_from([1_000, 50_000, 500_000, 1_000_000]) | st.integers(1_000, 1_000_000)
bvt_params = some(
    mcu_adv=st.sampled_from([1, 5, 10, 20]) | st.integers(1, 65535),
    warpback=st.integers(0, 1),
    warpvalue=st.sampled_from([0, 10, 1_000, 2**31 - 1]),
    warpl_ms=st.sampled_from([0, 1, 10, 2_000]),
    warpu_ms=st.sampled_from([0, 1, 10, 1_000]),
)
ctx_allow_ns = st.sampled_from([10 * US, 100 * US, 5 * MS, 50 * MS])
# Budgets above 100 us: shorter ones are legal, and each is a pass.
rtds_params = some(
    period_us=st.sampled_from([500, 1_000, 10_000, 100_000]) | st.integers(200, 100_000),
    budget_us=st.sampled_from([200, 1_000, 4_000]) | st.integers(100, 50_000),
)
rtds_params_now = st.builds(operator.or_, rtds_params, some(extratime=extratime))
windows = st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from([100 * US, MS, 7 * MS]))
tables = st.lists(windows, min_size=1, max_size=6)
frames_ns = st.integers(MS, 100 * MS)

queue_options = some(slice_us=st.sampled_from([100, 5_000, 30_000]), wake_asks=st.sampled_from(["own", "all"]))

SUBJECTS = {
    "credit-3.0.3": Subject(named("credit", "3.0.3"), credit_3_options, weight_and_cap),
    "credit-3.2": Subject(named("credit", "3.2"), credit_3_options, weight_and_cap),
    "credit-4.5": Subject(named("credit", "4.5"), credit_4_options, weight_and_cap, credit_adjust),
    "credit-4.8": Subject(named("credit", "4.8"), credit_4_options, weight_and_cap, credit_adjust),
    "credit": Subject(named("credit"), credit_4_options, weight_and_cap, credit_adjust),
    **{
        f"sedf-3.0.0-{unblock}": Subject(named("sedf", "3.0.0"), st.just({"unblock": unblock}), sedf_params)
        for unblock in UNBLOCK_NAMES
    },
    "sedf-3.0.3": Subject(named("sedf", "3.0.3"), params=sedf_params),
    "sedf": Subject(named("sedf"), params=sedf_params),
    "sedf-dc": Subject(named("sedf-dc"), some(feedback_ms=intervals_ms, attribution=attributions), sedf_params),
    "share-guard": Subject(
        named("share-guard", "3.0.2"),
        some(poll_ms=intervals_ms, attribution=attributions, collects_debts=st.booleans()),
        st.builds(operator.or_, sedf_params, some(io_limit_ppm=st.integers(0, 1_000_000))),
    ),
    "communication-aware": Subject(
        named("communication-aware"),
        some(look_us=st.sampled_from([50, 500, 10_000]), unblock=st.sampled_from(sorted(UNBLOCK_NAMES))),
        sedf_params,
    ),
    "workload-manager": Subject(
        named("workload-manager"),
        some(interval_ms=intervals_ms, headroom_pct=st.integers(0, 100), gain_pct=st.integers(1, 100)),
        st.builds(operator.or_, sedf_params, some(min_ppm=managed_ppm, max_ppm=managed_ppm)),
    ),
    **{
        f"bvt-{version}": Subject(
            named("bvt", version), some(ctx_allow_ns=ctx_allow_ns), bvt_params, some(ctx_allow_ns=ctx_allow_ns)
        )
        for version in ("2.0", "3.0.0", "3.0.2")
    },
    "bvt-ideal": Subject(
        named("bvt", "ideal"),
        some(ctx_allow_ns=ctx_allow_ns, mcu_ns=st.sampled_from([US, 100 * US, MS])),
        bvt_params,
        some(ctx_allow_ns=ctx_allow_ns),
    ),
    **{
        f"credit2-{version}": Subject(
            named("credit2", version),
            some(ratelimit_us=ratelimit_us),
            some(weight=weights),
            some(ratelimit_us=ratelimit_us),
        )
        for version in ("4.8", "4.8fix")
    },
    "credit2": Subject(
        named("credit2"),
        some(
            ratelimit_us=ratelimit_us,
            runqueue=st.sampled_from(["cpu", "core", "socket", "node", "all"]),
            cap_period_ms=st.sampled_from([1, 10]),
            smt_power_savings=st.booleans(),
        ),
        weight_and_cap,
        some(ratelimit_us=ratelimit_us),
    ),
    "rtds-4.8": Subject(named("rtds", "4.8"), params=rtds_params),
    "rtds": Subject(named("rtds"), params=rtds_params_now),
    "null": Subject(named("null")),
    "arinc653": Subject(
        named("arinc653"), some(table=tables.map(tuple)), adjust=some(table=tables, major_frame_ns=frames_ns)
    ),
    "external": Subject(named("external"), queue_options),
    "python": Subject(
        lambda **options: PythonScheduler(Fickle, **options), queue_options, some(mood=st.integers(0, 10))
    ),
}
