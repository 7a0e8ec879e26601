from xengym.policies.schedulers.api import Scheduler

class SedfState(Scheduler):
    def queued(self) -> list[int]: ...
