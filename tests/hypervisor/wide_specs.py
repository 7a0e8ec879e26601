"""Moves between sites with round numbers, for tests."""

from xengym.hypervisor.move_spec import MoveSpec
from xengym.hypervisor.wide_move import WideMove
from xengym.hypervisor.wide_spec import AudienceSpec, ConditionSpec, DiskSpec, Extent, LineSpec, WideSpec
from xengym.machine.memory_model import MemoryModel, Region

SECOND = 1_000_000_000
#: A line of 1 000 000 bytes a second.
MEGABYTE_LINE = 8.0
STEADY = (ConditionSpec(),)


def memory(pages=1000, hot=50, writes_per_s=200.0):
    regions = (Region(hot, writes_per_s), Region(pages - hot)) if hot else (Region(pages),)
    return MemoryModel(regions)


def wide_move(
    *,
    writes_per_s=0.0,
    mib=16.0,
    mbit=MEGABYTE_LINE,
    kind="live",
    delay_ms=0.0,
    pages=1000,
    hot=50,
    conditions=STEADY,
    decides="rules",
    freezes=False,
    has_disk=True,
    seed=0,
    extents=None,
    line=None,
    audience=None,
    move=None,
    **disk,
):
    """A move that has not begun. Blocks and deltas of 4096 bytes, nothing lost to recording, unless said otherwise."""
    order = {
        "kind": kind, "min_mbit_per_s": mbit, "max_mbit_per_s": mbit, "law": "constant", "stop_rule": "shipped",
        "request_ms": 0, "suspend_ms": 0, "resume_ms": 0, "commit_ms": 0, "has_disk": has_disk,
    }  # fmt: skip
    spec = WideSpec(
        MoveSpec(**(order | (move or {}))),
        memory(pages, hot),
        DiskSpec(
            extents or (Extent(mib, writes_per_s),),
            **({"header_bytes": 0, "record_overhead_frac": 0.0, "apply_mib_per_s": 1000.0} | disk),
        ),
        LineSpec(mbit, delay_ms, **(line or {})),
        AudienceSpec(**({"num_clients": 0} | (audience or {}))),
        conditions,
        decides,
        freezes,
        seed,
    )
    return WideMove(spec)
