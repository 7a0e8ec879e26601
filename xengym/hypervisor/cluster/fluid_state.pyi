from xengym.hypervisor.cluster.specs import ClusterSpec
from xengym.machine.state import Arena

class FluidState:
    arena: Arena
    @property
    def spec(self) -> ClusterSpec: ...
