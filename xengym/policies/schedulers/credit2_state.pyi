from xengym.policies.schedulers.api import Scheduler

class Credit2State(Scheduler):
    def queued(self) -> list[int]: ...
