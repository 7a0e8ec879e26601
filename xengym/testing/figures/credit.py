"""Published behaviour of Credit: weights, caps, the loophole of sampled debit, boost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.guests.programs import Hog, Periodic
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.trace_kinds import TraceKind
from xengym.testing.figures.single_host import MS, SECOND, US, DomainSetup, build, shares_over, window_shares


def shares_by_weight(version: str = "3.2", weights: tuple[int, ...] = (256, 512)) -> NDArray[np.float64]:
    """R10: shares of CPU-bound domains on one pCPU over the first 3 s (survey, section 4.2; Xen wiki)."""
    host = build(CreditScheduler(version), 1, [DomainSetup(Hog(), {"weight": weight}) for weight in weights])
    return shares_over(host, 3 * SECOND)


def capped_window_shares(version: str, cap_pct: int) -> NDArray[np.float64]:
    """R12: one CPU-bound domain with a cap, alone on a pCPU: share in each of 180 windows of 1 s (ALERT)."""
    host = build(CreditScheduler(version), 1, [DomainSetup(Hog(), {"cap": cap_pct})])
    return window_shares(host, 180)[:, 0]


def evader_share(version: str, run_us: int = 9_500, *, num_hogs: int = 1, **options: Any) -> float:
    """R14: share of a guest that sleeps across each tick, beside hogs on one pCPU, over 60 s.

    Sampled debit never finds it running (Xen's change to exact accounting; Zhou et al. 2011).
    """
    # It wakes as long after each tick as it stops before the next.
    evader = Periodic(run_us * US, 10 * MS, (10_000 - run_us) * US // 2)
    domains = [DomainSetup(evader), *[DomainSetup(Hog())] * num_hogs]
    return float(shares_over(build(CreditScheduler(version, **options), 1, domains), 60 * SECOND)[0])


def ping_waits_ms(version: str, num_hogs: int, *, computes: bool = False) -> NDArray[np.float64]:
    """R17, R18: delays from pings, 97 ms apart, until the pinged domain runs, sorted: about 400.

    Args:
        version: release of Credit; boost came with 3.0.4.
        num_hogs: CPU-bound domains on the same pCPU.
        computes: the pinged domain is CPU-bound, too.
    """
    pinged = Hog() if computes else Periodic(100 * US, 97 * MS, 300 * US)
    host = build(CreditScheduler(version), 1, [DomainSetup(pinged), *[DomainSetup(Hog())] * num_hogs])
    host.run_until(SECOND)
    host.start_trace()
    host.run_until(40 * SECOND)
    records = host.trace_records()
    switches = records[records["kind"] == TraceKind.SWITCH]
    if computes:
        pings_ns = np.arange(SECOND + 300 * MS, 39 * SECOND, 97 * MS)
    else:
        pings_ns = records["at_ns"][(records["kind"] == TraceKind.WAKE) & (records["vcpu"] == 0)][:-5]
    runs_ns = switches["at_ns"][switches["vcpu"] == 0]
    stops_ns = switches["at_ns"][switches["other"] == 0]
    waits = []
    for ping_ns in pings_ns:
        next_run_ns = runs_ns[np.searchsorted(runs_ns, ping_ns)]
        next_stop_ns = stops_ns[np.searchsorted(stops_ns, ping_ns, side="right")]
        is_running = next_stop_ns < next_run_ns
        waits.append(0.0 if is_running else (next_run_ns - ping_ns) / MS)
    return np.sort(waits)


def third_domain_share(version: str = "3.2") -> float:
    """R11: share of a domain capped at 30 % beside two capped at 80 % on two pCPUs, over 30 s (survey, section 4.2)."""
    demands = (80, 80, 30)
    domains = [DomainSetup(Hog(), {"cap": demand, "weight": 256 * demand // 10}) for demand in demands]
    host = build(CreditScheduler(version), 2, domains)
    host.run_until(SECOND)
    return float(shares_over(host, 30 * SECOND)[2])
