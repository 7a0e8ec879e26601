"""Memory of known programs, fitted to measurements: Clark et al., "Live migration of virtual machines", NSDI 2005.

Two sets. `RUNS` are the domains of the paper's migrations (its figures 8, 9, 11 and 12): regions fitted to the volumes
that each round sent, so that rates, times and downtime come out of the model (`apache`, of which the paper gives no
volumes, to the times of its first and its later rounds and to its downtime). `TRACES` are the 512 MB domains of its
trace study (figures 3 to 6): regions fitted to the expected downtime after one, two and three rounds at 128, 256 and
512 Mbit/s, read off the plots. The two SPECweb99 loads differ by a factor of four in what they write; the paper does
not say why. The dirty rates that go with figures 3 to 6 are about twice what the downtimes allow and are not used.

The paper's megabytes are 10**6 bytes (776 MB in 62 s are 100 Mbit/s).
"""

from __future__ import annotations

from xengym.machine.memory_model import PAGE_BYTES, MemoryModel, Region


def _domain(megabytes: int, *regions: Region) -> MemoryModel:
    """A domain of so many 10**6 bytes; what the regions leave is never written."""
    rest = megabytes * 1_000_000 // PAGE_BYTES - sum(region.pages for region in regions)
    return MemoryModel((Region(rest), *regions))


def _written_within(pages: int, seconds: float, *, stun_after: int = 0) -> Region:
    """Pages written at random, as many times a page and second as one over ``seconds``."""
    return Region(pages, pages / seconds, stun_after=stun_after)


#: The domains that the paper moved: section 6.2, 6.3, 6.4 and 6.5.
RUNS = {
    "apache": _domain(800, _written_within(3353, 0.047), _written_within(9994, 3.82), _written_within(17090, 46.8)),
    "specweb": _domain(800, _written_within(4889, 0.286), _written_within(6845, 1.56), _written_within(89722, 128.2)),
    "quake": _domain(64, _written_within(110, 0.0275), _written_within(406, 12.3), _written_within(15094, 11.5)),
    # Writes 256 MB through again and again, at 965 Mbit/s (its dirty rate in figure 12 is 950 to 985).
    "memory-writer": _domain(512, Region(62_500, 965e6 / 8 / PAGE_BYTES, "sweep")),
}

#: The domains of the trace study: section 5.1.
TRACES = {
    "kernel-build": _domain(
        512,
        _written_within(300, 0.02, stun_after=40),
        _written_within(4500, 0.3, stun_after=40),
        _written_within(2950, 4.0, stun_after=40),
    ),
    "oltp": _domain(512, _written_within(1360, 0.02), _written_within(6090, 4.0)),
    "quake3": _domain(512, _written_within(270, 0.006), _written_within(960, 4.0)),
    "specweb99": _domain(512, _written_within(8860, 0.02), _written_within(13710, 4.0)),
}

#: All by name, as configurations use them.
MEMORY_PRESETS = {**RUNS, **TRACES}
