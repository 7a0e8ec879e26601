"""Reading and writing PlanetLab days: every error worked by hand, round trips, and the real day."""

import os
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xengym.formats.planetlab import (
    SAMPLE_S,
    SAMPLES_PER_DAY,
    Day,
    PlanetLabError,
    find_days,
    load_day,
    load_vm,
    save_day,
)

REPOSITORY = Path(__file__).resolve().parents[2]
LINES = [str(sample % 101) for sample in range(288)]


@pytest.fixture(scope="module")
def real_days() -> Path:
    shared = Path(os.environ.get("XENGYM_SHARED") or REPOSITORY.parent / "shared")
    root = shared / "data"
    if not (root / "planetlab" / "20110303").is_dir():
        pytest.skip(f"the PlanetLab traces are not in {root} (set XENGYM_SHARED); they may not be redistributed")
    return root


@pytest.fixture
def vm_file(tmp_path: Path) -> Path:
    return tmp_path / "planet1_example_org_a slice"


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def replaced(line_number: int, line: str) -> list[str]:
    return [*LINES[: line_number - 1], line, *LINES[line_number:]]


def test_a_day_of_samples_is_24_hours() -> None:
    assert SAMPLE_S * SAMPLES_PER_DAY == 24 * 3600


class TestLoadVm:
    def test_reads_the_288_values_in_order(self, vm_file: Path) -> None:
        cpu_pct = load_vm(write(vm_file, LINES))
        assert cpu_pct.dtype == np.uint8
        assert cpu_pct.shape == (288,)
        assert cpu_pct.tolist() == [sample % 101 for sample in range(288)]

    def test_takes_a_path_as_a_string(self, vm_file: Path) -> None:
        assert load_vm(str(write(vm_file, LINES)))[100] == 100

    def test_accepts_cr_lf(self, vm_file: Path) -> None:
        assert load_vm(write(vm_file, LINES, end="\r\n")).tolist() == [int(line) for line in LINES]

    def test_accepts_a_last_line_without_line_end(self, vm_file: Path) -> None:
        vm_file.write_text("\n".join(LINES))
        assert load_vm(vm_file).tolist() == [int(line) for line in LINES]

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("101", "'101', which is out of range"),
            ("-1", "'-1', which is out of range"),
            # Longer than int() is willing to convert.
            ("9" * 5000, f"'{'9' * 40}...', which is out of range"),
            ("3.5", "'3.5', which is not a plain decimal integer"),
            ("1e1", "'1e1', which is not a plain decimal integer"),
            ("nan", "'nan', which is not a plain decimal integer"),
            (" 7", "' 7', which is not a plain decimal integer"),
            ("007", "'007', which is not a plain decimal integer"),
            ("-0", "'-0', which is not a plain decimal integer"),
            ("+5", "'+5', which is not a plain decimal integer"),
            ("1_0", "'1_0', which is not a plain decimal integer"),
            ("\u0663", "'\u0663', which is not a plain decimal integer"),
            ("", "a blank line"),
            ("  ", "a blank line"),
        ],
    )
    @pytest.mark.parametrize("line_number", [1, 17, 288])
    def test_a_bad_line_is_named(self, vm_file: Path, line_number: int, line: str, found: str) -> None:
        write(vm_file, replaced(line_number, line))
        with pytest.raises(PlanetLabError) as caught:
            load_vm(vm_file)
        assert str(caught.value) == (f"{vm_file}:{line_number}: found {found}, expected an integer from 0 to 100")

    def test_the_first_of_several_bad_lines_is_named(self, vm_file: Path) -> None:
        write(vm_file, [*LINES[:9], "x", *LINES[10:20], "y"])
        with pytest.raises(PlanetLabError, match=r":10: found 'x'"):
            load_vm(vm_file)

    def test_a_blank_line_too_many_in_the_middle(self, vm_file: Path) -> None:
        write(vm_file, [*LINES[:100], "", *LINES[100:]])
        with pytest.raises(PlanetLabError, match=r":101: found a blank line"):
            load_vm(vm_file)

    @pytest.mark.parametrize("num_lines", [0, 1, 287])
    def test_a_short_file_names_the_line_after_the_last(self, vm_file: Path, num_lines: int) -> None:
        write(vm_file, LINES[:num_lines])
        with pytest.raises(PlanetLabError) as caught:
            load_vm(vm_file)
        assert str(caught.value) == (
            f"{vm_file}:{num_lines + 1}: found the end of the file after {num_lines} lines, expected 288 lines"
        )

    @pytest.mark.parametrize(
        ("extra", "found"), [(["5"], "'5' (289 lines in all)"), (["", "6"], "'' (290 lines in all)")]
    )
    def test_a_long_file_names_the_first_line_too_many(self, vm_file: Path, extra: list[str], found: str) -> None:
        write(vm_file, LINES + extra)
        with pytest.raises(PlanetLabError) as caught:
            load_vm(vm_file)
        assert str(caught.value) == (f"{vm_file}:289: found {found}, expected the end of the file after 288 lines")

    def test_bytes_that_are_not_utf8(self, vm_file: Path) -> None:
        vm_file.write_bytes(b"1\n2\n3\n\xff4\n")
        with pytest.raises(PlanetLabError) as caught:
            load_vm(vm_file)
        assert str(caught.value) == (
            f"{vm_file}:4: found byte 0xff, which is not UTF-8, expected an integer from 0 to 100"
        )

    def test_a_missing_file(self, vm_file: Path) -> None:
        with pytest.raises(PlanetLabError) as caught:
            load_vm(vm_file)
        assert str(caught.value) == f"{vm_file}: found nothing there, expected the file of one VM"

    def test_a_folder_in_place_of_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(PlanetLabError, match="found something that is not a file there"):
            load_vm(tmp_path)


