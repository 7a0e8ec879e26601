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
        cache_refill_ns: bringing the working set back into the caches (ns), if nothing of it is left there.
        cache_survival_frac: part of a working set that is still in the caches after one other vCPU has run there; after
            n others so much to the power of n (0: nothing is, and every switch costs the whole refill).
        monitor_record_ns: writing one trace record for the monitor (ns), borne by whoever is switched in next; 0: the
            host is not monitored.
    """

    context_switch_ns: int = 0
    cache_refill_ns: int = 0
    cache_survival_frac: float = 0.0
    monitor_record_ns: int = 0

    def __post_init__(self) -> None:
        for name in ("context_switch_ns", "cache_refill_ns", "monitor_record_ns"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"costs: {name} must be an integer >= 0 (ns), found {value!r}")
        if not 0 <= self.cache_survival_frac < 1:
            raise ValueError(f"costs: cache_survival_frac must be 0..1, 1 excluded, found {self.cache_survival_frac!r}")

    def refill_ns(self, others: int) -> int:
        """Cost of the refill after so many other vCPUs have run on the pCPU (at least 1)."""
        return round(self.cache_refill_ns * (1 - self.cache_survival_frac**others))


#: Domain switch with a small, hot working set: 3 us, derived from the context-switch rows of Barham et al.,
#: "Xen and the art of virtualization", SOSP 2003, table 4.
HOT_SWITCH_NS = 3_000

#: Effective cost of a domain switch under 128 cache-thrashing domains: 7.5 % of a 5 ms quantum (same paper, section 4.4
#: and figure 6). The upper end; a host with few domains lies between.
THRASHING_SWITCH_NS = 375_000

#: Part of such a working set that outlives another domain's 5 ms: with 4 domains on two pCPUs one other runs in
# between, and  the loss is 3.5 % instead of 7.5 % (figure 6, read off the picture), so 1 - 3.5 / 7.5.
THRASHING_SURVIVAL_FRAC = 1 - 3.5 / 7.5

#: Writing a trace record in the hypervisor: 150 ns. Assumed: a time stamp and eight words into a buffer of the pCPU,
# most of whose lines are no longer in its cache. With `XENBAKED_RECORD_NS` of `guests.programs` it makes the 1 to 2 %
# of a CPU that XenMon's README claims.
MONITOR_RECORD_NS = 150

#: Default of the environments: hot switch plus the refill of some hundred cache lines (assumed: 20 us).
DEFAULT_COSTS = Costs(context_switch_ns=HOT_SWITCH_NS, cache_refill_ns=20_000)
