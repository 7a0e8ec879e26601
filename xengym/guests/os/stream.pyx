"""The ends of a migration's stream: a process in Dom0 that sends a domain's memory, and one that takes it.

The sender works on a piece of 64 KiB (it maps the pages and copies them to its socket) and sends it as one large packet that
the card cuts up; the next piece is due when the asked rate says so, but no more than 2 MiB may be under way. The taker is fed
what has left the sender, and works on each 64 KiB that arrive before they count. So a stream competes with the guests for
Dom0's processors and for the cable, and whichever is shortest sets its pace. What a piece costs beside the packets' own
costs is a parameter, fitted so that a sender uses 12 % of a CPU at 100 Mbit/s (Clark et al., NSDI 2005, section 6.2).
"""
from libc.stdint cimport int64_t
from libc.string cimport memset
from xengym.guests.os.clients cimport OsClients
from xengym.guests.os.program_state cimport Stream
from xengym.guests.os.programs cimport JOB_SHIFT, JOB_STREAM, OWNER_STREAM
from xengym.guests.os.transport cimport SIDE_CLIENT
from xengym.hypervisor.core cimport HostCore
from xengym.machine.io_state cimport FLOW_BULK, OUTSIDE, Half, Packet
from xengym.machine.state cimport device_timer
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm

from xengym.guests.os.program_state import STREAM_DTYPE

cdef int64_t PIECE_BYTES = 65_536
cdef int64_t OUTSIDE_BYTES = 1500      # of a packet that comes in
cdef int OUT_WINDOW = 32               # pieces under way
cdef int IN_WINDOW = 256               # packets under way
cdef int64_t RETRY_NS = 500_000        # until a sender whose window was full looks again; assumed
cdef int64_t S_NS = 1_000_000_000


