from xengym.policies.schedulers.api import Scheduler

class NullScheduler(Scheduler):
    versions: tuple[str, ...]
    def __init__(self, version: str = ...) -> None: ...
