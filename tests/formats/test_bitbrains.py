import gzip
from pathlib import Path

import numpy as np
import pytest

from xengym.formats.bitbrains import COLUMNS, BitbrainsError, find_files, load_traces, load_vm

HEADER = ";\t".join(COLUMNS)
START_S = 1_375_308_176


def line(at_s: float, *, cores: int = 2, mhz: float = 5200, used: float = 520, memory_kb: str = "2.097152E6") -> str:
    return f"{START_S + at_s};\t{cores};\t{mhz};\t{used};\t10.0;\t{memory_kb};\t1.0;\t0.0;\t0.0;\t0.0;\t4.0"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def test_readings_go_to_the_nearest_sample_and_gaps_hold_the_value_before(tmp_path: Path) -> None:
    lines = [line(0), line(301, used=1040), line(1500, used=0), line(1799, used=5200)]
    traces = load_traces([write(tmp_path / "7.csv", *lines)], days=1)
    # 10 % and 20 %; a gap of three samples; then 0 % and 100 %, which holds to the end.
    assert traces.demand[0, :8].tolist() == [1000, 2000, 2000, 2000, 2000, 0, 10_000, 10_000]
    assert traces.demand.shape == (1, 288)
    assert (traces.vcpus[0], traces.mhz[0], traces.memory_bytes[0]) == (2, 5200, 2_097_152 * 1024)
    assert traces.sent_bytes_per_s[0] == 4096


def test_stamps_that_occur_twice_are_averaged_and_use_beyond_the_capacity_is_cut(tmp_path: Path) -> None:
    lines = [line(0, used=520), line(0, used=1560), line(300, used=6000)]
    traces = load_traces([write(tmp_path / "7.csv", *lines)], days=1)
    assert traces.demand[0, :2].tolist() == [2000, 10_000]


def test_a_change_of_size_in_the_middle_counts_for_the_per_cent_and_the_median_for_the_size(tmp_path: Path) -> None:
    lines = [line(0, memory_kb="3"), line(300), line(600), line(900, cores=4, mhz=10_400, used=5200)]
    traces = load_traces([write(tmp_path / "7.csv", *lines)], days=1)
    assert traces.demand[0, 3] == 5000
    assert (traces.vcpus[0], traces.memory_bytes[0]) == (2, 2_097_152 * 1024)


def test_a_machine_that_is_switched_off_is_left_out_by_name(tmp_path: Path) -> None:
    write(tmp_path / "20.csv", line(0, cores=0, mhz=0, used=0))
    (tmp_path / "3.csv.gz").write_bytes(gzip.compress(f"{HEADER}\n{line(0)}\n".encode()))
    files = find_files(tmp_path)
    assert [path.name for path in files] == ["3.csv.gz", "20.csv"]
    traces = load_traces(files, days=2)
    assert traces.vm_names == ("3",)
    assert traces.left_out == ("20: switched off (0 cores or 0 MHz)",)
    with pytest.raises(BitbrainsError, match="no machine can be used: 20: switched off"):
        load_traces(files[1:])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1;2;3"], r"7.csv:2: found 3 numbers, expected 11"),
        ([line(0), line(300).replace("520", "x", 1)], r"7.csv:3: could not convert"),
        ([line(0), line(300, used=-1)], r"7.csv:3: found a number that is negative"),
        ([line(0, used=float("nan"))], r"7.csv:2: found a number that is negative or not finite"),
        ([], r"7.csv:2: found the end of the file"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(BitbrainsError, match=message):
        load_vm(write(tmp_path / "7.csv", *lines))


def test_other_errors(tmp_path: Path) -> None:
    (tmp_path / "7.csv").write_text("a;b\n1;2\n", encoding="utf-8")
    with pytest.raises(BitbrainsError, match=r"7.csv:1: found 'a; b', expected the header"):
        load_vm(tmp_path / "7.csv")
    with pytest.raises(BitbrainsError, match="found no file there"):
        load_vm(tmp_path / "8.csv")
    (tmp_path / "9.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(BitbrainsError, match="not gzip"):
        load_vm(tmp_path / "9.csv.gz")
    with pytest.raises(BitbrainsError, match="found no file of a machine"):
        load_traces([])


def test_the_real_machines(shared_dir: Path) -> None:
    files = find_files(shared_dir / "data")
    if not files:
        pytest.skip(
            f"no Bitbrains machines in {shared_dir / 'data'} (set XENGYM_SHARED); they may not be redistributed"
        )
    traces = load_traces(files, days=7)
    assert "20: switched off (0 cores or 0 MHz)" in traces.left_out
    by_name = dict(zip(traces.vm_names, range(traces.num_vms), strict=True))
    sizes = {"24": (32, 86_400), "333": (1, 2926), "198": (2, 5200), "66": (8, 20_800), "193": (4, 10_400)}
    for name, (cores, mhz) in sizes.items():
        if name in by_name:
            row = by_name[name]
            assert (traces.vcpus[row], round(float(traces.mhz[row]))) == (cores, mhz)
    if "198" in by_name:
        # The table of the whole month says 50.7 %, and hardly anything else.
        assert traces.mean_pct[by_name["198"]] == pytest.approx(50.7, abs=0.1)
    assert np.isfinite(traces.mean_pct).all()
