"""Programs of a guest with an operating system (`programs.pyx`)."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.guests.os.block cimport OsBlock
from xengym.guests.os.program_state cimport Loop, Programs, Request, Service
from xengym.sim.random cimport draw_bits

# Work of programs: a kind in the upper bits, a number in the lower.
cdef enum:
    JOB_NONE = 0
    JOB_REQUEST = 1
    JOB_LOOP = 2
    JOB_BACKGROUND = 3
    JOB_STREAM = 4            # of a migration (`stream.pyx`)
    JOB_SHIFT = 24

# Who owns a connection: a population of clients (its number), or a service that asks another one.
cdef enum:
    OWNER_SERVICE = -1
    OWNER_TRANSFER = -2
    OWNER_STREAM = -3         # a migration's

# Where a request is.
cdef enum:
    STAGE_BEFORE = 0
    STAGE_DISK = 1
    STAGE_CALLS = 2
    STAGE_AFTER = 3

cdef class OsPrograms(OsBlock):
    cdef readonly int max_requests
    cdef readonly int max_loops
    cdef Programs* programs_of
    cdef Service* service
    cdef Request* request
    cdef Loop* loop
    cdef int32_t* jobs        # JOB_SLOTS of each domain
    cdef int32_t* accepting   # ACCEPT_SLOTS of each domain: connections
    cdef int32_t* free_request
    cdef int first_loop_timer

    cdef void put_job(self, int d, int job) noexcept nogil
    cdef void _drop_job(self, int d) noexcept nogil
    cdef void _kick(self, int d) noexcept nogil
    cdef void _begin_request(self, int f) noexcept nogil
    cdef void _next_stage(self, int r) noexcept nogil
    cdef int64_t _any_sector(self, int d, Service* service) noexcept nogil
    cdef void _call(self, int r) noexcept nogil
    cdef void _answer(self, int r) noexcept nogil
    cdef void _free_request(self, int r) noexcept nogil
    cdef bint _accept(self, int d) noexcept nogil
    cdef int64_t _answer_bytes(self, Service* service) noexcept nogil
    cdef void _begin_loop(self, int i) noexcept nogil
    cdef void _loop_done(self, int i, bint failed) noexcept nogil
    # For those above: a piece of a stream's work begins, and is done.
    cdef int64_t stream_work_ns(self, int job) noexcept nogil
    cdef void stream_worked(self, int job) noexcept nogil

cdef enum:
    PPM = 1_000_000

cdef inline bint happens(uint64_t key, uint64_t* counter, int ppm) noexcept nogil:
    if ppm <= 0:
        return False
    return ppm >= PPM or draw_bits(key, counter) % <uint64_t>PPM < <uint64_t>ppm
