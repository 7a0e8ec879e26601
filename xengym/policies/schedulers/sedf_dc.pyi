from xengym.policies.schedulers.sedf_charges import SedfCharges

class SedfDcScheduler(SedfCharges):
    def __init__(self, version: str = ..., *, feedback_ms: int = ..., attribution: str = ...) -> None: ...
