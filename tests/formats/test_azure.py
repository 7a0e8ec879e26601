import gzip
from pathlib import Path

import pytest

from xengym.formats.azure import AzureError, find_files, load_readings, load_table, load_traces

MACHINE = "id/+=,sub,dep,300,900,90.5,10.1,50.2,Unkown,2,3.5"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_table_with_and_without_header_and_its_open_buckets(tmp_path: Path) -> None:
    header = "vm_id,subscription_id,x,x,x,x,x,x,x,x,x,duration"
    plain = load_table(write(tmp_path / "vmtable.csv", MACHINE))
    named = load_table(write(tmp_path / "vms.csv", header, MACHINE + ",600", "b,s,d,0,0,1,1,1,Interactive,>24,>64,0"))
    assert plain[0] == named[0]
    assert (plain[0].vm, plain[0].created_s, plain[0].deleted_s, plain[0].category) == ("id/+=", 300, 900, "Unknown")
    assert (plain[0].cores, plain[0].memory_gb) == (2, 3.5)
    assert (named[1].cores, named[1].memory_gb) == (32, 128.0)


def test_readings_become_demand_with_gaps_filled_and_lives_kept(tmp_path: Path) -> None:
    readings = [
        write(tmp_path / "readings-1.csv", "timestamp,vm_id,min_cpu,max_cpu,avg_cpu", "0,a,1,3,2", "0,b,5,5,5"),
        write(tmp_path / "readings-2.csv", "300,id/+=,10,30,20", "900,a,1,99,50.5", "900,id/+=,1,2,1.5", "0,a,9,9,9"),
    ]
    traces = load_traces(readings, [write(tmp_path / "vmtable.csv", MACHINE)])
    assert traces.vm_names == ("a", "b", "id/+=")
    # The first of two readings for a sample counts; before the first and after the last reading there is nothing.
    assert traces.demand.tolist() == [[200, 200, 200, 5050], [500, 0, 0, 0], [0, 2000, 2000, 150]]
    assert traces.vcpus.tolist() == [0, 0, 2]
    assert (traces.created_s[2], traces.deleted_s[2], traces.deleted_s[0]) == (300, 900, -1)


def test_readings_after_a_long_hole_are_another_selection(tmp_path: Path) -> None:
    late = [f"{300 * sample},a,1,1,1" for sample in (0, 1, 2, 500)]
    assert load_traces([write(tmp_path / "readings.csv", *late)]).demand.shape == (1, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,a,1,2", "readings.csv:2: found 4 fields"),
        ("0,a,1,2,x", "readings.csv:2: could not convert"),
        ("7,a,1,2,1", "readings.csv:2: found 7 s"),
        ("0,a,3,2,1", "0 <= min <= avg <= max"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AzureError, match=message):
        load_readings([write(tmp_path / "readings.csv", "0,z,1,1,1", text)])


def test_other_errors(tmp_path: Path) -> None:
    with pytest.raises(AzureError, match="found no file there"):
        load_table(tmp_path / "vmtable.csv")
    with pytest.raises(AzureError, match=r"vmtable\.csv:1: invalid literal"):
        load_table(write(tmp_path / "vmtable.csv", MACHINE.replace("300", "soon")))
    with pytest.raises(AzureError, match="expected created <= deleted"):
        load_table(write(tmp_path / "vmtable.csv", MACHINE.replace("900", "200")))
    with pytest.raises(AzureError, match="found no reading"):
        load_readings([write(tmp_path / "empty.csv", "")])


def test_the_real_files(shared_dir: Path) -> None:
    readings, tables = find_files(shared_dir / "data")
    if not readings:
        pytest.skip(
            f"the Azure traces are not in {shared_dir / 'data'} (set XENGYM_SHARED); they may not be redistributed"
        )
    traces = load_traces(readings, tables)
    # 20 machines to t = 401 400 s, mean 7.33 %; the publisher of the selection says which sizes.
    assert traces.demand.shape == (20, 1339)
    assert traces.demand.mean() / 100 == pytest.approx(7.33, abs=0.02)
    assert [int((traces.vcpus == cores).sum()) for cores in (2, 4, 8)] == [16, 2, 2]
    original = shared_dir / "data" / "azure-v1-opendc"
    if original.is_dir():
        assert len(load_readings(sorted(original.glob("*readings*")))) == 100
        machines = load_table(original / "vmtable.csv.gz")
        assert len(machines) == 10
        assert gzip.decompress((original / "vmtable.csv.gz").read_bytes()).count(b"\n") in (9, 10)
