"""The kinds of trace records by name, for readers of ``Host.trace_records`` (see ``trace.pxd`` for their fields)."""

from __future__ import annotations

from enum import IntEnum


class TraceKind(IntEnum):
    """What a trace record tells."""

    SWITCH = 1
    CONTINUE = 2
    RUNSTATE = 3
    WAKE = 4
    BLOCK = 5
    SLEEP = 6
    YIELD = 7
    SEGMENT = 8
    JOB_SUBMIT = 9
    JOB_DONE = 10
    JOB_DROP = 11
    ADJUST = 12
    STARTED = 13
    DOMAIN_ADD = 14
    DOMAIN_REMOVE = 15
    NIC_IN = 16
    NIC_OUT = 17
    PACKET_LOST = 18
    BACKEND_RX = 19
    FRONTEND_RX = 20
    FRONTEND_TX = 21
    BACKEND_TX = 22
    BLOCK_QUEUED = 23
    BLOCK_DONE = 24
    PROGRAM = 25
    CLIENT_SEND = 26
    CLIENT_DONE = 27
    PAGE_TRANSFER = 28
    ROUTED = 29
    UPCALL = 30
    INTERRUPT = 31
    TICKLE = 32
    STOLEN = 33
    BOOST = 34
    ACTIVE = 35
    ACCOUNTING = 36
    CREDIT = 37
    PARK = 38
    RATELIMIT = 39
    PICKED = 40
    REPLENISH = 41
    RESET = 42
    REFUSED = 43
    BALLOON = 48


#: Added to the priority in a CREDIT record of a vCPU that is not on the active list.
INACTIVE = 1000
