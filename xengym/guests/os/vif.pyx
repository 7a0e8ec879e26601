"""Virtual interfaces: two rings between a guest's front end and a back end; how they come, are connected, and go.

Page frames are counted, not named: a posted buffer of the flipping kind is a page that the guest has given back to the
hypervisor, and a flip gives it another one. The sum over domains and the hypervisor is constant.

When an interface is disconnected, what was in its rings and what the back end held for it is lost, and counted as lost.
"""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from xengym.guests.os.core cimport ITEM_NETFRONT, ITEM_VIF_EVENT, make_item
from xengym.guests.os.nic cimport OsNic, forget_domain
from xengym.hypervisor.core cimport HostCore
from xengym.machine.io_state cimport (
    BATCH, MAX_GRANTS, MAX_VIFS, NET_SLOTS, NO_DEVICE, PACKET_FRAGMENT, VIF_FLIP, Packet, Vif,
)
from xengym.machine.state cimport device_timer
from xengym.mechanisms.balloon cimport page_lent, page_returned
from xengym.mechanisms.grant_table cimport grant_access, grant_end, grant_unmap
from xengym.mechanisms.ring cimport (
    ring_free, ring_push_requests, ring_requests, ring_reset, ring_responses, ring_take_response,
)
from xengym.sim.timers cimport timer_disarm

import numpy as np

from xengym.machine.io_state import PACKET_DTYPE, VIF_DTYPE

cdef int RX_TARGET = 64   # buffers that a front end posts at first


