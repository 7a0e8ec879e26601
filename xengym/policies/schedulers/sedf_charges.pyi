from xengym.policies.schedulers.sedf_intervals import SedfIntervals

ATTRIBUTIONS: dict[str, int]

class SedfCharges(SedfIntervals):
    def __init__(self, version: str = ..., *, interval_ms: int = ..., attribution: str = ...) -> None: ...
