"""What things cost in time, each figure with its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Cost model of one machine. All zero by default, as in the conformance runs.

    A cost is paid by the vCPU that is switched in when another one ran on the pCPU since: the CPU time is used, the
    guest makes no progress in it.

    Attributes:
        context_switch_ns: the hypervisor's switch itself, small working sets (ns).
        cache_refill_ns: bringing the working set back into the caches (ns).
    """

    context_switch_ns: int = 0
    cache_refill_ns: int = 0

    def __post_init__(self) -> None:
        for name in ("context_switch_ns", "cache_refill_ns"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"costs: {name} must be an integer >= 0 (ns), found {value!r}")


#: Domain switch with a small, hot working set: 3 us, derived from the context-switch rows of Barham et al.,
#: "Xen and the art of virtualization", SOSP 2003, table 4.
HOT_SWITCH_NS = 3_000

#: Effective cost of a domain switch under 128 cache-thrashing domains: 7.5 % of a 5 ms quantum (same paper, section 4.4
#: and figure 6). The upper end; a host with few domains lies between.
THRASHING_SWITCH_NS = 375_000

#: Default of the environments: hot switch plus the refill of some hundred cache lines (assumed: 20 us).
DEFAULT_COSTS = Costs(context_switch_ns=HOT_SWITCH_NS, cache_refill_ns=20_000)
