import numpy as np
from numpy.typing import NDArray

def fit_all(
    order: NDArray[np.int64],
    domain_demand: NDArray[np.float64],
    domain_pages: NDArray[np.int64],
    mask: NDArray[np.uint8],
    is_allowed: NDArray[np.uint8],
    free_pages: NDArray[np.int64],
    demand: NDArray[np.float64],
    limit: NDArray[np.float64],
    watts_a_pcpu: NDArray[np.float64],
    idle_watts: NDArray[np.float64],
    num_domains: NDArray[np.int32],
    may_come: NDArray[np.int32],
    out: NDArray[np.int64],
    all_or_none: bool,
) -> int: ...
