import numpy as np

PORTS_DTYPE: np.dtype[np.void]
GRANTS_DTYPE: np.dtype[np.void]
VIF_DTYPE: np.dtype[np.void]
NIC_DTYPE: np.dtype[np.void]
IO_HOST_DTYPE: np.dtype[np.void]
FLOW_DTYPE: np.dtype[np.void]
SEND_QUEUE_DTYPE: np.dtype[np.void]
PORT_DTYPE: np.dtype[np.void]
GRANT_DTYPE: np.dtype[np.void]
HALF_DTYPE: np.dtype[np.void]
PACKET_DTYPE: np.dtype[np.void]
VIF_MODES: tuple[str, ...]
