from xengym.guests.server import QueueKind
from xengym.machine.privilege import PrivilegeCosts

class MemoryWorkerKind(QueueKind):
    costs: PrivilegeCosts
    def __init__(self, queue_slots: int = ..., costs: PrivilegeCosts | None = ...) -> None: ...