class TestLoadDay:
    def test_reads_the_files_in_order_of_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "20110303"
        write(folder / "b_x", ["2"] * 288)
        write(folder / "a node_ rnp dcc", ["1"] * 288)
        write(folder / "B_x", ["3"] * 288)
        day = load_day(folder)
        assert day.name == "20110303"
        assert day.vm_names == ("B_x", "a node_ rnp dcc", "b_x")
        assert day.num_vms == 3
        assert day.cpu_pct.dtype == np.uint8
        assert day.cpu_pct.shape == (3, 288)
        assert day.cpu_pct[:, 0].tolist() == [3, 1, 2]

    def test_passes_over_sub_folders_and_dotfiles(self, tmp_path: Path) -> None:
        write(tmp_path / "vm", LINES)
        write(tmp_path / ".listing", ["no VM"])
        write(tmp_path / "older" / "vm", ["no VM"])
        assert load_day(tmp_path).vm_names == ("vm",)

    def test_a_broken_link_is_not_passed_over(self, tmp_path: Path) -> None:
        write(tmp_path / "vm", LINES)
        (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
        with pytest.raises(PlanetLabError, match=r"gone: found nothing there"):
            load_day(tmp_path)

    def test_a_bad_file_is_named(self, tmp_path: Path) -> None:
        write(tmp_path / "a", LINES)
        write(tmp_path / "b c", replaced(3, "?"))
        with pytest.raises(PlanetLabError) as caught:
            load_day(tmp_path)
        assert str(caught.value).startswith(f"{tmp_path / 'b c'}:3: found '?'")

    def test_limit_takes_the_first_names_only(self, tmp_path: Path) -> None:
        for name in ("c", "a", "b"):
            write(tmp_path / name, LINES)
        write(tmp_path / "z", ["never opened"])
        assert load_day(tmp_path, limit=2).vm_names == ("a", "b")
        assert load_day(tmp_path, limit=3).vm_names == ("a", "b", "c")

    def test_limit_above_the_number_of_vms(self, tmp_path: Path) -> None:
        write(tmp_path / "a", LINES)
        assert load_day(tmp_path, limit=10).num_vms == 1

    @pytest.mark.parametrize("limit", [0, -1])
    def test_limit_below_one(self, tmp_path: Path, limit: int) -> None:
        with pytest.raises(ValueError, match=rf"limit is {limit}, expected at least 1"):
            load_day(tmp_path, limit=limit)

    def test_the_name_of_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path / "20110409" / "vm", LINES)
        monkeypatch.chdir(tmp_path / "20110409")
        assert load_day(".").name == "20110409"

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(PlanetLabError) as caught:
            load_day(tmp_path / "20110303")
        assert str(caught.value) == (
            f"{tmp_path / '20110303'}: found nothing there, expected the folder of one day, YYYYMMDD"
        )

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        with pytest.raises(PlanetLabError, match="found something that is not a folder there"):
            load_day(write(tmp_path / "20110303", LINES))

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        write(tmp_path / ".hidden", LINES)
        with pytest.raises(PlanetLabError) as caught:
            load_day(tmp_path)
        assert str(caught.value) == (f"{tmp_path}: found no VM file in the folder, expected one file per VM")


