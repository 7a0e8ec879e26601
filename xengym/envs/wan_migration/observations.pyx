"""Observations of `WanMigration-v0`: what the two hosts' daemons can measure, each feature in [0, 1].

Bytes are given in the time that the line would need for them, so that one policy can serve lines of any rate; what has no
end is brought below 1 by x / (x + scale).
"""
from libc.stdint cimport int64_t
from xengym.envs.scaling cimport saturate, unit
from xengym.hypervisor.wide_area cimport WideMove
from xengym.machine.migration_state cimport (
    MAX_ROUNDS, STAGE_COMMITMENT, STAGE_DISK, STAGE_PRECOPY, STAGE_RESERVATION, STAGE_ROUND_END, STAGE_STOP_AND_COPY,
)
from xengym.machine.wide_area_state cimport Condition, DiskCopy
from xengym.mechanisms.disk_copy cimport delta_bytes, image_bytes, queued_bytes, to_apply_bytes, waiting_bytes
from xengym.mechanisms.precopy cimport all_dirty_pages, pages_to_send

import numpy as np

#: Name and meaning of each feature, in order.
MOVE_FEATURES = (
    ("asking", "1 while the destination is asked"),
    ("disk", "1 while the disk is copied"),
    ("precopy", "1 while memory is copied and the domain runs"),
    ("stopped", "1 while the domain stands still"),
    ("image_left", "part of the image that the bulk copy has not sent"),
    ("queue", "deltas that are not sent, s of the line / (s + 10)"),
    ("waiting", "deltas at the destination whose block is not there yet, of the image / (x + 0.1)"),
    ("to_apply", "deltas at the destination to be applied, s of its disk / (s + 10)"),
    ("writes", "deltas recorded in the last interval, of the line's rate / (x + 1)"),
    ("wanted_writes", "writes that the domain wanted to make in it, likewise"),
    ("held_up", "part of them that throttling held up"),
    ("delay", "by which a write is held up now, ms / (ms + 5)"),
    ("threshold", "part of the threshold of writes that has been reached"),
    ("round", "number of the round / (number + 5)"),
    ("round_left", "part of the round's pages that it has not gone through"),
    ("dirty", "pages dirtied since the round began, of the memory"),
    ("stop_time", "time to send them, s of the line / (s + 10): about the downtime, were the round over"),
    ("last_sent", "pages sent in the last round, s of the line / (s + 10)"),
    ("last_dirty_rate", "pages dirtied in the last round in its time, of the line's rate / (x + 1)"),
    ("before_last_sent", "pages sent in the round before the last one, as last_sent"),
    ("carried", "what the line carried for the move in the last interval, of its rate"),
    ("competing", "what others wanted of the line in it, of its rate / (x + 1)"),
    ("hurt", "part of that which they did not get"),
    ("line_down", "for how long the line has been down, of the move's patience"),
    ("limit", "the move's limit, of the line's rate; 1: none"),
    ("line_delay", "one way, ms / (ms + 50)"),
    ("size", "image and memory, s of the line / (s + 600)"),
    ("elapsed", "time since the beginning, in times of that, x / (x + 1)"),
    ("downtime", "so far, s / (s + 10)"),
    ("steps_left", "part of the episode's intervals that is left"),
)

assert len(MOVE_FEATURES) == NUM_FEATURES

cdef double PAGE_BYTES = 4096.0
cdef Sample _sample

SAMPLE_DTYPE = np.asarray(<Sample[:1]>&_sample).dtype


cdef void take_sample(const WideMove* w, Sample* sample) noexcept nogil:
    sample.now_ns = w.state.now_ns
    sample.downtime_ns = w.migration.downtime_ns
    sample.lost = w.redirection.lost
    sample.recorded_bytes = w.disk.num_writes * delta_bytes(w.disk)
    sample.wanted_writes = w.disk.wanted_writes
    sample.held_up_writes = w.disk.held_up_writes
    sample.carried_bytes = w.line.carried_bytes
    sample.others_wanted_bytes = w.line.others_wanted_bytes
    sample.others_got_bytes = w.line.others_got_bytes


cdef void subtract_sample(const Sample* now, const Sample* before, Sample* growth) noexcept nogil:
    growth.now_ns = now.now_ns - before.now_ns
    growth.downtime_ns = now.downtime_ns - before.downtime_ns
    growth.lost = now.lost - before.lost
    # Recording begins anew where a move is aborted.
    growth.recorded_bytes = max(0.0, now.recorded_bytes - before.recorded_bytes)
    growth.wanted_writes = now.wanted_writes - before.wanted_writes
    growth.held_up_writes = now.held_up_writes - before.held_up_writes
    growth.carried_bytes = now.carried_bytes - before.carried_bytes
    growth.others_wanted_bytes = now.others_wanted_bytes - before.others_wanted_bytes
    growth.others_got_bytes = now.others_got_bytes - before.others_got_bytes


