from xengym.envs.host.actions import ActionDecoder
from xengym.hypervisor.host import Host
from xengym.monitor.interval import IntervalMonitor

DOMAIN_FEATURES: tuple[tuple[str, str], ...]
IO_FEATURES: tuple[tuple[str, str], ...]
HOST_FEATURES: tuple[tuple[str, str], ...]

class ObservationEncoder:
    num_domains: int
    size: int
    width: int
    num_io_features: int
    def __init__(self, host: Host, monitor: IntervalMonitor, actions: ActionDecoder) -> None: ...
