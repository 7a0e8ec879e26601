from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.guests.os.block_back import OsBlockBack
from xengym.machine.io_costs import IoCosts

class OsBlock(OsBlockBack):
    num_records: int
    def __init__(
        self, costs: IoCosts, max_domains: int, max_vcpus: int, *, num_records: int = ..., **limits: Any
    ) -> None: ...
    def submit(
        self,
        i: int,
        sector: int,
        num_bytes: int,
        *,
        is_write: bool = ...,
        is_barrier: bool = ...,
        cookie: int = ...,
    ) -> bool: ...
    def block_records(self) -> NDArray[np.void]: ...
