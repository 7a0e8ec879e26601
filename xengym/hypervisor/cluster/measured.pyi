import numpy as np
from numpy.typing import NDArray

from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.cluster.specs import ClusterSpec

class MeasuredCluster(FluidCluster):
    pcpus: NDArray[np.float64]
    dom0_pcpus: NDArray[np.float64]
    rates: NDArray[np.float64]
    def __init__(self, spec: ClusterSpec, *, seed: int = ...) -> None: ...
    def take_measures(self) -> None: ...
    def next_end_ns(self) -> int: ...
