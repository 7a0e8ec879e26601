from typing import Any

import numpy as np

DISK_DTYPE: np.dtype[Any]
LINE_DTYPE: np.dtype[Any]
CONDITION_DTYPE: np.dtype[Any]
CLIENT_DTYPE: np.dtype[Any]
REDIRECTION_DTYPE: np.dtype[Any]
WIDE_STATE_DTYPE: np.dtype[Any]
ADDRESSES: tuple[str, ...]
DECIDERS: tuple[str, ...]
