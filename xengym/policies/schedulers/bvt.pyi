from xengym.policies.schedulers.bvt_state import BvtState

DEFAULT_MCU_ADV: int
MAX_MCU_ADV: int
MAX_WARPVALUE: int
MAX_WARP_MS: int
SHARE_TIMES_ADVANCE: int

class BvtScheduler(BvtState):
    versions: tuple[str, ...]
    def __init__(self, version: str = ..., *, ctx_allow_ns: int = ..., mcu_ns: int = ...) -> None: ...
