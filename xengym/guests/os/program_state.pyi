import numpy as np

SERVICE_DTYPE: np.dtype[np.void]
REQUEST_DTYPE: np.dtype[np.void]
LOOP_DTYPE: np.dtype[np.void]
PROGRAMS_DTYPE: np.dtype[np.void]
POPULATION_DTYPE: np.dtype[np.void]
CLIENT_DTYPE: np.dtype[np.void]
STREAM_DTYPE: np.dtype[np.void]
CLIENT_KINDS: tuple[str, ...]
