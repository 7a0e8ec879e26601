from xengym.policies.schedulers.rtds_state import RtdsState

DEFAULT_PERIOD_US: int
DEFAULT_BUDGET_US: int

class RtdsScheduler(RtdsState):
    versions: tuple[str, ...]
    def __init__(self, version: str = ...) -> None: ...
    def vcpu_params(self, v: int) -> dict[str, int]: ...
