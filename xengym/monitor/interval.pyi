from typing import Any

from numpy.typing import NDArray

from xengym.hypervisor.host import Host

class IntervalMonitor:
    host_record: NDArray[Any]
    domain_records: NDArray[Any]
    def __init__(self, host: Host) -> None: ...
    def restart(self) -> None: ...
    def look(self) -> None: ...
