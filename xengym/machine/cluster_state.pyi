from typing import Any

import numpy as np

CLUSTER_CLOCK_DTYPE: np.dtype[Any]
CLUSTER_HOST_DTYPE: np.dtype[Any]
CLUSTER_DOMAIN_DTYPE: np.dtype[Any]
CLUSTER_MOVE_DTYPE: np.dtype[Any]
CLUSTER_LINK_DTYPE: np.dtype[Any]
CLUSTER_SITE_DTYPE: np.dtype[Any]
POWERS: tuple[str, ...]
SHARES: tuple[str, ...]
LINKS: tuple[str, ...]
REFUSALS: tuple[str, ...]
REASONS: dict[str, int]
