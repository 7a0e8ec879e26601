from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.hypervisor.core import GuestKind, HostCore
from xengym.machine.costs import Costs
from xengym.machine.state import Arena
from xengym.machine.topology import Topology
from xengym.policies.schedulers.api import Scheduler

class PolicyState:
    scheduler: Scheduler
    block: NDArray[np.uint8]
    extra: Any
    def __init__(self, scheduler: Scheduler, block: NDArray[np.uint8], extra: Any) -> None: ...

class Snapshot:
    block: NDArray[np.uint8]
    policies: list[PolicyState | None]
    programs: list[Any]
    domain_names: dict[int, str]
    seed: int
    def __init__(
        self,
        block: NDArray[np.uint8],
        policies: list[PolicyState | None],
        programs: list[Any],
        domain_names: dict[int, str],
        seed: int,
    ) -> None: ...

class Host(HostCore):
    arena: Arena
    topology: Topology
    costs: Costs | None
    guest_kinds: list[GuestKind]
    domain_names: dict[int, str]
    def __init__(
        self,
        topology: Topology,
        scheduler: Scheduler,
        guest_kinds: Sequence[GuestKind],
        *,
        costs: Costs | None = ...,
        max_domains: int = ...,
        max_vcpus: int = ...,
        seed: int = ...,
    ) -> None: ...
    @property
    def now_ns(self) -> int: ...
    @property
    def num_pcpus(self) -> int: ...
    @property
    def scheduler(self) -> Scheduler: ...
    @property
    def schedulers(self) -> dict[int, Scheduler]: ...
    @property
    def sections(self) -> dict[str, NDArray[Any]]: ...
    @property
    def awaiting_pcpu(self) -> int | None: ...
    @property
    def seed(self) -> int: ...
    def reset(self, seed: int) -> None: ...
    def run_until(self, until_ns: int, *, before_control: bool = ..., inclusive: bool = ...) -> bool: ...
    def send_event(self, v: int) -> None: ...
    def block_vcpu(self, v: int) -> None: ...
    def poll_vcpu(self, v: int, timeout_ns: int) -> None: ...
    def runstate_ns(self, v: int) -> dict[str, int]: ...
    def snapshot(self) -> Snapshot: ...
    def restore(self, snapshot: Snapshot) -> None: ...
    def digest(self) -> str: ...
    def start_trace(self, *, ring: int | None = ...) -> None: ...
    def stop_trace(self) -> None: ...
    @property
    def trace_lost(self) -> int: ...
    def trace_records(self) -> NDArray[Any]: ...
