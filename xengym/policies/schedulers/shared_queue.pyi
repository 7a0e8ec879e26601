from xengym.policies.schedulers.api import Scheduler

WAKE_ASKS: tuple[str, ...]

class SharedQueueScheduler(Scheduler):
    versions: tuple[str, ...]
    def __init__(self, version: str = ..., *, slice_us: int = ..., wake_asks: str = ...) -> None: ...
