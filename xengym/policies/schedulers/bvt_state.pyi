from xengym.policies.schedulers.api import Scheduler

class BvtState(Scheduler):
    def queued(self) -> list[int]: ...