cdef class OsStream(OsClients):
    """Streams of migrations.

    Args:
        max_streams: ends that there may be at once.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, *, int max_streams=0, **limits):
        OsClients.__init__(self, costs, max_domains, max_vcpus, **limits)
        self.max_streams = max_streams
        self.first_stream_timer = OsClients.num_device_timers(self)

    def num_device_timers(self):
        return OsClients.num_device_timers(self) + self.max_streams

    def sections(self, max_vcpus, max_domains):
        own = [("stream", STREAM_DTYPE, self.max_streams)] if self.max_streams else []
        return [*OsClients.sections(self, max_vcpus, max_domains), *own]

    def bind(self, HostCore host, int number, views):
        OsClients.bind(self, host, number, views)
        cdef Stream[::1] stream
        if self.max_streams:
            stream = views["stream"]
            self.stream = &stream[0]
        for s in range(self.max_streams):
            self.stream[s].domain = -1

    def open_stream(self, int d, bint is_outgoing, int64_t cpu_ns, *, int nic=0):
        """A stream from domain slot ``d`` through card ``nic``, or to it; ``cpu_ns``: work on each 64 KiB.

        Returns:
            The stream's number.
        """
        cdef Stream* stream
        for s in range(self.max_streams):
            if self.stream[s].domain < 0:
                break
        else:
            raise ValueError(f"no room for another stream; the host holds its maximum of {self.max_streams}")
        cdef int f
        if is_outgoing:
            f = self.open_flow(d, OUTSIDE, nic, OUT_WINDOW, OWNER_STREAM, s)
        else:
            f = self.open_flow(OUTSIDE, d, nic, IN_WINDOW, OWNER_STREAM, s)
        if f < 0:
            raise ValueError(f"no room for another connection; the host holds its maximum of {self.max_flows}")
        stream = &self.stream[s]
        memset(stream, 0, sizeof(Stream))
        stream.domain = d
        stream.flow = f
        stream.is_outgoing = is_outgoing
        stream.cpu_ns = cpu_ns
        self.flow[f].state = FLOW_BULK
        self.flow[f].mss[SIDE_CLIENT] = <int>(PIECE_BYTES if is_outgoing else OUTSIDE_BYTES)
        return s

    def set_stream_rate(self, int s, int64_t bytes_per_s):
        """Let a stream send at most so much from now on; 0: it rests."""
        cdef Stream* stream = &self.stream[s]
        cdef bint rested = stream.bytes_per_s == 0
        stream.bytes_per_s = bytes_per_s
        if rested and bytes_per_s > 0:
            stream.due_ns = max(stream.due_ns, self.m.clock.now_ns)
            timer_arm_hypervisor(self.m, device_timer(self.m, self.first_stream_timer + s), stream.due_ns)
        elif bytes_per_s == 0:
            timer_disarm(self.m, device_timer(self.m, self.first_stream_timer + s))

    def feed_stream(self, int s, int64_t num_bytes):
        """So much has left the sender for the stream's domain: it comes in by the cable now."""
        cdef Stream* stream = &self.stream[s]
        cdef Half* half
        stream.fed_bytes += num_bytes
        if stream.flow < 0:
            return
        half = &self.half[2 * stream.flow + SIDE_CLIENT]
        half.end = max(half.end, stream.fed_bytes // OUTSIDE_BYTES)
        half.message = half.end - 1
        half.message_bytes = OUTSIDE_BYTES
        if half.next == half.acked:
            half.progress_at_ns = self.m.clock.now_ns
        self._push(stream.flow, SIDE_CLIENT)

    def close_stream(self, int s):
        """The stream ends; what was under way is lost."""
        cdef Stream* stream = &self.stream[s]
        timer_disarm(self.m, device_timer(self.m, self.first_stream_timer + s))
        if stream.flow >= 0:
            self.close_flow(stream.flow)
        stream.domain = -1

    def destroyed(self, int d):
        for s in range(self.max_streams):
            if self.stream[s].domain == d:
                self.close_stream(s)
        OsClients.destroyed(self, d)

    # -- sending -------------------------------------------------------------------------------------------------

    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil:
        cdef int s = number - self.first_stream_timer
        cdef Stream* stream
        cdef Half* half
        if s < 0:
            OsClients.device_timer(self, number, now_ns)
            return
        stream = &self.stream[s]
        if stream.flow < 0 or stream.bytes_per_s == 0:
            return
        half = &self.half[2 * stream.flow + SIDE_CLIENT]
        if stream.is_working:
            return  # it goes on when the piece is done
        if half.end - half.acked >= OUT_WINDOW:
            timer_arm_hypervisor(self.m, device_timer(self.m, number), now_ns + RETRY_NS)
            return
        stream.is_working = 1
        stream.pieces += 1
        stream.due_ns = max(now_ns - RETRY_NS, stream.due_ns) + PIECE_BYTES * S_NS // stream.bytes_per_s
        self.put_job(stream.domain, (JOB_STREAM << JOB_SHIFT) | s)

    cdef int64_t stream_work_ns(self, int job) noexcept nogil:
        return self.stream[job & ((1 << JOB_SHIFT) - 1)].cpu_ns

    cdef void stream_worked(self, int job) noexcept nogil:
        cdef int s = job & ((1 << JOB_SHIFT) - 1)
        cdef Stream* stream = &self.stream[s]
        if stream.domain < 0 or not stream.is_working:
            return
        stream.is_working = 0
        if stream.is_outgoing:
            self._send_piece(s)
            if stream.bytes_per_s > 0:
                timer_arm_hypervisor(
                    self.m, device_timer(self.m, self.first_stream_timer + s), max(stream.due_ns, self.m.clock.now_ns)
                )
            return
        stream.owed_bytes -= PIECE_BYTES
        stream.done_bytes += PIECE_BYTES
        if stream.owed_bytes >= PIECE_BYTES:
            stream.is_working = 1
            self.put_job(stream.domain, (JOB_STREAM << JOB_SHIFT) | s)

    cdef void _send_piece(self, int s) noexcept nogil:
        cdef int f = self.stream[s].flow
        cdef Half* half
        if f < 0:
            return
        half = &self.half[2 * f + SIDE_CLIENT]
        if half.next == half.acked:
            half.progress_at_ns = self.m.clock.now_ns
        half.message = half.end
        half.message_bytes = PIECE_BYTES
        half.end += 1
        self._push(f, SIDE_CLIENT)

    # -- arriving ------------------------------------------------------------------------------------------------

    cdef void data_arrived(self, int f, int side, Packet* packet) noexcept nogil:
        cdef Stream* stream
        if self.flow[f].owner != OWNER_STREAM:
            OsClients.data_arrived(self, f, side, packet)
            return
        stream = &self.stream[self.flow[f].cookie]
        stream.arrived_bytes += packet.bytes
        if stream.is_outgoing:
            stream.done_bytes += packet.bytes
            return
        stream.owed_bytes += packet.bytes
        if stream.owed_bytes >= PIECE_BYTES and not stream.is_working:
            stream.is_working = 1
            stream.pieces += 1
            self.put_job(stream.domain, (JOB_STREAM << JOB_SHIFT) | self.flow[f].cookie)

    cdef void message_arrived(self, int f, int side) noexcept nogil:
        if self.flow[f].owner != OWNER_STREAM:
            OsClients.message_arrived(self, f, side)

    cdef void flow_failed(self, int f) noexcept nogil:
        if self.flow[f].owner == OWNER_STREAM:
            self.stream[self.flow[f].cookie].flow = -1
            return
        OsClients.flow_failed(self, f)
