from typing import NamedTuple, Self

DISTRIBUTIONS: dict[str, int]

class DistributionSpec(NamedTuple):
    kind: str
    mean_ns: float
    spread: float = ...
    def check(self, where: str) -> Self: ...

def sample_ns(spec: DistributionSpec, count: int, *, seed: int, stream: int = ..., entity: int = ...) -> list[int]: ...
