from xengym.policies.schedulers.sedf import SedfScheduler

class CommunicationAwareScheduler(SedfScheduler):
    def __init__(self, version: str = ..., *, unblock: str = ..., look_us: int = ...) -> None: ...
