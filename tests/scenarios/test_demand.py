"""Which demand is taken: the folder given, the environment variable, the generator; never one for another."""

import os
from pathlib import Path

import numpy as np
import pytest

from xengym.formats.planetlab import PlanetLabError
from xengym.scenarios.demand import DATA_VARIABLE, find_demand
from xengym.scenarios.synthetic_day import synthesize_day

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


def make_day(folder: Path, pct: int) -> Path:
    folder.mkdir(parents=True)
    for name in ("vm a", "vm b"):
        (folder / name).write_text(f"{pct}\n" * 288)
    return folder


def test_the_name_of_the_variable() -> None:
    assert DATA_VARIABLE == "XENGYM_DATA"


def test_the_folder_given(tmp_path: Path) -> None:
    folder = make_day(tmp_path / "planetlab" / "20110303", 7)
    source = find_demand(tmp_path, seed=0)
    assert source.origin == "planetlab"
    assert source.day.name == "20110303"
    assert source.day.vm_names == ("vm a", "vm b")
    assert (source.day.cpu_pct == 7).all()
    assert source.description == f"PlanetLab day 20110303, 2 VMs, from {folder}"


def test_the_earliest_of_several_days(tmp_path: Path) -> None:
    make_day(tmp_path / "20110409", 9)
    make_day(tmp_path / "20110303", 3)
    assert find_demand(tmp_path, seed=0).day.name == "20110303"
    assert find_demand(tmp_path / "20110409", seed=0).day.name == "20110409"


def test_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_day(tmp_path / "20110303", 3)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    source = find_demand(None, seed=0)
    assert source.origin == "planetlab"
    assert source.description == f"PlanetLab day 20110303, 2 VMs, from {tmp_path / '20110303'}"


def test_the_folder_given_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_day(tmp_path / "variable" / "20110303", 3)
    make_day(tmp_path / "given" / "20110409", 9)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "variable"))
    assert find_demand(tmp_path / "given", seed=0).day.name == "20110409"


@pytest.mark.parametrize("variable", [None, ""])
def test_the_generator_with_neither(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable is not None:
        monkeypatch.setenv(DATA_VARIABLE, variable)
    source = find_demand(None, seed=3)
    assert source.origin == "synthetic"
    np.testing.assert_array_equal(source.day.cpu_pct, synthesize_day(1052, seed=3).cpu_pct)
    assert source.description == (
        "synthetic day calibrated to the published statistics of PlanetLab 20110303 (no trace folder given), "
        "1052 VMs, seed 3"
    )


def test_a_folder_without_a_day_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlanetLabError) as caught:
        find_demand(tmp_path, seed=0)
    assert str(caught.value) == (
        f"{tmp_path}: found no PlanetLab day in the folder, expected a folder YYYYMMDD with one file per VM: "
        "this one, one in it, or one in its sub-folder planetlab"
    )


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlanetLabError) as caught:
        find_demand(tmp_path / "absent", seed=0)
    assert str(caught.value) == (f"{tmp_path / 'absent'}: found no folder there, expected one of PlanetLab days")


@pytest.mark.parametrize("name", ["", "absent"])
def test_the_variable_is_named_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / name))
    with pytest.raises(PlanetLabError, match=r"\(named by the environment variable XENGYM_DATA\), expected"):
        find_demand(None, seed=0)


def test_a_malformed_file_is_an_error(tmp_path: Path) -> None:
    folder = make_day(tmp_path / "20110303", 7)
    (folder / "vm b").write_text("7\nseven\n")
    with pytest.raises(PlanetLabError, match=r"vm b:2: found 'seven'"):
        find_demand(tmp_path, seed=0)


def test_the_real_day() -> None:
    shared = Path(os.environ.get("XENGYM_SHARED") or REPOSITORY.parent / "shared")
    folder = shared / "data" / "planetlab" / "20110303"
    if not folder.is_dir():
        pytest.skip(f"the PlanetLab trace is not in {folder} (set XENGYM_SHARED); it may not be redistributed")
    source = find_demand(shared / "data", seed=0)
    assert source.description == f"PlanetLab day 20110303, 1052 VMs, from {folder}"
