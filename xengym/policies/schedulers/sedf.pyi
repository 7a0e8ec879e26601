from xengym.policies.schedulers.sedf_parameters import SedfParameters

class SedfScheduler(SedfParameters):
    versions: tuple[str, ...]
    scheduler_name: str
    def __init__(self, version: str = ..., *, unblock: str = ...) -> None: ...