cdef double nominal_s(const WideMove* w) noexcept nogil:
    return (image_bytes(w.disk) + <double>w.state.memory_pages * PAGE_BYTES) / w.line.bytes_per_s


cdef float _time_of(double pages, double line) noexcept nogil:
    return saturate(pages * PAGE_BYTES / line, 10.0)


cdef void encode_move(const WideMove* w, const Sample* growth, double steps_left_frac, float* obs) noexcept nogil:
    cdef int stage = w.migration.stage
    cdef const DiskCopy* disk = w.disk
    cdef double line = w.line.bytes_per_s
    cdef double seconds = max(1e-9, <double>growth.now_ns * 1e-9)
    cdef double share = 1.0 / (line * seconds)
    cdef double image = image_bytes(disk), nominal = nominal_s(w)
    cdef double dirty = <double>all_dirty_pages(w.memory)
    cdef bint is_asking = stage < STAGE_DISK
    cdef bint in_rounds = stage == STAGE_PRECOPY or stage == STAGE_ROUND_END
    cdef int ended = min(w.migration.round - (stage != STAGE_ROUND_END), MAX_ROUNDS)
    cdef double round_s
    obs[0] = is_asking
    obs[1] = stage == STAGE_DISK
    obs[2] = in_rounds
    obs[3] = stage >= STAGE_STOP_AND_COPY and w.state.source_runs + w.state.destination_runs == 0
    obs[4] = unit(1.0 - disk.copied_bytes / image)
    obs[5] = saturate(queued_bytes(disk) / line, 10.0)
    obs[6] = saturate(waiting_bytes(disk) / image, 0.1)
    obs[7] = saturate(to_apply_bytes(disk) / disk.apply_bytes_per_s, 10.0)
    obs[8] = saturate(growth.recorded_bytes * share, 1.0)
    obs[9] = saturate(growth.wanted_writes * delta_bytes(disk) * share, 1.0)
    obs[10] = unit(growth.held_up_writes / growth.wanted_writes if growth.wanted_writes > 0.0 else 0.0)
    obs[11] = saturate(<double>disk.delay_ns * 1e-6, 5.0)
    obs[12] = unit(disk.num_writes / <double>disk.threshold_writes if disk.threshold_writes > 0 else 1.0)
    obs[13] = saturate(<double>w.migration.round, 5.0)
    obs[14] = unit(1.0 - w.migration.scanned) if stage == STAGE_PRECOPY or stage == STAGE_STOP_AND_COPY else <float>0.0
    obs[15] = unit(dirty / <double>w.state.memory_pages if w.migration.round > 0 else 0.0)
    obs[16] = _time_of(dirty if in_rounds else 0.0, line)
    obs[17] = obs[18] = obs[19] = 0.0
    if ended > 0:
        round_s = max(1e-9, <double>w.migration.round_ns_of[ended - 1] * 1e-9)
        obs[17] = _time_of(<double>w.migration.sent_pages_of[ended - 1], line)
        obs[18] = saturate(<double>w.migration.dirtied_pages_of[ended - 1] * PAGE_BYTES / round_s / line, 1.0)
    if ended > 1:
        obs[19] = _time_of(<double>w.migration.sent_pages_of[ended - 2], line)
    obs[20] = unit(growth.carried_bytes * share)
    obs[21] = saturate(growth.others_wanted_bytes * share, 1.0)
    obs[22] = unit(
        1.0 - growth.others_got_bytes / growth.others_wanted_bytes if growth.others_wanted_bytes > 0.0 else 0.0)
    obs[23] = unit(<double>w.line.down_ns / <double>w.line.patience_ns)
    obs[24] = unit(w.line.limit_bytes_per_s / line if w.line.limit_bytes_per_s > 0.0 else 1.0)
    obs[25] = saturate(<double>w.line.delay_ns * 1e-6, 50.0)
    obs[26] = saturate(nominal, 600.0)
    obs[27] = saturate(<double>w.state.now_ns * 1e-9 / nominal, 1.0)
    obs[28] = saturate(<double>w.migration.downtime_ns * 1e-9, 10.0)
    obs[29] = unit(steps_left_frac)
