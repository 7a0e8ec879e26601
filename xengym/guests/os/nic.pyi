from xengym.guests.os.core import OsCore

class OsNic(OsCore):
    max_nics: int
    def add_nic(
        self, backend: int, *, ns_per_mib: int, delay_ns: int, irq_gap_ns: int, rx_buffers: int, loss_ppm: int
    ) -> int: ...
