from xengym.guests.os.programs import OsPrograms
from xengym.guests.os.specs import Clients

class OsClients(OsPrograms):
    max_populations: int
    max_clients: int
    def add_population(self, d: int, spec: Clients, nic: int, start_ns: int) -> int: ...
    def remove_population(self, k: int) -> None: ...
