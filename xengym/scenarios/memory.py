"""The part of a scenario that describes memory: demand that changes, and what moving memory costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from xengym.guests.programs import MAX_PHASES, Memory, hot_and_cold
from xengym.machine.memory_costs import PAGES_PER_MIB, MemoryCosts
from xengym.scenarios.closed import Closed, DistributionConfig, Fraction, NonNegativeMs, PositiveMs
from xengym.sim.random import DistributionSpec
from xengym.units import MS_NS, ms_to_ns, s_to_ns, us_to_ns

#: Memory of a host or a domain, MiB; at most 4 TiB.
Mib = Annotated[int, Field(ge=1, le=2**22)]
_COSTS = MemoryCosts()


class PhaseConfig(Closed):
    """A part of a program's life.

    Attributes:
        s: mean length.
        mib: working set.
    """

    s: PositiveFloat
    mib: Mib


class MemoryConfig(Closed):
    """Requests that need CPU time and memory; the working set goes through phases, round and round.

    Attributes:
        arrival: time between requests.
        service: CPU time of one, page faults apart.
        phases: working set through time.
        touches: different pages that a request touches.
        hot_frac: part of the working set that is hot.
        hot_touch_frac: part of touches that goes there.
        spread: the phases' lengths are uniform in mean * (1 - spread) .. mean * (1 + spread).
        starts_anywhere: each episode begins at another place of the round.
        write_frac: of evicted pages, those that have to be written to the swap disk.
    """

    kind: Literal["memory"]
    arrival: DistributionConfig
    service: DistributionConfig
    phases: Annotated[list[PhaseConfig], Field(min_length=1, max_length=MAX_PHASES)]
    touches: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    hot_frac: Fraction = 0.2
    hot_touch_frac: Fraction = 0.8
    spread: Fraction = 0.0
    starts_anywhere: bool = False
    write_frac: Fraction = 0.5


class MemoryCostsConfig(Closed):
    """What the balloon and the swap disk cost; sources in ``machine.memory_costs``.

    Attributes:
        hypercall_us: a batch of pages.
        page_us: and each of them, CPU time.
        retry_ms: until a balloon that got nothing asks again.
        swap_in_ms: the swap disk's time to read a page.
        swap_ahead_ms: to read one more that lies next to it.
        swap_out_ms: and to write one.
    """

    hypercall_us: Annotated[float, Field(ge=0, le=1e6)] = _COSTS.hypercall_ns / 1e3
    page_us: Annotated[float, Field(ge=0, le=1e6)] = _COSTS.page_ns / 1e3
    retry_ms: PositiveMs = _COSTS.retry_ns / 1e6
    swap_in_ms: NonNegativeMs = _COSTS.swap_in_ns / 1e6
    swap_ahead_ms: NonNegativeMs = _COSTS.swap_ahead_ns / 1e6
    swap_out_ms: NonNegativeMs = _COSTS.swap_out_ns / 1e6

    def costs(self) -> MemoryCosts:
        """The same in nanoseconds."""
        return MemoryCosts(
            us_to_ns(self.hypercall_us),
            us_to_ns(self.page_us),
            max(1, ms_to_ns(self.retry_ms)),
            ms_to_ns(self.swap_in_ms),
            ms_to_ns(self.swap_ahead_ms),
            ms_to_ns(self.swap_out_ms),
        )


def memory_program(program: MemoryConfig) -> Memory:
    """What a domain runs.

    Raises:
        ValueError: says what was expected.
    """
    phases = tuple((max(1, s_to_ns(phase.s)), phase.mib * PAGES_PER_MIB) for phase in program.phases)
    largest = max(pages for _, pages in phases)
    return Memory(
        _spec(program.arrival),
        _spec(program.service),
        phases,
        hot_and_cold(largest, program.hot_frac, program.hot_touch_frac),
        program.touches,
        program.spread,
        program.starts_anywhere,
        program.write_frac,
    )


def _spec(config: DistributionConfig) -> DistributionSpec:
    return DistributionSpec(config.kind, config.mean_ms * MS_NS, config.spread)
