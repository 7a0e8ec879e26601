"""Write the pages that say what the code says: one for each registered environment, from its docstring and tables.

`python docs/make_pages.py` writes them; `--check` exits with 1 if one is out of date.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from xengym.envs.host.env import HostEnv
from xengym.envs.host.observations import DOMAIN_FEATURES, HOST_FEATURES
from xengym.envs.host.rewards import REWARD_TERMS

DOCS = Path(__file__).parent


def host_page() -> str:
    """The page of `xengym/Host-v0`."""
    rows = [
        f"| {number} | `{name}` | 0 | 1 | {meaning} |"
        for number, (name, meaning) in enumerate(
            [
                *DOMAIN_FEATURES,
                ("weight", "the parameter, as its action scaled to 0..1"),
                ("cap", "the parameter, as its action scaled to 0..1; 0.5: none"),
            ]
        )
    ]
    host_rows = [
        f"| {number} | `{name}` | 0 | 1 | {meaning} |" for number, (name, meaning) in enumerate(HOST_FEATURES, start=88)
    ]
    terms = [f"| `{name}` | {meaning} |" for name, meaning in REWARD_TERMS]
    return "\n".join(
        [
            "<!-- written by docs/make_pages.py from the code -->",
            "# xengym/Host-v0",
            "",
            "![a frame of rgb_array rendering](images/host-v0.png)",
            "",
            inspect.cleandoc(HostEnv.__doc__ or ""),
            "",
            "## Observation table",
            "Features of domain slot 0; those of slot d begin at index 11 d.",
            "",
            "| index | name | min | max | meaning |",
            "|--:|---|--:|--:|---|",
            *rows,
            "",
            "Features of the host, with the default of 8 domain slots:",
            "",
            "| index | name | min | max | meaning |",
            "|--:|---|--:|--:|---|",
            *host_rows,
            "",
            "## Reward terms",
            "| term | meaning |",
            "|---|---|",
            *terms,
            "",
        ]
    )


PAGES = {"host-v0.md": host_page}


def main() -> int:
    """Write or check every page."""
    stale = []
    for name, make in PAGES.items():
        path = DOCS / name
        text = make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'out of date' if '--check' in sys.argv else 'written'}: {', '.join(stale)}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
