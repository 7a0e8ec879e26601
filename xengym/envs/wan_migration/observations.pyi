from typing import Any

import numpy as np

MOVE_FEATURES: tuple[tuple[str, str], ...]
SAMPLE_DTYPE: np.dtype[Any]
