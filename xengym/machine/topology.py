"""pCPUs and what they share: threads of a core, cores of a socket."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PCPUS = 256


@dataclass(frozen=True)
class Topology:
    """Shape of a machine; pCPUs are numbered thread by thread, core by core, socket by socket.

    Attributes:
        sockets: sockets (each its own NUMA node).
        cores_per_socket: cores in a socket.
        threads_per_core: hardware threads in a core.

    Raises:
        ValueError: a count is below 1, or the machine has more than 256 pCPUs.
    """

    sockets: int = 1
    cores_per_socket: int = 1
    threads_per_core: int = 1

    def __post_init__(self) -> None:
        for name in ("sockets", "cores_per_socket", "threads_per_core"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"topology: {name} must be a positive integer, found {value!r}")
        if self.num_pcpus > MAX_PCPUS:
            raise ValueError(f"topology: at most {MAX_PCPUS} pCPUs, found {self.num_pcpus}")

    @classmethod
    def flat(cls, num_pcpus: int) -> Topology:
        """One socket of single-threaded cores."""
        return cls(cores_per_socket=num_pcpus)

    @property
    def num_pcpus(self) -> int:
        """Number of pCPUs."""
        return self.sockets * self.cores_per_socket * self.threads_per_core

    def core_of(self, pcpu: int) -> int:
        """Core number of a pCPU, counted over the whole machine."""
        return pcpu // self.threads_per_core

    def socket_of(self, pcpu: int) -> int:
        """Socket number of a pCPU."""
        return pcpu // (self.threads_per_core * self.cores_per_socket)

    def core_mask(self, pcpu: int) -> int:
        """PCPUs of the same core, as a bit mask."""
        return ((1 << self.threads_per_core) - 1) << (self.core_of(pcpu) * self.threads_per_core)

    def socket_mask(self, pcpu: int) -> int:
        """PCPUs of the same socket, as a bit mask."""
        width = self.threads_per_core * self.cores_per_socket
        return ((1 << width) - 1) << (self.socket_of(pcpu) * width)
