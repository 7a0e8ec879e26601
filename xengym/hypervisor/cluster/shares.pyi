import numpy as np
from numpy.typing import ArrayLike, NDArray

def weighted_shares(limits: ArrayLike, weights: ArrayLike, capacity: float) -> NDArray[np.float64]: ...
def reserved_shares(
    limits: ArrayLike, reservations: ArrayLike, extra: ArrayLike, capacity: float
) -> NDArray[np.float64]: ...
