"""`xengym run --follow-request`: which request is meant, and its way printed and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from xengym.hypervisor.host import Host
from xengym.render.follow import follow, requests_of, shows_all_steps, steps_table
from xengym.render.follow_picture import draw

#: So many requests are looked at for one that shows every step.
_MAX_LOOKED_AT = 50


class Follower(NamedTuple):
    """The request whose way is wanted: of a domain, the N-th (from 1), or the middle one (None)."""

    name: str
    slot: int
    position: int | None

    @classmethod
    def parse(cls, text: str, host: Host) -> Follower:
        """The request that NAME or NAME:N means; ValueError says what is wrong with it."""
        name, colon, position = text.partition(":")
        slots = {name: slot for slot, name in host.domain_names.items()}
        if name not in slots:
            raise ValueError(f"--follow-request: no domain {name!r}; this scenario has {', '.join(slots)}")
        if colon and not (position.isdecimal() and int(position) >= 1):
            raise ValueError(f"--follow-request: expected NAME or NAME:N with N from 1, found {text!r}")
        return cls(name, slots[name], int(position) if colon else None)

    def show(self, host: Host, picture: Path | None) -> None:
        """Print its way, and draw it if a file is given; the host's trace was on all the time."""
        records = host.trace_records()
        numbers = requests_of(records, self.slot)
        if not numbers:
            raise ValueError(
                f"--follow-request: no client's request to {self.name!r} was answered in {host.now_ns / 1e9:g} s"
            )
        if self.position is not None and self.position > len(numbers):
            raise ValueError(
                f"--follow-request: {self.name!r} answered {len(numbers)} requests in {host.now_ns / 1e9:g} s, "
                f"found {self.position}"
            )
        if self.position is None:
            # The middle one, or one near it that shows every step.
            middle = len(numbers) // 2
            nearby = [*range(middle, min(len(numbers), middle + _MAX_LOOKED_AT)), middle]
            index = next((i for i in nearby if shows_all_steps(follow(host, records, numbers[i]))), middle)
        else:
            index = self.position - 1
        steps = follow(host, records, numbers[index])
        title = f"request {index + 1} of {len(numbers)} to {self.name}, sent at {steps[0].at_ns / 1e9:.6f} s"
        print(title)
        print(steps_table(steps))
        if picture is not None:
            draw(steps, title, picture)
            print(f"drawn in {picture}")
