"""The published migrations: what their own numbers say of rates and units, replayed by our laws; and the picture."""

import pytest
from PIL import Image

from xengym.hypervisor.move import Move
from xengym.hypervisor.move_spec import BYTES_PER_MBIT, MoveSpec
from xengym.machine.memory_model import PAGE_BYTES, MemoryModel, Region
from xengym.machine.memory_presets import MEMORY_PRESETS
from xengym.machine.migration_state import STAGES
from xengym.render.migration_picture import draw_migration
from xengym.testing.figures import clark

#: Volumes of each round in MB and, where they can be read off the figures, rates in Mbit/s.
SPECWEB_MB = (676.8, 126.7, 39.0, 28.4, 24.2, 16.7, 14.2, 15.3)
SPECWEB_MBIT_PER_S = (100, 100, 100, 190, 320, 355, 375, 367)
QUAKE_MB = (56.3, 20.4, 4.6, 1.6, 1.2, 0.9, 1.2, 1.1, 0.8, 0.2)


def seconds(megabytes, mbit_per_s):
    return megabytes * 8 / mbit_per_s


def replay(volumes_mb, *, law="paper"):
    """Rates and the total time if the volume of each round was all that the round before had dirtied."""
    move = Move(MemoryModel((Region(1),)), MoveSpec(law=law, stop_rule="rounds", max_rounds=40))
    move.begin()
    g = move.migration[0:1]
    rate, rates, total_s = 100.0, [], 0.0
    for number, megabytes in enumerate(volumes_mb, 1):
        rates.append(round(rate))
        duration_s = seconds(megabytes, rate)
        total_s += duration_s
        following = volumes_mb[number] if number < len(volumes_mb) else 0.0
        g["stage"], g["round"] = STAGES.index("round-end"), number
        g["rate_bytes_per_s"] = rate * BYTES_PER_MBIT
        g["round_ns_of"][0, number - 1] = duration_s * 1e9
        g["dirtied_pages_of"][0, number - 1] = following * 1e6 / PAGE_BYTES
        move.follow_rules()
        rate = g["rate_bytes_per_s"].item() / BYTES_PER_MBIT
    return rates, total_s


def test_a_megabyte_is_a_million_bytes_and_the_first_rate_100_mbit_per_s():
    assert pytest.approx(100.1, abs=0.05) == 776 * 8 / 62
    assert pytest.approx(100.1, abs=0.05) == 676.8 * 8 / 54.1
    assert seconds(56.3, 100) == pytest.approx(4.50, abs=0.005)
    assert seconds(255.4, 100) == pytest.approx(20.4, abs=0.05)


def test_specweb_volumes_and_rates_give_the_published_total():
    total_s = sum(map(seconds, SPECWEB_MB, SPECWEB_MBIT_PER_S))
    assert total_s == pytest.approx(70.1, abs=0.2)
    assert total_s + 0.2 == pytest.approx(71, rel=0.02)


def test_specweb_replayed_by_our_law():
    rates, total_s = replay(SPECWEB_MB)
    assert rates == pytest.approx([100, 100, 100, 123, 155, 157, 183, 247], abs=1)
    assert total_s + 0.2 == pytest.approx(72.5, abs=0.2)


def test_quake_replayed_by_our_law():
    rates, total_s = replay(QUAKE_MB)
    assert rates == pytest.approx([100, 100, 100, 100, 125, 144, 242, 271, 247, 112], rel=0.02)
    assert total_s == pytest.approx(6.87, abs=0.03)


def test_the_memory_writer_replayed():
    dirty_mbit_per_s = 256 * 8 / seconds(255.4, 100)
    assert dirty_mbit_per_s == pytest.approx(100, abs=0.5)
    assert seconds(255.4, 100) + seconds(44.0, 150) + seconds(116.0, 500) == pytest.approx(24.6, abs=0.1)
    assert pytest.approx(508, abs=1) == 222.5 * 8 / 3.5


def test_downtime_is_suspension_copy_and_resumption():
    assert pytest.approx(724, abs=1) == 18.2 * 8 / 0.201
    assert seconds(18.2, 500) == pytest.approx(0.291, abs=0.001)
    assert pytest.approx(59, abs=0.5) == 0.148 * 8 / 0.020


def test_the_web_server_loses_what_the_stream_takes():
    assert pytest.approx(100, rel=0.06) == 870 - 765
    assert 870 - 694 == 176


def test_the_volumes_of_every_specweb_round_come_out():
    """What was fitted: with the published rates our domain sends within 12 % of each round's published volume."""
    move = Move(MEMORY_PRESETS["specweb"], clark.MOVED["specweb"].spec)
    move.begin()
    done = 0
    while not move.is_over:
        if move.stage == "round-end":
            done += 1
            if done == len(SPECWEB_MB):
                move.stop()
            else:
                move.next_round(SPECWEB_MBIT_PER_S[done] * BYTES_PER_MBIT)
        move.run(1 << 50, move.wanted_bytes_per_s)
    ours = [one.sent_pages * PAGE_BYTES / 1e6 for one in move.rounds]
    assert ours == pytest.approx([*SPECWEB_MB, 18.2], rel=0.12)


def test_the_same_seed_gives_the_same_move():
    moves = [clark.run_move(MEMORY_PRESETS["specweb"], MoveSpec(), unevenness=0.4, seed=3) for _ in range(2)]
    assert moves[0].migration.tobytes() == moves[1].migration.tobytes()


@pytest.mark.parametrize("load", list(MEMORY_PRESETS))
def test_every_load_moves_and_is_drawn(load, tmp_path):
    move = clark.run_move(MEMORY_PRESETS[load], MoveSpec())
    assert move.stage == "done"
    draw_migration(move, load, tmp_path / "rounds.png")
    with Image.open(tmp_path / "rounds.png") as image:
        assert image.size == (1100, 520)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert {(86, 180, 233), (204, 121, 167), (213, 94, 0)} <= colours
