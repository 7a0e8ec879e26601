"""Virtual interfaces (`vif.pyx`)."""
from libc.stdint cimport int32_t
from xengym.guests.os.nic cimport OsNic
from xengym.machine.io_state cimport Packet, Vif

cdef class OsVif(OsNic):
    cdef readonly int max_vifs
    cdef Vif* vif
    cdef Packet* tx_packet    # NET_SLOTS of each interface, by id
    cdef Packet* rx_packet    # likewise
    cdef Packet* held         # likewise: of its `queue`
    cdef int32_t* vif_of      # the interface that a domain's connections use, or -1
    cdef int first_vif_timer

    cdef void connect_if_up(self, int i) noexcept nogil
    cdef void connect(self, int i) noexcept nogil
    cdef void disconnect(self, int i) noexcept nogil
    cdef void post_buffers(self, int i) noexcept nogil
    # For those above: an interface has just been connected (again), or is gone.
    cdef void connected(self, int i) noexcept nogil
    cdef void disconnected(self, int i) noexcept nogil
