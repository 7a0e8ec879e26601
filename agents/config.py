"""What a training run is: a typed, closed description, loaded from YAML.

The values under ``ppo``, ``network`` and ``normalise`` are constructor arguments of Stable-Baselines3, under their own
names. Nothing in a file is evaluated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from xengym.scenarios.config import explain

Fraction = Annotated[float, Field(ge=0, le=1)]


class TrainConfigError(ValueError):
    """A training configuration cannot be used; the message names file and key."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PpoConfig(_Closed):
    """Arguments of ``stable_baselines3.PPO``.

    State-dependent exploration is left out: it draws noise before SB3 says that a rollout begins, which is where a
    checkpoint is taken, so a resumed run would draw it twice.
    """

    learning_rate: PositiveFloat = 3e-4
    n_steps: Annotated[int, Field(ge=2)] = 2048
    batch_size: Annotated[int, Field(ge=2)] = 64
    n_epochs: PositiveInt = 10
    gamma: Fraction = 0.99
    gae_lambda: Fraction = 0.95
    clip_range: PositiveFloat = 0.2
    clip_range_vf: PositiveFloat | None = None
    normalize_advantage: bool = True
    ent_coef: float = 0.0
    vf_coef: NonNegativeFloat = 0.5
    max_grad_norm: PositiveFloat = 0.5
    target_kl: PositiveFloat | None = None


class NetworkConfig(_Closed):
    """Arguments of SB3's ``ActorCriticPolicy``: actor and critic are networks of their own.

    Attributes:
        pi: widths of the actor's hidden layers.
        vf: widths of the critic's hidden layers.
        activation: between layers.
        log_std_init: logarithm of the exploration noise to begin with, in units of the action.
    """

    pi: list[PositiveInt] = [64, 64]
    vf: list[PositiveInt] = [64, 64]
    activation: Literal["tanh", "relu"] = "tanh"
    log_std_init: float = 0.0


class NormaliseConfig(_Closed):
    """Arguments of SB3's ``VecNormalize``; its statistics are saved with the model."""

    norm_obs: bool = False
    norm_reward: bool = True
    clip_obs: PositiveFloat = 10.0
    clip_reward: PositiveFloat = 10.0


class EvalConfig(_Closed):
    """Evaluation while training, without exploration noise, on episodes that are not trained on.

    Attributes:
        every_steps: environment steps between two evaluations.
        num_episodes: episodes of one; the same ones each time, and not those of ``agents.evaluate``.
    """

    every_steps: PositiveInt = 100_000
    num_episodes: PositiveInt = 10


class TrainConfig(_Closed):
    """A whole training run.

    Attributes:
        name: of the run; its folder is ``runs/<name>`` unless another is given.
        scenario: name of a scenario, path of a scenario file, or ``random``.
        data: folder with PlanetLab days; None: ``XENGYM_DATA``, else the calibrated generator.
        seed: every random choice of the run follows from it.
        num_envs: hosts in the batch.
        num_threads: threads they are stepped on; results do not depend on it.
        total_steps: environment steps to train for, rounded up to whole rollouts of ``num_envs * n_steps``.
        algorithm: how to train.
        learning_rate_schedule: "linear" lets the learning rate fall to 0 at ``total_steps``.
        ppo, network, normalise: how to train, in SB3's own words.
        checkpoint_every_steps: environment steps between two checkpoints.
        eval: evaluation while training.
    """

    name: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    scenario: str = "consolidation"
    data: Path | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    num_envs: PositiveInt = 32
    num_threads: PositiveInt = 1
    total_steps: PositiveInt
    algorithm: Literal["ppo"] = "ppo"
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    ppo: PpoConfig = PpoConfig()
    network: NetworkConfig = NetworkConfig()
    normalise: NormaliseConfig = NormaliseConfig()
    checkpoint_every_steps: PositiveInt = 100_000
    eval: EvalConfig = EvalConfig()

    @property
    def rollout_steps(self) -> int:
        """Environment steps of one rollout over all hosts."""
        return self.num_envs * self.ppo.n_steps

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        # SB3 would go on with a last minibatch of another size, and for a single sample with a division by zero.
        if self.rollout_steps % self.ppo.batch_size:
            raise ValueError(
                f"ppo.batch_size: expected a divisor of num_envs * ppo.n_steps = {self.rollout_steps}, "
                f"found {self.ppo.batch_size}"
            )
        return self

    def changed(self, **values: Any) -> TrainConfig:
        """A copy with other values, checked like a file's; None keeps a value.

        Raises:
            TrainConfigError: names the key and what was expected.
        """
        given = {key: value for key, value in values.items() if value is not None}
        return parse_train_config(self.model_dump() | given, "command line")


def parse_train_config(data: Any, source: str) -> TrainConfig:
    """Validate plain data as a training run.

    Raises:
        TrainConfigError: says where (``source`` and key) and what was expected.
    """
    if not isinstance(data, dict):
        raise TrainConfigError(
            f"{source}: expected a mapping with keys name, total_steps ..., found {type(data).__name__}"
        )
    try:
        return TrainConfig.model_validate(data)
    except ValidationError as error:
        raise TrainConfigError(explain(error, source)) from error


def load_train_config(path: str | Path) -> TrainConfig:
    """Load a training run from a YAML file.

    Raises:
        TrainConfigError: missing, not YAML, or not a training run.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TrainConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise TrainConfigError(f"{path}{line}: is not YAML: {getattr(error, 'problem', error)}") from error
    return parse_train_config(data, str(path))


def dump_train_config(config: TrainConfig) -> str:
    """YAML that ``load_train_config`` turns into an equal configuration."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
