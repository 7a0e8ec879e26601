from xengym.hypervisor.core import GuestKind
from xengym.machine.privilege import PrivilegeCosts

class ProcessKind(GuestKind):
    costs: PrivilegeCosts
    operations: tuple[str, ...]
    def __init__(self, costs: PrivilegeCosts | None = ...) -> None: ...
