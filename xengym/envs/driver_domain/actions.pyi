from xengym.envs.host.actions import ActionDecoder
from xengym.hypervisor.host import Host

LIMITS: tuple[str, str]

class LimitDecoder(ActionDecoder):
    def __init__(self, host: Host, num_domains: int, is_discrete: bool) -> None: ...
