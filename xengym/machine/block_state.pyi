import numpy as np

DISK_REQUEST_DTYPE: np.dtype[np.void]
DISK_DTYPE: np.dtype[np.void]
BLOCK_OP_DTYPE: np.dtype[np.void]
BLOCK_REQUEST_DTYPE: np.dtype[np.void]
VBD_DTYPE: np.dtype[np.void]
BLOCK_DOMAIN_DTYPE: np.dtype[np.void]
BLOCK_RECORD_DTYPE: np.dtype[np.void]
VBD_MODES: tuple[str, ...]
