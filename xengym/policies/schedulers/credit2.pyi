from xengym.policies.schedulers.credit2_decision import Credit2Decision

ARRANGEMENTS: tuple[str, ...]
DEFAULT_WEIGHT: int
MAX_WEIGHT: int

class Credit2Scheduler(Credit2Decision):
    versions: tuple[str, ...]
    def __init__(
        self,
        version: str = ...,
        *,
        ratelimit_us: int = ...,
        migrate_resist_us: int = ...,
        balance_under: int = ...,
        balance_over: int = ...,
        cap_period_ms: int | None = ...,
        load_precision_shift: int = ...,
        load_window_shift: int = ...,
        runqueue: str = ...,
        max_cpus_runqueue: int | None = ...,
        smt_power_savings: bool = ...,
    ) -> None: ...
