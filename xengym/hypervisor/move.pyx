# No .pxd: only Python uses it.
"""One move on its own, driven from Python: for experiments in which the world is a rate and an activity."""
from libc.stdint cimport int64_t
from xengym.hypervisor.migration cimport (
    migration_begin, migration_disk_done, migration_fail, migration_follow_rules, migration_next_round, migration_run,
    migration_stop, migration_wanted_bytes_per_s,
)
from xengym.machine.migration_state cimport (
    MAX_ROUNDS, REASON_LINK, STAGE_DISK, STAGE_DONE, STAGE_NONE, STAGE_ROUND_END, Migration, WorkingSet,
)
from xengym.mechanisms.precopy cimport all_dirty_pages
from xengym.mechanisms.working_set cimport clear_log, region_pages, write_for

from typing import NamedTuple

from xengym.machine.migration_state import REASONS, STAGES


class Round(NamedTuple):
    """One round of a move; the last one is the stop-and-copy."""

    duration_ns: int
    sent_pages: int
    skipped_pages: int
    dirtied_pages: int
    asked_bytes_per_s: float


cdef class Move:
    """A move and the memory that is moved.

    Args:
        memory: ``machine.memory_model.MemoryModel``.
        spec: ``hypervisor.move_spec.MoveSpec``.

    Attributes:
        migration: ``MIGRATION_DTYPE`` array of shape ``(1,)``, live.
        working_set: ``WORKING_SET_DTYPE`` array of shape ``(1,)``, live.
    """

    cdef readonly object migration
    cdef readonly object working_set
    cdef Migration* g
    cdef WorkingSet* ws

    def __init__(self, memory, spec):
        self.migration = spec.record()
        self.working_set = memory.record()
        cdef Migration[::1] g = self.migration
        cdef WorkingSet[::1] ws = self.working_set
        self.g = &g[0]
        self.ws = &ws[0]

    @property
    def stage(self):
        """Name of the present stage, one of ``machine.migration_state.STAGES``."""
        return STAGES[self.g.stage]

    @property
    def reason(self):
        """Why it was aborted; "" if it was not."""
        return REASONS[self.g.reason]

    @property
    def elapsed_ns(self):
        """Since it began."""
        return self.g.elapsed_ns

    @property
    def downtime_ns(self):
        """Time that the domain has stood still."""
        return self.g.downtime_ns

    @property
    def sent_bytes(self):
        """In all rounds that have ended."""
        return self.g.sent_bytes

    @property
    def memory_pages(self):
        """Of the domain."""
        return region_pages(self.ws) + self.ws.free_pages

    @property
    def is_over(self):
        """Done or aborted."""
        return self.g.stage >= STAGE_DONE

    @property
    def wanted_bytes_per_s(self):
        """What it would send now."""
        return migration_wanted_bytes_per_s(self.g)

    @property
    def rounds(self):
        """The rounds that have ended (at most 40), the stop-and-copy as the last: a list of ``Round``."""
        g = self.migration[0]
        ended = min(self.g.round - (not self.is_over and self.g.stage != STAGE_ROUND_END), MAX_ROUNDS)
        names = ("round_ns_of", "sent_pages_of", "skipped_pages_of", "dirtied_pages_of", "rate_of")
        return [Round(*(g[name][i].item() for name in names)) for i in range(max(0, ended))]

    def begin(self):
        """Begin with stage 0."""
        if self.g.stage != STAGE_NONE:
            raise ValueError(f"begin: the move is in stage {self.stage!r} already")
        migration_begin(self.g)

    def run(self, int64_t dt_ns, double bytes_per_s, double activity=1.0):
        """Let at most ``dt_ns`` pass; returns the time that passed, less if a stage or a round ended."""
        if dt_ns < 0 or bytes_per_s < 0 or not 0 <= activity:
            raise ValueError(f"run: nothing may be negative, found {dt_ns} ns, {bytes_per_s} bytes/s, activity {activity}")
        return migration_run(self.g, self.ws, dt_ns, bytes_per_s, activity)

    def next_round(self, double bytes_per_s):
        """At the end of a round: begin another at this rate."""
        self._at(STAGE_ROUND_END, "next_round")
        migration_next_round(self.g, self.ws, bytes_per_s)

    def stop(self):
        """At the end of a round: stop the domain and send the rest."""
        self._at(STAGE_ROUND_END, "stop")
        migration_stop(self.g, self.ws)

    def follow_rules(self):
        """At the end of a round: do what the law and the stop rule say."""
        self._at(STAGE_ROUND_END, "follow_rules")
        migration_follow_rules(self.g, self.ws)

    def disk_done(self):
        """The destination has the disk: memory follows."""
        self._at(STAGE_DISK, "disk_done")
        migration_disk_done(self.g, self.ws)

    def fail(self, int reason=REASON_LINK):
        """Something fails now; returns whether the move is aborted (before the destination's acknowledgement it is)."""
        return migration_fail(self.g, self.ws, reason)

    def finish(self, double link_bytes_per_s, *, double activity=1.0):
        """Run to the end by its own rules; the stream gets what it wants, at most the link's rate."""
        while not self.is_over:
            if self.g.stage == STAGE_ROUND_END:
                self.follow_rules()
            self.run(<int64_t>1 << 50, min(self.wanted_bytes_per_s, link_bytes_per_s), activity)

    def dirty_after_ns(self, int64_t dt_ns):
        """Pages that would be dirty ``dt_ns`` after the log is cleared now; clears it."""
        clear_log(self.ws)
        write_for(self.ws, dt_ns, 1.0, False)
        return all_dirty_pages(self.ws)

    def _at(self, int stage, what):
        if self.g.stage != stage:
            raise ValueError(f"{what}: expected stage {STAGES[stage]!r}, but the move is in {self.stage!r}")
