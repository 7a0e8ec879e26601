"""One request's way through the host, step by step: from its client to the program that answers it, and back.

The steps are those of the survey's figure 8 (after Gupta et al. 2006), in which a packet is received: (1) it arrives
at the card, (2) the card interrupts, (3) the driver domain gets a virtual interrupt, (4) its driver takes it, (5) it
goes to the back end, (6) the page changes hands and the guest is notified, (7) the guest is scheduled and handles the
interrupt, (8) the front end passes the packet on. The way back has the same stations in the other direction.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from xengym.hypervisor.host import Host
from xengym.render.text_table import text_table
from xengym.sim.trace_kinds import TraceKind

#: Where a step happens, from the outside in.
LANES = ("outside", "card", "hypervisor", "driver domain", "guest")


class Step(NamedTuple):
    """One step of a request's way.

    Attributes:
        at_ns: when.
        lane: where, one of ``LANES``.
        figure: number of the step in the survey's figure 8 (receiving), or 0.
        text: what happens.
        num_packets: packets with this step at once.
    """

    at_ns: int
    lane: str
    figure: int
    text: str
    num_packets: int = 1


#: Steps that carry the request's number: lane, number in figure 8, text.
_OF_REQUEST = {
    TraceKind.CLIENT_SEND: ("outside", 0, "the client sends its request"),
    TraceKind.NIC_IN: ("card", 1, "a packet arrives in a receive buffer"),
    TraceKind.ROUTED: ("driver domain", 5, "its driver has taken the packet; it goes to the back end of {domain}"),
    TraceKind.BACKEND_RX: ("driver domain", 6, "the back end puts it into the ring of {domain} and notifies it"),
    TraceKind.FRONTEND_RX: ("guest", 8, "the front end of {domain} passes it to the protocols"),
    TraceKind.PROGRAM: ("guest", 0, "a program of {domain} begins to work on the request"),
    TraceKind.BLOCK_QUEUED: ("guest", 0, "{domain} puts a block request into its ring"),
    TraceKind.BLOCK_DONE: ("guest", 0, "the block request of {domain} is answered"),
    TraceKind.FRONTEND_TX: ("guest", 0, "{domain} puts a packet into its transmit ring"),
    TraceKind.BACKEND_TX: ("driver domain", 0, "the back end takes it"),
    TraceKind.NIC_OUT: ("card", 0, "the card has it"),
    TraceKind.PACKET_LOST: ("driver domain", 0, "a packet is lost"),
    TraceKind.CLIENT_DONE: ("outside", 0, "the client has the whole answer"),
}

#: What the request waits for next: until then interrupts and scheduling are part of its way.
_NEXT = {
    TraceKind.ROUTED: "put",
    TraceKind.BACKEND_RX: "receive",
    TraceKind.FRONTEND_RX: "answer",
    TraceKind.FRONTEND_TX: "take",
    TraceKind.BACKEND_TX: "end",
}


def requests_of(records: NDArray[Any], slot: int) -> list[int]:
    """Numbers of the requests to a domain slot that were sent and answered while the trace was on, in order."""
    sent = records[(records["kind"] == TraceKind.CLIENT_SEND) & (records["other"] == slot)]["value"]
    done = set(records[(records["kind"] == TraceKind.CLIENT_DONE) & (records["other"] == slot)]["value"].tolist())
    return [int(number) for number in sent if int(number) in done]


def follow(host: Host, records: NDArray[Any], number: int) -> list[Step]:
    """The steps of one request, oldest first.

    Args:
        host: the machine, for the names of its domains.
        records: its trace.
        number: the request's.

    Raises:
        ValueError: the trace has no such request.
    """
    ends = records[(records["value"] == number) & (records["kind"] == TraceKind.CLIENT_DONE)]
    starts = records[(records["value"] == number) & (records["kind"] == TraceKind.CLIENT_SEND)]
    if not len(starts) or not len(ends):
        raise ValueError(f"the trace has no request {number} that was sent and answered")
    inside = records[(records["at_ns"] >= starts[0]["at_ns"]) & (records["at_ns"] <= ends[0]["at_ns"])]
    steps: list[Step] = []
    domid = host.sections["vcpu"]["domain"]
    backends = host.sections["domain_io"]["is_backend"]
    concerned: set[int] = set()
    waiting: dict[int, int] = {}
    wanted = "route"
    for record in inside:
        kind, slot = int(record["kind"]), int(record["other"])
        at_ns, vcpu = int(record["at_ns"]), int(record["vcpu"])
        if kind in _OF_REQUEST and int(record["value"]) == number:
            lane, figure, text = _OF_REQUEST[TraceKind(kind)]
            name = host.domain_names.get(slot, "outside")
            step = Step(at_ns, lane, figure, text.format(domain=name))
            if kind in (TraceKind.BACKEND_RX, TraceKind.CLIENT_SEND):
                concerned.add(slot)
            if steps and steps[-1][:4] == step[:4]:
                step = step._replace(num_packets=steps.pop().num_packets + 1)
            steps.append(step)
            wanted = _NEXT.get(TraceKind(kind), wanted)
        elif kind == TraceKind.INTERRUPT and wanted == "route" and not any(step.figure == 2 for step in steps):
            steps.append(Step(at_ns, "hypervisor", 2, "the card interrupts; Xen finds the domain with its driver"))
        elif kind == TraceKind.UPCALL and vcpu not in waiting:
            if (wanted in ("route", "take") and backends[slot]) or (wanted == "receive" and slot in concerned):
                figure = 3 if wanted == "route" else 0
                steps.append(Step(at_ns, "hypervisor", figure, f"{host.domain_names[slot]} gets a virtual interrupt"))
                waiting[vcpu] = at_ns
        elif kind == TraceKind.SWITCH and vcpu in waiting:
            slot = int(domid[vcpu])
            name = host.domain_names.get(slot, "?")
            lane, figure = ("driver domain", 4 * (wanted == "route")) if backends[slot] else ("guest", 7)
            waited_us = (at_ns - waiting.pop(vcpu)) / 1000
            steps.append(Step(at_ns, lane, figure, f"{name} is scheduled, after {waited_us:.1f} us"))
    return steps


def shows_all_steps(steps: list[Step]) -> bool:
    """Whether all eight steps of the survey's figure 8 are there; not if the driver was busy with packets already."""
    return {step.figure for step in steps} >= set(range(1, 9))


def steps_table(steps: list[Step]) -> str:
    """The steps as text: time since the first, time since the one before, where, what."""
    begin_ns = before_ns = steps[0].at_ns
    rows = []
    for step in steps:
        rows.append(
            [
                f"({step.figure})" if step.figure else "",
                step.lane,
                step.text + (f" ({step.num_packets} packets)" if step.num_packets > 1 else ""),
                f"{(step.at_ns - begin_ns) / 1000:.1f}",
                f"+{(step.at_ns - before_ns) / 1000:.1f}",
            ]
        )
        before_ns = step.at_ns
    return text_table(["fig 8", "where", "what", "us", "after"], rows, left=3)
