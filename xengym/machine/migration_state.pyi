from typing import Any

import numpy as np

WORKING_SET_DTYPE: np.dtype[Any]
MIGRATION_DTYPE: np.dtype[Any]
STAGES: tuple[str, ...]
MOVES: tuple[str, ...]
REASONS: tuple[str, ...]
