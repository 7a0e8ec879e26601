from xengym.hypervisor.host import Host
from xengym.monitor.interval import IntervalMonitor

DOMAIN_FEATURES: tuple[tuple[str, str], ...]
HOST_FEATURES: tuple[tuple[str, str], ...]

class MemoryEncoder:
    num_domains: int
    size: int
    def __init__(self, host: Host, monitor: IntervalMonitor, num_domains: int) -> None: ...
