from xengym.hypervisor.core import GuestKind
from xengym.machine.io_costs import IoCosts

class OsCore(GuestKind):
    max_vcpus: int
    max_domains: int
    def __init__(self, costs: IoCosts, max_domains: int, max_vcpus: int) -> None: ...
