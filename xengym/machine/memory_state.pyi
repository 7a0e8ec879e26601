import numpy as np

HOST_MEMORY_DTYPE: np.dtype[np.void]
DOMAIN_MEMORY_DTYPE: np.dtype[np.void]