class TestDay:
    def test_the_samples_are_read_only_and_the_callers_array_is_not(self) -> None:
        cpu_pct = np.zeros((1, 288), dtype=np.uint8)
        day = Day("20110303", ("vm",), cpu_pct)
        with pytest.raises(ValueError, match="read-only"):
            day.cpu_pct[0, 0] = 1
        cpu_pct[0, 0] = 1

    @pytest.mark.parametrize(
        ("vm_names", "message"),
        [
            ((), "found no VM"),
            (("",), "found VM name ''"),
            ((".vm",), "found VM name '.vm'"),
            (("a/b",), "found VM name 'a/b'"),
            (("a\0b",), r"found VM name 'a\\x00b'"),
            (("b", "a"), "found VM 'b' before 'a'"),
            (("a", "a"), "found VM 'a' before 'a'"),
        ],
    )
    def test_bad_names(self, vm_names: tuple[str, ...], message: str) -> None:
        with pytest.raises(PlanetLabError, match=f"^day '20110303': {message}"):
            Day("20110303", vm_names, np.zeros((len(vm_names), 288), dtype=np.uint8))

    def test_bad_shape(self) -> None:
        with pytest.raises(PlanetLabError, match=r"shape \(1, 289\) and dtype uint8, expected \(1, 288\)"):
            Day("20110303", ("vm",), np.zeros((1, 289), dtype=np.uint8))

    def test_bad_dtype(self) -> None:
        with pytest.raises(PlanetLabError, match="dtype float64"):
            Day("20110303", ("vm",), np.zeros((1, 288)))  # type: ignore[arg-type]

    def test_bad_range(self) -> None:
        with pytest.raises(PlanetLabError, match="found a utilisation of 101 %, expected 0 to 100"):
            Day("20110303", ("vm",), np.full((1, 288), 101, dtype=np.uint8))


