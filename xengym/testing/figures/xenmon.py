"""XenMon on a busy host: its identity, and what being watched costs.

The load stands in for the web server of XenMon's authors: no packets move, but as many domains are switched in as there
are when a driver domain and two web servers share a CPU, some thousands in a second, for records are what the
monitor costs. Page transfers, each one record more, are not in it.
"""

from __future__ import annotations

from typing import NamedTuple

from xengym.guests.programs import Server, Xenbaked
from xengym.machine.costs import HOT_SWITCH_NS, MONITOR_RECORD_NS, Costs
from xengym.monitor.xenmon import XenMon
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.random import DistributionSpec
from xengym.testing.figures.single_host import SECOND, US, DomainSetup, build, cpu_ns


class Monitored(NamedTuple):
    """What monitoring showed and cost.

    Attributes:
        identity_error_ns: largest deviation of gotten + waited + blocked from the interval, over all vCPUs and windows.
        cost_pct: CPU used beyond what the same load uses unwatched, in percent of the pCPU.
        executions_per_s: of all domains together.
    """

    identity_error_ns: int
    cost_pct: float
    executions_per_s: float


def _server(arrival_us: float, service_us: float) -> DomainSetup:
    arrival, service = (DistributionSpec("exponential", us * US) for us in (arrival_us, service_us))
    return DomainSetup(Server(arrival, service))


#: A driver domain that is asked 2500 times a second, and two web servers; about 75 % of a pCPU. Assumed.
WEB_LOAD = (_server(400, 80), _server(800, 280), _server(2_000, 400))


def monitored(length_ns: int = 20 * SECOND, seed: int = 1) -> Monitored:
    """R23: the load watched and unwatched, on one pCPU under Credit."""
    plain = build(CreditScheduler("3.2"), 1, WEB_LOAD, costs=Costs(HOT_SWITCH_NS), seed=seed)
    plain.run_until(length_ns)
    costs = Costs(HOT_SWITCH_NS, monitor_record_ns=MONITOR_RECORD_NS)
    host = build(CreditScheduler("3.2"), 1, [*WEB_LOAD, DomainSetup(Xenbaked())], costs=costs, seed=seed)
    monitor = XenMon(host)
    worst_ns, executions = 0, 0
    for end_ns in range(SECOND, length_ns + 1, SECOND):
        monitor.run_until(end_ns)
        window = monitor.window(SECOND)
        executions += sum(domain.executions for domain in window.domains)
        for vcpu in window.vcpus:
            total_ns = vcpu.gotten_ns + vcpu.waited_ns + vcpu.blocked_ns
            worst_ns = max(worst_ns, abs(total_ns - (window.end_ns - window.start_ns)))
    more_ns = int(cpu_ns(host).sum() - cpu_ns(plain).sum())
    return Monitored(worst_ns, 100 * more_ns / length_ns, executions * SECOND / length_ns)
