from typing import Any

import numpy as np
from numpy.typing import NDArray

CLOCK_DTYPE: np.dtype[np.void]
PCPU_DTYPE: np.dtype[np.void]
VCPU_DTYPE: np.dtype[np.void]
DOMAIN_DTYPE: np.dtype[np.void]
DOMAIN_IO_DTYPE: np.dtype[np.void]
POOL_DTYPE: np.dtype[np.void]
TIMER_DTYPE: np.dtype[np.void]
TRACE_DTYPE: np.dtype[np.void]
RUNSTATES: tuple[str, str, str, str]

class Arena:
    block: NDArray[np.uint8]
    sections: dict[str, NDArray[np.void]]
    def __init__(self, sections: list[tuple[str, Any, int]]) -> None: ...

def response_bin_floor_ns(index: int) -> int: ...
