"""The only writer of a ring's indices (Xen: the I/O ring of Barham et al., SOSP 2003, section 5; Xen's ring protocol).

Always `rsp_cons <= rsp_prod <= req_cons <= req_prod <= rsp_cons + size`, in arithmetic modulo 2**32. Producing several
entries and notifying once is the point of the event indices: a side is notified only if the other's producer index
passes the index at which it asked to be woken.
"""
from libc.stdint cimport uint32_t
from xengym.machine.io_state cimport Ring

cdef inline void ring_reset(Ring* ring, uint32_t size, uint32_t start) noexcept nogil:
    """An empty ring whose indices stand at `start`; both sides want to hear of the next entry."""
    ring.req_prod = start
    ring.req_cons = start
    ring.rsp_prod = start
    ring.rsp_cons = start
    ring.req_event = start + 1
    ring.rsp_event = start + 1
    ring.size = size

cdef inline uint32_t ring_free(Ring* ring) noexcept nogil:
    """Requests that the front end can still put in."""
    return ring.size - (ring.req_prod - ring.rsp_cons)

cdef inline uint32_t ring_requests(Ring* ring) noexcept nogil:
    """Requests that the back end has not taken."""
    return ring.req_prod - ring.req_cons

cdef inline uint32_t ring_in_service(Ring* ring) noexcept nogil:
    """Requests taken and not answered."""
    return ring.req_cons - ring.rsp_prod

cdef inline uint32_t ring_responses(Ring* ring) noexcept nogil:
    """Responses that the front end has not taken."""
    return ring.rsp_prod - ring.rsp_cons

cdef inline bint _passed(uint32_t old, uint32_t new, uint32_t event) noexcept nogil:
    return <uint32_t>(new - event) < <uint32_t>(new - old)

cdef inline bint ring_push_requests(Ring* ring, uint32_t count) noexcept nogil:
    """Publish requests; whether the back end has to be notified."""
    cdef uint32_t old = ring.req_prod
    cdef bint notify
    ring.req_prod = old + count
    notify = _passed(old, ring.req_prod, ring.req_event)
    ring.notifications += notify
    return notify

cdef inline bint ring_push_responses(Ring* ring, uint32_t count) noexcept nogil:
    """Publish responses; whether the front end has to be notified."""
    cdef uint32_t old = ring.rsp_prod
    cdef bint notify
    ring.rsp_prod = old + count
    notify = _passed(old, ring.rsp_prod, ring.rsp_event)
    ring.notifications += notify
    return notify

cdef inline uint32_t ring_take_request(Ring* ring) noexcept nogil:
    """Index of the next request, which is taken now."""
    ring.req_cons += 1
    return ring.req_cons - 1

cdef inline uint32_t ring_take_response(Ring* ring) noexcept nogil:
    ring.rsp_cons += 1
    return ring.rsp_cons - 1

cdef inline void ring_want_requests(Ring* ring) noexcept nogil:
    """The back end has nothing left to do here and wants to hear of the next request."""
    ring.req_event = ring.req_cons + 1

cdef inline void ring_want_responses(Ring* ring, uint32_t after) noexcept nogil:
    """The front end wants to hear when so many more responses than it has taken are there (at least 1)."""
    ring.rsp_event = ring.rsp_cons + after
