from xengym.guests.os.transport import OsTransport

class OsPrograms(OsTransport):
    max_requests: int
    max_loops: int
    def set_callee(self, d: int, callee: int) -> None: ...
