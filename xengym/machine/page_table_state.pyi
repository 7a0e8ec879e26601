from typing import Any

import numpy as np

PAGE_TABLES_DTYPE: np.dtype[Any]
FRAMES_DTYPE: np.dtype[Any]
FRAME_TYPES: tuple[str, ...]
