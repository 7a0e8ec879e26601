from typing import Any

from xengym.guests.os.disk import OsDisk
from xengym.machine.io_costs import IoCosts

class OsBlockDevice(OsDisk):
    max_vbds: int
    def __init__(
        self, costs: IoCosts, max_domains: int, max_vcpus: int, *, max_vbds: int = ..., **limits: Any
    ) -> None: ...
    def add_vbd(
        self,
        frontend: int,
        backend: int,
        *,
        disk: int,
        num_sectors: int,
        start_sector: int = ...,
        read_only: bool = ...,
        mode: int = ...,
        notify_after: int = ...,
        first_index: int = ...,
    ) -> int: ...
    def connect_vbd(self, i: int, backend: int) -> None: ...
    def disconnect_vbd(self, i: int) -> None: ...
    def remove_vbd(self, i: int) -> None: ...
    def lose_backend(self, d: int) -> None: ...
