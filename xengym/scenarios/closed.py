"""What all parts of a scenario's description share: unknown keys are errors, durations have units."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NonNegativeMs = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
PositiveMs = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Closed(BaseModel):
    """Base of all parts: closed and unchangeable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class DistributionConfig(Closed):
    """A named distribution of durations; ``spread`` as in ``sim.random.DistributionSpec``."""

    kind: Literal["constant", "uniform", "exponential", "pareto", "lognormal"]
    mean_ms: NonNegativeMs
    spread: Annotated[float, Field(ge=0, le=10)] = 0.0
