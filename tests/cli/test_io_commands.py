"""The commands' options for hosts with devices, as a user types them."""

import json
import subprocess
import sys

import pytest


def xengym(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "xengym.cli.app", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def test_a_requests_way_is_printed_and_drawn(tmp_path):
    picture = tmp_path / "way.png"
    done = xengym("run", "web-hosting", "--seconds", "1", "--follow-request", "quiet", "--picture", str(picture))
    assert done.returncode == 0, done.stderr
    for number in range(1, 9):
        assert f"({number})" in done.stdout
    assert "the client has the whole answer" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_nth_request_is_followed():
    done = xengym("run", "web-hosting", "--seconds", "1", "--follow-request", "quiet:5")
    assert done.stdout.startswith("request 5 of ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--follow-request", "nobody"], "no domain 'nobody'; this scenario has dom0, net, quiet"),
        (["--follow-request", "quiet:x"], "expected NAME or NAME:N with N from 1, found 'quiet:x'"),
        (["--follow-request", "quiet:99999"], "requests in 0.5 s, found 99999"),
        (["--follow-request", "batch"], "no client's request to 'batch' was answered"),
        (["--picture", "x.png"], "--picture draws a request's way; name one with --follow-request"),
        (["--crash", "0.1:nobody"], "--crash: no domain 'nobody'; this scenario has dom0, net"),
        (["--crash", "0.1:quiet"], "serves no devices"),
        (["--crash", "9:net"], "--crash: expected SECONDS:DOMAIN with seconds 0..0.5"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_why(arguments, message):
    done = xengym("run", "web-hosting", "--seconds", "0.5", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_driver_domain_crashes_and_serves_again():
    whole = json.loads(xengym("run", "web-hosting", "--seconds", "4", "--json").stdout)
    crashed = json.loads(xengym("run", "web-hosting", "--seconds", "4", "--crash", "1:net", "--json").stdout)
    jobs = [{row["name"]: row["jobs_done"] for row in report["domains"]} for report in (whole, crashed)]
    # A quarter of a second and what was under way is lost, and no more than that.
    assert 0.7 * jobs[0]["quiet"] < jobs[1]["quiet"] < jobs[0]["quiet"]


def test_a_victim_is_compared_and_written(tmp_path):
    csv = tmp_path / "victim.csv"
    done = xengym(
        "compare", "isolation", "--victim", "victim", "--episodes", "2", "--scheduler", "sedf-3.0.2",
        "--scheduler", "share-guard-3.0.2", "--csv", str(csv),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "drivers' CPU for others" in done.stdout
    assert len(csv.read_text().splitlines()) == 5


def test_limits_are_compared():
    done = xengym("compare", "isolation", "--limits", "--episodes", "2", "--budget", "20")
    assert done.returncode == 0, done.stderr
    for name in ("SEDF-DC", "ShareGuard at 0.5 of agreed", "limits tuned", "random"):
        assert name in done.stdout
    refused = xengym("compare", "consolidation", "--limits")
    assert refused.returncode == 2
    assert "no domain whose program is 'os'" in refused.stderr
