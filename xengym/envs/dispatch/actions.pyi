from collections.abc import Sequence

from xengym.hypervisor.host import Host

MAX_SLICES: int

class ChoiceDecoder:
    num_choices: int
    num_slices: int
    def __init__(self, host: Host, slices_ns: Sequence[int]) -> None: ...
