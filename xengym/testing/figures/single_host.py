"""What the experiments on one host share: the machine, and how CPU time is read from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xengym.guests.cpu import HogKind, ListKind, OnOffKind, PeriodicKind
from xengym.guests.process import ProcessKind
from xengym.guests.programs import ProgramSpec
from xengym.guests.server import ServerKind
from xengym.guests.xenbaked import XenbakedKind
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.costs import Costs
from xengym.machine.topology import Topology
from xengym.policies.schedulers.api import Scheduler

US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000


class DomainSetup(NamedTuple):
    """One domain of an experiment.

    Attributes:
        program: what its vCPUs run.
        params: scheduler parameters.
        num_vcpus: vCPUs.
        pcpu: where its first vCPU is put; None: Xen's placement.
        is_hvm: fully virtualised.
    """

    program: ProgramSpec
    params: dict[str, int] = {}
    num_vcpus: int = 1
    pcpu: int | None = None
    is_hvm: bool = False


def build(
    scheduler: Scheduler, num_pcpus: int, domains: Sequence[DomainSetup], *, costs: Costs | None = None, seed: int = 1
) -> Host:
    """A host with domains 1, 2, ... on it, at time 0."""
    num_vcpus = sum(domain.num_vcpus for domain in domains)
    host = Host(
        Topology.flat(num_pcpus), scheduler,
        [HogKind(), PeriodicKind(), ListKind(), OnOffKind(), ServerKind(), ProcessKind(), XenbakedKind()],
        costs=costs, max_domains=len(domains) + 1, max_vcpus=num_vcpus, seed=seed,
    )  # fmt: skip
    control = Domctl(host)
    for domid, domain in enumerate(domains, start=1):
        placed: dict[str, Any] = {} if domain.pcpu is None else {"pcpus": [domain.pcpu] * domain.num_vcpus}
        control.create_domain(
            domid, domain.program, num_vcpus=domain.num_vcpus, params=domain.params, is_hvm=domain.is_hvm, **placed
        )
    return host


def cpu_ns(host: Host) -> NDArray[np.int64]:
    """CPU time of each vCPU so far, ns, shape ``(num_vcpus,)``."""
    num_vcpus = len(host.sections["guest_kind"])
    return np.array([host.runstate_ns(v)["running"] for v in range(num_vcpus)], dtype=np.int64)


def shares_over(host: Host, length_ns: int) -> NDArray[np.float64]:
    """Share of a pCPU that each vCPU gets in the next ``length_ns``, shape ``(num_vcpus,)``."""
    before = cpu_ns(host)
    host.run_until(host.now_ns + length_ns)
    return (cpu_ns(host) - before) / length_ns


def window_shares(host: Host, num_windows: int, window_ns: int = SECOND) -> NDArray[np.float64]:
    """Shares in successive windows, shape ``(num_windows, num_vcpus)``."""
    return np.array([shares_over(host, window_ns) for _ in range(num_windows)])
