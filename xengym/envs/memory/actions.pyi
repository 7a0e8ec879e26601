import numpy as np
from numpy.typing import NDArray

from xengym.hypervisor.host import Host

class TargetDecoder:
    num_domains: int
    size: int
    def __init__(self, host: Host, num_domains: int) -> None: ...
    def encode(self) -> NDArray[np.float32]: ...
    def encode_pages(self, pages: NDArray[np.int64]) -> NDArray[np.float32]: ...