cdef class OsVif(OsNic):
    """Virtual interfaces and their rings.

    Args:
        costs: ``machine.io_costs.IoCosts``.
        max_vifs: virtual interfaces that there may be.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, *, int max_nics=1, int max_vifs=16):
        if not 1 <= max_vifs <= MAX_VIFS:
            raise ValueError(f"os: max_vifs must be 1..{MAX_VIFS}, found {max_vifs}")
        OsNic.__init__(self, costs, max_domains, max_vcpus, max_nics=max_nics)
        self.max_vifs = max_vifs
        self.first_vif_timer = OsNic.num_device_timers(self)

    def num_device_timers(self):
        return OsNic.num_device_timers(self) + self.max_vifs

    def sections(self, max_vcpus, max_domains):
        return [
            *OsNic.sections(self, max_vcpus, max_domains),
            ("vif", VIF_DTYPE, self.max_vifs),
            ("vif_tx", PACKET_DTYPE, self.max_vifs * NET_SLOTS),
            ("vif_rx", PACKET_DTYPE, self.max_vifs * NET_SLOTS),
            ("vif_held", PACKET_DTYPE, self.max_vifs * NET_SLOTS),
            ("vif_of", np.dtype(np.int32), max_domains),
        ]

    def bind(self, HostCore host, int number, views):
        OsNic.bind(self, host, number, views)
        cdef Vif[::1] vif = views["vif"]
        cdef Packet[::1] tx_packet = views["vif_tx"]
        cdef Packet[::1] rx_packet = views["vif_rx"]
        cdef Packet[::1] held = views["vif_held"]
        cdef int32_t[::1] vif_of = views["vif_of"]
        self.vif = &vif[0]
        self.tx_packet = &tx_packet[0]
        self.rx_packet = &rx_packet[0]
        self.held = &held[0]
        self.vif_of = &vif_of[0]
        for d in range(self.max_domains):
            self.vif_of[d] = NO_DEVICE

    # -- life of an interface ------------------------------------------------------------------------------------

    def add_vif(self, int frontend, int backend, *, int nic, int mode, int mtu, bint is_offloading, int64_t credit_bytes,
                int64_t credit_ns, unsigned int first_index=0):
        """Create an interface of domain slot ``frontend`` served by ``backend`` (-1: the hypervisor) and connect it.

        Returns:
            Its number.
        """
        cdef int i
        cdef Vif* vif
        for i in range(self.max_vifs):
            if not self.vif[i].in_use:
                break
        else:
            raise ValueError(f"no room for another virtual interface; the host holds its maximum of {self.max_vifs}")
        vif = &self.vif[i]
        memset(vif, 0, sizeof(Vif))
        vif.frontend_port = self.new_port(frontend, make_item(ITEM_NETFRONT, i))
        vif.backend_port = self.new_port(backend, make_item(ITEM_VIF_EVENT, i)) if backend >= 0 else NO_DEVICE
        if vif.frontend_port < 0 or (backend >= 0 and vif.backend_port < 0):
            self.free_port(frontend, vif.frontend_port)
            if backend >= 0:
                self.free_port(backend, vif.backend_port)
            raise ValueError(f"domain {self.m.domain[frontend].domid} or its back end has no event-channel port left")
        if backend >= 0:
            self.connect_ports(frontend, vif.frontend_port, backend, vif.backend_port)
            self.m.io[backend].is_backend = 1
        vif.in_use = 1
        vif.frontend = frontend
        vif.backend = backend
        vif.nic = nic
        vif.mode = mode
        vif.mtu = mtu
        vif.is_offloading = is_offloading
        vif.credit_bytes = credit_bytes
        vif.credit_ns = credit_ns
        vif.tx.req_prod = first_index
        if self.vif_of[frontend] == NO_DEVICE:
            self.vif_of[frontend] = i
        self.connect_if_up(i)
        return i

    def remove_vif(self, int i):
        """Disconnect an interface and destroy it."""
        cdef Vif* vif = &self.vif[i]
        cdef int other
        self.disconnect(i)
        self.free_port(vif.frontend, vif.frontend_port)
        if vif.backend >= 0:
            self.free_port(vif.backend, vif.backend_port)
        vif.in_use = 0
        if self.vif_of[vif.frontend] == i:
            self.vif_of[vif.frontend] = NO_DEVICE
            for other in range(self.max_vifs):
                if self.vif[other].in_use and self.vif[other].frontend == vif.frontend:
                    self.vif_of[vif.frontend] = other
                    break

    def destroyed(self, int d):
        cdef int i, slot
        for i in range(self.max_vifs):
            if self.vif[i].in_use and (self.vif[i].frontend == d or self.vif[i].backend == d):
                self.remove_vif(i)
        OsNic.destroyed(self, d)
        for i in range(self.max_vifs):
            for slot in range(NET_SLOTS):
                forget_domain(&self.held[i * NET_SLOTS + slot], d)
                forget_domain(&self.tx_packet[i * NET_SLOTS + slot], d)
                forget_domain(&self.rx_packet[i * NET_SLOTS + slot], d)

    cdef void connect_if_up(self, int i) noexcept nogil:
        """Connect an interface, unless one of its ends has crashed: that one does it when it is up again."""
        cdef Vif* vif = &self.vif[i]
        if not vif.is_connected and not self.os_domain[vif.frontend].has_crashed \
                and (vif.backend < 0 or not self.os_domain[vif.backend].has_crashed):
            self.connect(i)

    cdef void connect(self, int i) noexcept nogil:
        """Both ends agree on empty rings and the front end posts its buffers."""
        cdef Vif* vif = &self.vif[i]
        cdef int id
        ring_reset(&vif.tx, NET_SLOTS, vif.tx.req_prod)
        ring_reset(&vif.rx, NET_SLOTS, vif.tx.req_prod)
        for id in range(NET_SLOTS):
            vif.tx_free[id] = id
            vif.rx_free[id] = id
            vif.tx_grant[id] = -1
            vif.rx_grant[id] = -1
        vif.num_tx_free = NET_SLOTS
        vif.num_rx_free = NET_SLOTS
        vif.rx_target = RX_TARGET
        vif.queue.head = 0
        vif.queue.tail = 0
        vif.credit_left = vif.credit_bytes
        vif.credit_until_ns = self.m.clock.now_ns + vif.credit_ns
        vif.is_connected = 1
        self.post_buffers(i)
        self.connected(i)

    cdef void disconnect(self, int i) noexcept nogil:
        """The rings are gone, with what was in them; the losses count."""
        cdef Vif* vif = &self.vif[i]
        cdef int id, slot
        cdef int64_t position
        if not vif.is_connected:
            return
        vif.is_connected = 0
        timer_disarm(self.m, device_timer(self.m, self.first_vif_timer + i))
        # Work under way for this interface has no effect any more.
        if vif.backend >= 0:
            for slot in range(self.os[self.m.domain[vif.backend].first_vcpu].num_staged):
                if self.staged_vif[vif.backend * BATCH + slot] == i:
                    self.staged_vif[vif.backend * BATCH + slot] = NO_DEVICE
        for position in range(vif.queue.head, vif.queue.tail):
            vif.rx_dropped += 1
            self.dropped(&self.held[i * NET_SLOTS + position % NET_SLOTS])
        vif.queue.head = vif.queue.tail
        vif.promised = 0
        self.m.io[vif.frontend].tx_pending -= <int>ring_requests(&vif.tx)
        # What the front end has not taken yet: packets that it has sent, which are not lost, and such for it, which are.
        while ring_responses(&vif.tx):
            id = vif.tx_slot[ring_take_response(&vif.tx) % NET_SLOTS]
            grant_end(&self.grants[vif.frontend], self.grant + vif.frontend * MAX_GRANTS, vif.tx_grant[id])
            vif.tx_grant[id] = -1
        while ring_responses(&vif.rx):
            id = vif.rx_slot[ring_take_response(&vif.rx) % NET_SLOTS]
            grant_end(&self.grants[vif.frontend], self.grant + vif.frontend * MAX_GRANTS, vif.rx_grant[id])
            vif.rx_grant[id] = -1
            if self.rx_packet[i * NET_SLOTS + id].kind != PACKET_FRAGMENT:
                self.m.io[vif.frontend].rx_pending -= 1
                vif.rx_dropped += 1
                self.dropped(&self.rx_packet[i * NET_SLOTS + id])
        for id in range(NET_SLOTS):
            if vif.tx_grant[id] >= 0:
                while self.grant[vif.frontend * MAX_GRANTS + vif.tx_grant[id]].num_mapped > 0:
                    grant_unmap(self.grant + vif.frontend * MAX_GRANTS, vif.tx_grant[id])
                grant_end(&self.grants[vif.frontend], self.grant + vif.frontend * MAX_GRANTS, vif.tx_grant[id])
                vif.tx_grant[id] = -1
                if self.tx_packet[i * NET_SLOTS + id].kind != PACKET_FRAGMENT:
                    vif.tx_dropped += 1
                    self.dropped(&self.tx_packet[i * NET_SLOTS + id])
            if vif.rx_grant[id] >= 0:
                grant_end(&self.grants[vif.frontend], self.grant + vif.frontend * MAX_GRANTS, vif.rx_grant[id])
                vif.rx_grant[id] = -1
                if vif.mode == VIF_FLIP:  # the place is filled again from the hypervisor's pages
                    page_returned(self.m, vif.frontend)
        vif.notify_due = 0
        self.disconnected(i)

    cdef void post_buffers(self, int i) noexcept nogil:
        """The front end offers buffers until `rx_target` are outstanding."""
        cdef Vif* vif = &self.vif[i]
        cdef int id, grant
        cdef unsigned int count = 0
        while NET_SLOTS - vif.num_rx_free < vif.rx_target and count < ring_free(&vif.rx):
            grant = -1
            if vif.backend >= 0:
                grant = grant_access(&self.grants[vif.frontend], self.grant + vif.frontend * MAX_GRANTS, vif.backend)
                if grant < 0:
                    break
            vif.num_rx_free -= 1
            id = vif.rx_free[vif.num_rx_free]
            vif.rx_grant[id] = grant
            vif.rx_slot[(vif.rx.req_prod + count) % NET_SLOTS] = id
            count += 1
            if vif.mode == VIF_FLIP:
                page_lent(self.m, vif.frontend)
        if count and ring_push_requests(&vif.rx, count) and vif.backend >= 0:
            self.notify(vif.frontend, vif.frontend_port, vif.frontend)

    # -- for those above -----------------------------------------------------------------------------------------

    cdef void connected(self, int i) noexcept nogil:
        pass

    cdef void disconnected(self, int i) noexcept nogil:
        pass
