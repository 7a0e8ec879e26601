from collections.abc import Callable
from typing import Any, NamedTuple

from xengym.hypervisor.host import Host
from xengym.hypervisor.program import ProgramSpec

class VcpuImage(NamedTuple):
    work_left_ns: int
    is_blocked: bool
    is_down: bool
    has_started: bool
    event_pending: bool
    is_polling: bool
    timer_ns: int

class DomainImage(NamedTuple):
    kind: str
    counters: Any
    vcpus: tuple[VcpuImage, ...]
    timer_ns: int
    memory: Any
    state: Any

def save_domain(host: Host, domid: int) -> DomainImage: ...
def load_domain(
    host: Host,
    domid: int,
    image: DomainImage,
    program: ProgramSpec,
    *,
    devices: Callable[[int], object] | None = ...,
    **settings: Any,
) -> int: ...
def release_domain(host: Host, domid: int) -> None: ...
