from typing import Any

from xengym.guests.os.transport import OsTransport
from xengym.machine.disk_model import DiskModel
from xengym.machine.io_costs import IoCosts

class OsDisk(OsTransport):
    max_disks: int
    def __init__(
        self, costs: IoCosts, max_domains: int, max_vcpus: int, *, max_disks: int = ..., **limits: Any
    ) -> None: ...
    def add_disk(self, backend: int, model: DiskModel) -> int: ...
    def attach_disk(self, n: int, backend: int) -> None: ...
