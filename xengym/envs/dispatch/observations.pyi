from xengym.hypervisor.host import Host
from xengym.monitor.interval import IntervalMonitor

VCPU_FEATURES: tuple[tuple[str, str], ...]
DECISION_FEATURES: tuple[tuple[str, str], ...]

class DecisionEncoder:
    size: int
    def __init__(self, host: Host, monitor: IntervalMonitor) -> None: ...
