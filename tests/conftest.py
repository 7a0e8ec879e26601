"""What tests rely on: a current kernel, reproducible Hypothesis examples, real data where there is any."""

import importlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# An editable install compiles what changed when it is first imported. Doing that here, before pytest-xdist
# starts its workers, keeps two workers from compiling into one folder at once.
importlib.import_module("xengym")

# The same examples on every run and no database: a failure in one place is a failure everywhere.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60, database=None, print_blob=True)
# Many new examples each time; run with HYPOTHESIS_PROFILE=nightly, and pin what it finds with @example.
settings.register_profile(
    "nightly",
    derandomize=False,
    deadline=None,
    max_examples=2000,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real traces and measured behaviour, which cannot be shipped with the project.

    ``XENGYM_SHARED`` names it; otherwise it is ``shared`` beside the repository. Tests skip without it.
    """
    named = os.environ.get("XENGYM_SHARED")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            pytest.fail(f"XENGYM_SHARED names {named!r}, which is no folder: correct it or unset it")
        return folder
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs real data: set XENGYM_SHARED to its folder, or put it in ../shared")
    return folder
