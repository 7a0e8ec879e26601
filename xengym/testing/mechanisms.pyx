# No .pxd: only tests use it, from Python.
"""Rings, event channels and grant tables by themselves: thin wrappers of the inline functions of `mechanisms`."""
from libc.stdint cimport uint32_t
from libc.string cimport memset
from xengym.machine.io_state cimport MAX_GRANTS, Grant, GrantTable, Ports, Ring
from xengym.mechanisms cimport event_channel, grant_table, ring

cdef class RingAlone:
    """A ring and its two sides."""

    cdef Ring ring

    def __init__(self, size, start):
        memset(&self.ring, 0, sizeof(Ring))
        ring.ring_reset(&self.ring, size, start)

    def indices(self):
        cdef Ring* r = &self.ring
        return (r.rsp_cons, r.rsp_prod, r.req_cons, r.req_prod)

    def events(self):
        return (self.ring.req_event, self.ring.rsp_event)

    @property
    def notifications(self):
        return self.ring.notifications

    def free(self):
        return ring.ring_free(&self.ring)

    def requests(self):
        return ring.ring_requests(&self.ring)

    def in_service(self):
        return ring.ring_in_service(&self.ring)

    def responses(self):
        return ring.ring_responses(&self.ring)

    def push_requests(self, uint32_t count):
        return bool(ring.ring_push_requests(&self.ring, count))

    def push_responses(self, uint32_t count):
        return bool(ring.ring_push_responses(&self.ring, count))

    def take_request(self):
        return ring.ring_take_request(&self.ring)

    def take_response(self):
        return ring.ring_take_response(&self.ring)

    def want_requests(self):
        ring.ring_want_requests(&self.ring)

    def want_responses(self, uint32_t after):
        ring.ring_want_responses(&self.ring, after)


cdef class PortsAlone:
    """A domain's pending and mask bits."""

    cdef Ports ports

    def __init__(self):
        memset(&self.ports, 0, sizeof(Ports))

    @property
    def sent(self):
        return self.ports.sent

    def raise_port(self, int port):
        return bool(event_channel.port_raise(&self.ports, port))

    def mask(self, int port, bint masked):
        if masked:
            self.ports.masked[port >> 6] |= <unsigned long long>1 << (port & 63)
        else:
            self.ports.masked[port >> 6] &= ~(<unsigned long long>1 << (port & 63))

    def mask_upcall(self, bint masked):
        self.ports.upcall_masked = masked

    def waiting(self):
        return bool(event_channel.ports_waiting(&self.ports))

    def take(self, int start):
        return event_channel.port_take(&self.ports, start)


cdef class GrantsAlone:
    """A domain's grant table."""

    cdef GrantTable table
    cdef Grant entry[MAX_GRANTS]

    size = MAX_GRANTS

    def __init__(self):
        memset(&self.table, 0, sizeof(GrantTable))
        grant_table.grant_reset(&self.table, self.entry)

    @property
    def num_granted(self):
        return self.table.num_granted

    @property
    def refused(self):
        return self.table.refused

    def counts(self):
        return (self.table.num_maps, self.table.num_copies, self.table.num_transfers)

    def num_mapped(self, int ref):
        return self.entry[ref].num_mapped

    def free_list(self):
        refs = []
        cdef int ref = self.table.first_free
        while ref >= 0 and len(refs) <= MAX_GRANTS:
            refs.append(ref)
            ref = self.entry[ref].next_free
        return refs

    def access(self, int peer):
        return grant_table.grant_access(&self.table, self.entry, peer)

    def map(self, int ref, int peer):
        return bool(grant_table.grant_map(&self.table, self.entry, ref, peer))

    def unmap(self, int ref):
        grant_table.grant_unmap(self.entry, ref)

    def copy(self, int ref, int peer):
        return bool(grant_table.grant_copy(&self.table, self.entry, ref, peer))

    def transfer(self, int ref, int peer):
        return bool(grant_table.grant_transfer(&self.table, self.entry, ref, peer))

    def end(self, int ref):
        return bool(grant_table.grant_end(&self.table, self.entry, ref))
