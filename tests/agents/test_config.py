"""Training configurations: what is in a file is what is trained, and what is wrong is named."""

from pathlib import Path

import pytest

from agents.config import TrainConfigError, dump_train_config, load_train_config, parse_train_config

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs" / "train").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_load_and_survive_a_round_trip(path, tmp_path):
    config = load_train_config(path)
    assert config.name == path.stem
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_train_config(config))
    assert load_train_config(copy) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\ntotal_stepz: 5\n", "'total_steps': is missing"),
        ("name: x\ntotal_steps: 5\nsede: 1\n", "key 'sede': not known here"),
        ("name: x\ntotal_steps: 5\nppo: {gama: 0.9}\n", "key 'ppo.gama': not known here"),
        ("name: x\ntotal_steps: 5\nppo: {gamma: 1.5}\n", "key 'ppo.gamma': Input should be less than or equal to 1"),
        ("name: x\ntotal_steps: 5\nppo: {learning_rate: lin_2.5e-4}\n", "key 'ppo.learning_rate'"),
        ("name: x\ntotal_steps: 5\nppo: {gamma: .nan}\n", "key 'ppo.gamma'"),
        (
            "name: x\ntotal_steps: 5\nnum_envs: 3\nppo: {n_steps: 50, batch_size: 64}\n",
            "expected a divisor of num_envs * ppo.n_steps = 150, found 64",
        ),
        ("name: x\ntotal_steps: 5\nnetwork: {activation: dict(x)}\n", "key 'network.activation'"),
        ("name: ../x\ntotal_steps: 5\n", "key 'name'"),
        ("name: x\ntotal_steps: 0\n", "key 'total_steps'"),
        ("- 1\n", "expected a mapping"),
        ("name: [\n", ":2: is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(text, expected, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(TrainConfigError) as error:
        load_train_config(path)
    assert str(error.value).startswith(str(path))
    assert expected in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TrainConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_train_config(tmp_path / "nowhere.yaml")


def test_changes_are_checked_like_a_file():
    config = parse_train_config({"name": "x", "total_steps": 5}, "test")
    assert config.changed(total_steps=7, data=None).total_steps == 7
    with pytest.raises(TrainConfigError, match="command line: key 'total_steps'"):
        config.changed(total_steps=0)
