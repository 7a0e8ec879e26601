from collections.abc import Sequence

from xengym.policies.schedulers.credit_accounting import CreditAccounting

DEFAULT_WEIGHT: int
MAX_WEIGHT: int

class CreditScheduler(CreditAccounting):
    versions: tuple[str, ...]
    def __init__(
        self,
        version: str = ...,
        *,
        tslice_ms: int = ...,
        ratelimit_us: int | None = ...,
        migration_delay_us: int = ...,
        tickle_one_idle: bool = ...,
        idle_ticks: bool | None = ...,
    ) -> None: ...
    def set_phase(self, first_tick_ns: Sequence[int], first_accounting_ns: int) -> None: ...
