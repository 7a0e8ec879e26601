"""Copying a disk while its domain writes to it (Bradford et al., VEE 2007, section 3).

The image goes in order, block after block. From the moment the copy begins every write is recorded as a delta, sent, and
kept at the destination. A delta may arrive before the bulk copy has passed its block; then it waits and is applied after
it, and so are all that come to that block later, in their order. Bulk and deltas share the line, deltas first: with an image
of `S` bytes, deltas of `W` and a line of `B` bytes a second the copy lasts `S / (B - W)`, and with `W >= B` it never ends.
Writes may be held up: once `threshold` have been recorded, each further one by `delay`, so a writer that waits for its
writes makes at most one in each `delay`.

Nothing here depends on the size of the image. Between two changes of a rate everything is linear in time and is worked out at
once. All extents' rates change together, so of `A` bytes of deltas that the destination has, extent i's part is `A s_i`,
spread evenly over its blocks; where the bulk copy has passed the part `p_i` of it, `A s_i (1 - p_i)` wait. These are expected
values of what happens block by block; a model that keeps every block is the tests' reference.
"""
from libc.stdint cimport int64_t
from xengym.machine.wide_area_state cimport DiskCopy

cdef inline int64_t image_blocks(const DiskCopy* d) noexcept nogil:
    cdef int i
    cdef int64_t blocks = 0
    for i in range(d.num_extents):
        blocks += d.extent_blocks[i]
    return blocks

cdef inline double image_bytes(const DiskCopy* d) noexcept nogil:
    return <double>image_blocks(d) * <double>d.block_bytes

cdef inline double delta_bytes(const DiskCopy* d) noexcept nogil:
    return <double>(d.block_bytes + d.header_bytes)

cdef inline double queued_bytes(const DiskCopy* d) noexcept nogil:
    """Of deltas that the destination does not have."""
    cdef double queued = d.num_writes * delta_bytes(d) - d.sent_bytes
    return queued if queued > 0.0 else 0.0

cdef inline double wanted_writes_per_ns(const DiskCopy* d, double factor) noexcept nogil:
    """What the domain would write if nobody held it up."""
    cdef int i
    cdef double per_s = 0.0
    for i in range(d.num_extents):
        per_s += d.extent_writes_per_s[i]
    return per_s * factor * 1e-9

cdef inline bint is_held_up(const DiskCopy* d) noexcept nogil:
    return d.is_recording and d.delay_ns > 0 and d.num_writes >= <double>d.threshold_writes

cdef inline double writes_per_ns(const DiskCopy* d, double factor) noexcept nogil:
    """What it writes: a held-up write takes `delay_ns` longer than the time from one to the next."""
    cdef double wanted = wanted_writes_per_ns(d, factor)
    return wanted / (1.0 + wanted * <double>d.delay_ns) if is_held_up(d) else wanted

cdef inline double waiting_bytes(const DiskCopy* d) noexcept nogil:
    """Of deltas at the destination whose block the bulk copy has not passed."""
    cdef int i
    cdef double total = wanted_writes_per_ns(d, 1.0) * 1e9, begin = 0.0, bytes_of, passed, waiting = 0.0
    if total <= 0.0:
        return 0.0
    for i in range(d.num_extents):
        bytes_of = <double>d.extent_blocks[i] * <double>d.block_bytes
        passed = (d.copied_bytes - begin) / bytes_of if bytes_of > 0.0 else 1.0
        passed = 0.0 if passed < 0.0 else (1.0 if passed > 1.0 else passed)
        waiting += d.extent_writes_per_s[i] / total * (1.0 - passed)
        begin += bytes_of
    return d.sent_bytes * waiting

cdef inline double to_apply_bytes(const DiskCopy* d) noexcept nogil:
    """Of deltas that the destination could apply now and has not."""
    cdef double left = d.sent_bytes - waiting_bytes(d) - d.applied_bytes
    return left if left > 0.0 else 0.0

cdef inline bint is_bulk_done(const DiskCopy* d) noexcept nogil:
    return d.copied_bytes >= image_bytes(d)

cdef inline double delta_flow(const DiskCopy* d, double line_per_ns, double factor) noexcept nogil:
    """Bytes of deltas on the line in each ns, until something changes."""
    cdef double made = writes_per_ns(d, factor) * delta_bytes(d) if d.is_recording else 0.0
    if queued_bytes(d) >= 0.5 or made >= line_per_ns:
        return line_per_ns
    return made

cdef inline double bulk_flow(const DiskCopy* d, double line_per_ns, double factor) noexcept nogil:
    """Bytes of the image on the line in each ns, until something changes."""
    cdef double left = line_per_ns - delta_flow(d, line_per_ns, factor)
    cdef double limit = d.bulk_bytes_per_s * 1e-9
    return limit if 0.0 < limit < left else left

cdef inline int64_t until(double amount, double per_ns) noexcept nogil:
    """Time for so much at this rate, rounded up to whole ns."""
    if per_ns <= 0.0 or amount / per_ns > 4e18:
        return <int64_t>1 << 62
    return <int64_t>(amount / per_ns) + 1

cdef inline int64_t disk_steady_ns(const DiskCopy* d, double line_per_ns, double factor, bint with_bulk) noexcept nogil:
    """For so long nothing changes by itself: no queue runs empty, no threshold is reached, the bulk copy is not done."""
    cdef double made = writes_per_ns(d, factor) * delta_bytes(d) if d.is_recording else 0.0
    cdef double queued = queued_bytes(d)
    cdef int64_t steady = <int64_t>1 << 62
    if queued >= 0.5:
        steady = until(queued, line_per_ns - made)
    if d.is_recording and d.delay_ns > 0 and not is_held_up(d):
        steady = min(steady, until(<double>d.threshold_writes - d.num_writes, writes_per_ns(d, factor)))
    if with_bulk and not is_bulk_done(d):
        steady = min(steady, until(image_bytes(d) - d.copied_bytes, bulk_flow(d, line_per_ns, factor)))
    return steady

cdef inline double disk_advance(
    DiskCopy* d, int64_t dt_ns, double line_per_ns, double factor, bint with_bulk
) noexcept nogil:
    """Let time pass in which nothing changes; returns the bytes that the line carried."""
    cdef double t = <double>dt_ns
    cdef double made = writes_per_ns(d, factor) * t, wanted = wanted_writes_per_ns(d, factor) * t
    cdef double bulk = bulk_flow(d, line_per_ns, factor) * t if with_bulk else 0.0
    cdef double deltas = delta_flow(d, line_per_ns, factor) * t
    cdef double applied
    d.wanted_writes += wanted
    d.held_up_writes += wanted - made
    if d.is_recording:
        d.num_writes += made
    deltas = min(deltas, queued_bytes(d))
    d.sent_bytes += deltas
    bulk = min(bulk, image_bytes(d) - d.copied_bytes)
    d.copied_bytes += bulk
    applied = min(to_apply_bytes(d), d.apply_bytes_per_s * 1e-9 * t)
    d.applied_bytes += applied
    return deltas + bulk

cdef inline void begin_recording(DiskCopy* d) noexcept nogil:
    d.is_recording = 1
    d.copied_bytes = 0.0
    d.num_writes = 0.0
    d.sent_bytes = 0.0
    d.applied_bytes = 0.0

cdef inline void end_recording(DiskCopy* d) noexcept nogil:
    d.is_recording = 0

cdef inline void forget_copy(DiskCopy* d) noexcept nogil:
    """The move is off: the destination throws away what it has, the source what it has recorded."""
    begin_recording(d)
    end_recording(d)
