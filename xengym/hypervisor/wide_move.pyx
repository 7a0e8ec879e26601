"""One move between two sites as an object: begun, let run, disturbed and looked at from Python."""
from libc.stdint cimport int64_t
from xengym.hypervisor.migration cimport belongs_to_destination, is_under_way
from xengym.hypervisor.wide_area cimport live_copies, wide_begin, wide_fail, wide_run
from xengym.machine.migration_state cimport REASON_NONE, STAGE_NONE, Migration, WorkingSet
from xengym.machine.wide_area_state cimport Client, Condition, DiskCopy, Line, Redirection, WideState
from xengym.mechanisms.disk_copy cimport queued_bytes, waiting_bytes
from xengym.mechanisms.redirection cimport old_connections, open_connections
from xengym.sim.random cimport STREAM_CLIENTS, stream_key

import numpy as np

from xengym.machine.migration_state import REASONS, STAGES
from xengym.machine.wide_area_state import DECIDERS, WIDE_STATE_DTYPE
from xengym.units import ms_to_ns, s_to_ns

#: The parts that make up the state, in the order of `WideMove.parts_of_state`.
_PARTS = ("migration", "memory", "disk", "line", "redirection", "clients", "conditions", "state")


cdef class WideMove:
    """A move and everything that it concerns; the arrays are live.

    Args:
        spec: ``hypervisor.wide_spec.WideSpec``.

    Attributes:
        spec: likewise.
        migration: ``MIGRATION_DTYPE`` of shape ``(1,)``, the engine's state.
        memory: ``WORKING_SET_DTYPE`` of shape ``(1,)``.
        disk: ``DISK_DTYPE`` of shape ``(1,)``.
        line: ``LINE_DTYPE`` of shape ``(1,)``.
        redirection: ``REDIRECTION_DTYPE`` of shape ``(1,)``.
        clients: ``CLIENT_DTYPE`` of shape ``(num_clients,)``.
        conditions: ``CONDITION_DTYPE`` of shape ``(num_conditions,)``.
        state: ``WIDE_STATE_DTYPE`` of shape ``(1,)``.
    """

    def __init__(self, spec):
        cdef int i
        self.spec = spec
        self.migration = spec.move.record()
        self.migration["request_ns"] += 2 * ms_to_ns(spec.line.delay_ms)
        self.migration["commit_ns"] += 2 * ms_to_ns(spec.line.delay_ms)
        self.memory = spec.memory.record()
        self.disk = spec.disk.record()
        self.line = spec.line.record()
        self.redirection = spec.audience.record()
        self.clients = spec.audience.clients()
        self.conditions = spec.condition_records()
        self.state = np.zeros(1, dtype=WIDE_STATE_DTYPE)
        self.state["num_conditions"] = len(self.conditions)
        self.state["freezes"] = spec.freezes
        self.state["decides"] = DECIDERS.index(spec.decides)
        for name in ("source_lives", "destination_lives", "source_runs"):
            self.state[name] = 1
        cdef Migration[::1] migration = self.migration
        cdef WorkingSet[::1] memory = self.memory
        cdef DiskCopy[::1] disk = self.disk
        cdef Line[::1] line = self.line
        cdef Redirection[::1] redirection = self.redirection
        cdef Client[::1] clients = self.clients
        cdef Condition[::1] conditions = self.conditions
        cdef WideState[::1] state = self.state
        self.parts.migration = &migration[0]
        self.parts.memory = &memory[0]
        self.parts.disk = &disk[0]
        self.parts.line = &line[0]
        self.parts.redirection = &redirection[0]
        self.parts.clients = &clients[0]
        self.parts.conditions = &conditions[0]
        self.parts.state = &state[0]
        redirection[0].key = stream_key(spec.seed, STREAM_CLIENTS, 0)
        for i in range(redirection[0].num_clients):
            # As if each were somewhere in its thinking.
            clients[i].next_ns = (i + 1) * s_to_ns(spec.audience.think_s) // redirection[0].num_clients

    def parts_of_state(self):
        """Everything that decides how it goes on: a list of copies."""
        return [getattr(self, name).copy() for name in _PARTS]

    def set_parts_of_state(self, parts):
        """Return to what ``parts_of_state`` gave, of this move or of one with the same specification."""
        for name, part in zip(_PARTS, parts, strict=True):
            getattr(self, name)[:] = part

    def begin(self):
        """Ask the destination."""
        if self.parts.migration.stage != STAGE_NONE:
            raise ValueError(f"begin: the move is in stage {self.stage!r} already")
        wide_begin(&self.parts)

    def run(self, int64_t dt_ns, bint until_over=False):
        """Let ``dt_ns`` pass, or until the move is over; returns the time that passed."""
        if dt_ns < 0:
            raise ValueError(f"run: time cannot be negative, found {dt_ns} ns")
        return wide_run(&self.parts, dt_ns, until_over)

    def finish(self, int64_t within_ns):
        """Run until it is over, at most so long; returns whether it is."""
        wide_run(&self.parts, within_ns, True)
        return self.is_over

    def fail(self, int reason):
        """Something fails now (``machine.migration_state.REASONS``); returns whether that ends the move."""
        if not REASON_NONE < reason < len(REASONS):
            raise ValueError(f"fail: expected a reason in 1..{len(REASONS) - 1}, found {reason}")
        return wide_fail(&self.parts, reason)

    def refuse(self, int reason):
        """The destination will answer no, with this reason, when it is asked."""
        self.parts.state.refuses = reason

    def cut_line(self):
        """The line goes down."""
        self.parts.line.is_cut = 1

    def mend_line(self):
        """The line is up again."""
        self.parts.line.is_cut = 0

    def throttle(self, int64_t threshold_writes, double delay_ms):
        """Hold writes up from now on; a delay of 0 does not."""
        if threshold_writes < 0 or delay_ms < 0:
            raise ValueError(f"throttle: nothing may be negative, found {threshold_writes} writes and {delay_ms} ms")
        self.parts.disk.threshold_writes = threshold_writes
        self.parts.disk.delay_ns = ms_to_ns(delay_ms)

    def limit(self, double mbit_per_s):
        """Limit the whole move; 0: no limit."""
        if mbit_per_s < 0:
            raise ValueError(f"limit: a rate cannot be negative, found {mbit_per_s}")
        self.parts.line.limit_bytes_per_s = mbit_per_s * 125_000

    def want_stop(self, bint wants=True):
        """Under ``decides="request"``: stop the domain at the end of this round, or not."""
        self.parts.state.wants_stop = wants

    @property
    def now_ns(self):
        """Since the beginning."""
        return self.parts.state.now_ns

    @property
    def stage(self):
        """Name of the present stage, one of ``machine.migration_state.STAGES``."""
        return STAGES[self.parts.migration.stage]

    @property
    def reason(self):
        """Why it was aborted; "" if it was not."""
        return REASONS[self.parts.migration.reason]

    @property
    def is_over(self):
        """Done or aborted."""
        return self.stage in ("done", "aborted")

    @property
    def is_under_way(self):
        """Begun and not over."""
        return bool(is_under_way(self.parts.migration))

    @property
    def elapsed_ns(self):
        """That the move has taken."""
        return self.parts.migration.elapsed_ns

    @property
    def downtime_ns(self):
        """That the domain has stood still."""
        return self.parts.migration.downtime_ns

    @property
    def owner(self):
        """Whose the domain is: ``source`` or ``destination``."""
        return "destination" if belongs_to_destination(self.parts.migration) else "source"

    @property
    def live_copies(self):
        """How many copies of the domain run now."""
        return live_copies(&self.parts)

    @property
    def queued_bytes(self):
        """Of deltas that the destination does not have."""
        return queued_bytes(self.parts.disk)

    @property
    def waiting_bytes(self):
        """Of deltas that the destination has and may not apply yet."""
        return waiting_bytes(self.parts.disk)

    @property
    def carried_bytes(self):
        """That the line has carried for the move."""
        return self.parts.line.carried_bytes

    @property
    def open_connections(self):
        """Now."""
        return open_connections(self.parts.redirection, self.parts.clients)

    @property
    def old_connections(self):
        """To the old address, now."""
        return old_connections(self.parts.redirection, self.parts.clients)
