from xengym.guests.os.block import OsBlock

class OsPrograms(OsBlock):
    max_requests: int
    max_loops: int
    def set_callee(self, d: int, callee: int) -> None: ...