class TestFindDays:
    def test_sorted_from_the_root_and_its_planetlab_folder(self, tmp_path: Path) -> None:
        expected = [
            tmp_path / "planetlab" / "20110303",
            tmp_path / "20110306",
            tmp_path / "planetlab" / "20110409",
        ]
        for folder in reversed(expected):
            write(folder / "vm", LINES)
        assert find_days(tmp_path) == expected
        assert find_days(str(tmp_path / "planetlab")) == [expected[0], expected[2]]

    def test_what_is_no_day(self, tmp_path: Path) -> None:
        write(tmp_path / "2011030" / "vm", LINES)
        write(tmp_path / "20110303-old" / "vm", LINES)
        write(tmp_path / "20110304" / ".hidden", LINES)
        write(tmp_path / "20110305" / "sub" / "vm", LINES)
        write(tmp_path / "20110306", LINES)
        (tmp_path / "20110307").mkdir()
        write(tmp_path / "deeper" / "20110308" / "vm", LINES)
        assert find_days(tmp_path) == []

    def test_the_root_is_a_day(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        day = tmp_path / "20110303"
        write(day / "vm", LINES)
        assert find_days(day) == [day]
        monkeypatch.chdir(day)
        assert find_days(".") == [Path(".")]

    def test_a_missing_root(self, tmp_path: Path) -> None:
        with pytest.raises(PlanetLabError, match="found nothing there, expected a folder of day folders"):
            find_days(tmp_path / "absent")

    def test_a_file_in_place_of_the_root(self, tmp_path: Path) -> None:
        with pytest.raises(PlanetLabError, match="found something that is not a folder there"):
            find_days(write(tmp_path / "file", LINES))


# File names: printable ASCII with the space, no '/', no dot in front. Any case-insensitive file system is
# avoided by lower-case letters only.
vm_name = st.text(st.sampled_from("abcxyz019_-. "), min_size=1, max_size=20).filter(lambda name: name[0] != ".")


@st.composite
def days(draw: st.DrawFn) -> Day:
    names = tuple(sorted(draw(st.sets(vm_name, min_size=1, max_size=4))))
    cpu_pct = draw(hnp.arrays(np.uint8, (len(names), 288), elements=st.integers(0, 100)))
    return Day("20110303", names, cpu_pct)


class TestSaveDay:
    @settings(max_examples=25, deadline=None)
    @given(day=days())
    def test_what_is_saved_is_loaded(self, day: Day) -> None:
        with tempfile.TemporaryDirectory() as folder:
            save_day(day, Path(folder) / "20110303")
            loaded = load_day(Path(folder) / "20110303")
        assert loaded.name == day.name
        assert loaded.vm_names == day.vm_names
        np.testing.assert_array_equal(loaded.cpu_pct, day.cpu_pct)

    def test_the_bytes_written(self, tmp_path: Path) -> None:
        cpu_pct = np.arange(288, dtype=np.int64)[np.newaxis] % 101
        save_day(Day("any", ("a slice",), cpu_pct.astype(np.uint8)), tmp_path / "20110303")
        content = (tmp_path / "20110303" / "a slice").read_bytes()
        assert content == "".join(f"{line}\n" for line in LINES).encode()
        assert find_days(tmp_path) == [tmp_path / "20110303"]

    @pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
    def test_nothing_is_overwritten(self, tmp_path: Path, make: object) -> None:
        target = tmp_path / "20110303"
        assert callable(make)
        make(target)
        with pytest.raises(FileExistsError, match="20110303: exists already"):
            save_day(Day("d", ("vm",), np.zeros((1, 288), dtype=np.uint8)), target)

    def test_the_parent_must_exist(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="absent: found no folder there"):
            save_day(Day("d", ("vm",), np.zeros((1, 288), dtype=np.uint8)), tmp_path / "absent" / "20110303")

    def test_a_failure_leaves_nothing_behind(self, tmp_path: Path) -> None:
        # The second name is longer than file systems allow.
        day = Day("d", ("a", "b" * 1000), np.zeros((2, 288), dtype=np.uint8))
        with pytest.raises(OSError, match="b" * 20):
            save_day(day, tmp_path / "20110303")
        assert list(tmp_path.iterdir()) == []

    def test_the_folder_is_as_readable_as_any_other(self, tmp_path: Path) -> None:
        save_day(Day("d", ("vm",), np.zeros((1, 288), dtype=np.uint8)), tmp_path / "20110303")
        (tmp_path / "other").mkdir()
        assert stat.S_IMODE((tmp_path / "20110303").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["20110303", "other"]


class TestRealDay:
    def test_figures_of_20110303(self, real_days: Path) -> None:
        day = load_day(real_days / "planetlab" / "20110303")
        assert day.name == "20110303"
        assert day.cpu_pct.shape == (1052, 288)
        assert sum(" " in name for name in day.vm_names) == 50
        assert day.cpu_pct.max() == 99
        assert round(float(day.cpu_pct.mean()), 2) == 12.31
        assert round(float(day.cpu_pct.std()), 2) == 17.09

    def test_is_found(self, real_days: Path) -> None:
        day = real_days / "planetlab" / "20110303"
        assert day in find_days(real_days)
        assert day in find_days(real_days / "planetlab")
        assert find_days(day) == [day]

    def test_saving_gives_the_same_bytes(self, real_days: Path, tmp_path: Path) -> None:
        original = real_days / "planetlab" / "20110303"
        day = load_day(original, limit=40)
        save_day(day, tmp_path / "20110303")
        for name in day.vm_names:
            assert (tmp_path / "20110303" / name).read_bytes() == (original / name).read_bytes()
