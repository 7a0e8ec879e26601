from typing import Any

from xengym.policies.schedulers.sedf import SedfScheduler

class SedfIntervals(SedfScheduler):
    def __init__(self, version: str = ..., *, interval_ms: int = ...) -> None: ...

def milliseconds(where: str, name: str, value: Any, low: int = ..., high: int = ...) -> int: ...
