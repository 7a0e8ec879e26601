"""The demonstration on tiny settings: everything it promises is there, and it says what it used."""

import pytest

pytest.importorskip("stable_baselines3", reason="needs the [agents] extra")

import typer
from PIL import Image
from typer.testing import CliRunner

from agents import demo
from agents.demo import conclusion, find_data, main
from xengym.baselines.compare import EpisodeResult

pytestmark = pytest.mark.train

app = typer.Typer()
app.command()(main)


@pytest.fixture(autouse=True)
def no_traces(monkeypatch, tmp_path):
    monkeypatch.delenv("XENGYM_DATA", raising=False)
    monkeypatch.setattr(demo, "_BESIDE", tmp_path / "beside")


def run_demo(tiny_file, out):
    arguments = ["--out", str(out), "--config", str(tiny_file), "--steps", "256", "--episodes", "2", "--budget", "20"]
    return CliRunner().invoke(app, arguments)


def test_leaves_tables_pictures_and_the_agent_also_the_second_time(tiny_file, tmp_path):
    out = tmp_path / "results"
    for _ in range(2):
        result = run_demo(tiny_file, out)
        assert result.exit_code == 0, result.output
    assert "Demand: synthetic day" in result.stdout
    assert "ppo agent against" in result.stdout
    assert (out / "agent" / "model.zip").is_file()
    table = (out / "comparison.md").read_text()
    assert "credit tuned" in table
    assert "synthetic day" in table
    assert len((out / "comparison.csv").read_text().splitlines()) == 1 + 5 * 2
    for name in ("comparison.png", "schedule.png", "learning_curve.png"):
        with Image.open(out / name) as picture:
            assert picture.width >= 800


def test_removes_nothing_that_is_not_its_own(tiny_file, tmp_path):
    (tmp_path / "results" / "agent").mkdir(parents=True)
    precious = tmp_path / "results" / "agent" / "licence_to_kill.txt"
    precious.touch()
    result = run_demo(tiny_file, tmp_path / "results")
    assert result.exit_code == 2
    assert "is in the way and holds no run" in result.stderr
    assert precious.exists()


def test_traces_given_go_before_those_beside_the_repository(tmp_path, monkeypatch):
    day = tmp_path / "beside" / "20110303"
    assert find_data(None) is None
    day.mkdir(parents=True)
    (day / "vm").write_text("\n".join(["10"] * 288) + "\n")
    assert find_data(None) == tmp_path / "beside"
    assert find_data(tmp_path) == tmp_path
    monkeypatch.setenv("XENGYM_DATA", str(tmp_path))
    assert find_data(None) is None  # the environment finds its folder by itself


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (0.1, "beats credit tuned: +0.100"),
        (-0.1, "does not reach credit tuned"),
        (0.0, "is on a par with credit tuned"),
    ],
)
def test_says_so_when_the_agent_is_not_better(gain, said):
    def results(policy, added):
        return [EpisodeResult(policy, seed, added + 0.1 * seed, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0) for seed in range(4)]

    three = results("agent", gain) + results("credit tuned", 0.0) + results("credit default", -1.0)
    assert said in conclusion(three, "agent")
    assert "beats credit default" in conclusion(three, "agent")
