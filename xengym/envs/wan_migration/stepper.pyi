from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.envs.pooled import PooledBatch
from xengym.hypervisor.wide_move import WideMove

MOVE_TERMS: tuple[tuple[str, str], ...]
RATE_LEVELS: tuple[float, ...]
DELAY_LEVELS_MS: tuple[float, ...]
FIGURES: tuple[str, ...]

class MoveStepper:
    move: WideMove
    samples: NDArray[Any]
    interval_ns: int
    num_features: int
    num_actions: int
    num_masks: int
    takes_integers: bool
    num_steps: int
    episode_steps: int
    def __init__(self, weights: Mapping[str, float], takes_integers: bool) -> None: ...
    def set_weights(self, weights: Mapping[str, float]) -> None: ...
    def begin(self, move: WideMove, interval_ns: int, episode_steps: int) -> None: ...
    def use(self, move: WideMove, interval_ns: int, episode_steps: int) -> None: ...
    @property
    def is_over(self) -> bool: ...
    def observe(self) -> NDArray[np.float32]: ...
    def masks(self) -> NDArray[np.bool_]: ...
    def figures(self) -> dict[str, Any]: ...
    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]: ...

class BatchMoveStepper(PooledBatch):
    def __init__(self, steppers: Sequence[MoveStepper], num_threads: int) -> None: ...
    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], dict[str, Any]]: ...
