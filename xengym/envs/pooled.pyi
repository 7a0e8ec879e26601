from typing import Any

class PooledBatch:
    num_threads: int
    num_envs: int
    def replace(self, index: int, stepper: Any) -> None: ...
