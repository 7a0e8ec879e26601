from xengym.guests.os.nic import OsNic

class OsVif(OsNic):
    max_vifs: int
    def add_vif(
        self,
        frontend: int,
        backend: int,
        *,
        nic: int,
        mode: int,
        mtu: int,
        is_offloading: bool,
        credit_bytes: int,
        credit_ns: int,
        first_index: int = 0,
    ) -> int: ...
    def remove_vif(self, i: int) -> None: ...
