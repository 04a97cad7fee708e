"""The network as a forecaster: numpy in, numpy out; the seam that pipelines use.

Shapes: B items, V variates, L context steps, H horizon steps, Q quantile levels, P paths, K covariates,
S statics, N items of one pass.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.errors import ModelError, SeriesError
from models.hardware.device import choose_device
from models.inference.checkpoint import PRETRAINED, load_checkpoint
from models.inference.inputs import MIN_PADDED_CONTEXT, Floats, checked_inputs, checked_levels
from models.inference.transforms import read
from models.network.features import Inputs
from models.network.head import PredictiveDistribution, quantile
from models.network.sampling import DEFAULT_BUDGET, sample_paths
from models.network.scaling import SeriesScaling
from models.network.transformer import Network

# Paths per item whose own context is read again when a horizon is longer than one pass.
TRUNKS = 8
# Paths that quantiles of such a long horizon are read from.
ROLLED_PATHS = 512
# Series that pass through the network together, each in up to three readings.
SERIES_PER_PASS = 1024
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NetworkForecaster:
    """Joint sample paths and quantiles from a network.

    Attributes
    ----------
    network : Network
        In evaluation mode on `device`.
    card : dict
        What the checkpoint says of itself.
    device : torch.device
        Where the network computes.
    budget : int
        Bytes for temporary arrays while sampling.
    """

    network: Network
    card: dict[str, Any]
    device: torch.device
    budget: int = DEFAULT_BUDGET

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent: the weights on the CPU."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**kept, "network": copy.deepcopy(self.network).cpu()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compute on that process's own device of the same kind, or on its CPU where it has none."""
        kind = state["device"].type if torch.cuda.is_available() else "cpu"
        device = torch.device(kind)  # the current one of the process
        state = {**state, "device": device, "network": state["network"].to(device).eval()}
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @classmethod
    def load(cls, folder: Path = PRETRAINED, *, device: str = "auto") -> NetworkForecaster:
        """Forecaster from a checkpoint, by default the weights that ship with the package.

        Raises
        ------
        CheckpointError, DeviceError
            The checkpoint cannot be used; the device is not there.
        """
        chosen = choose_device(device)
        network, card = load_checkpoint(folder, chosen)
        return cls(network=network, card=card, device=chosen)

    def predict_quantiles(
        self,
        values: Floats,
        *,
        horizon: int,
        levels: Sequence[float],
        season_length: int | npt.NDArray[np.int64] = 0,
        covariates: Floats | None = None,
        statics: Floats | None = None,
    ) -> Floats:
        """Quantiles of each step, [B, V, H, Q].

        Parameters
        ----------
        values : array [B, V, L]
            Context with NaN where it was not observed; the last column is the forecast origin.
        horizon : int
            H >= 1; beyond the network's own limit the quantiles are those of rolled paths.
        levels : sequence of float
            Inside (0, 1).
        season_length : int or array [B]
            Steps per season; 0 where there is none or it is not known.
        covariates : array [B, K, L+H], optional
            Covariates known over context and horizon.
        statics : array [B, V, S], optional
            Static covariates as the card describes them.

        Raises
        ------
        SeriesError
            A shape, a value or a setting that cannot be answered, with its place.
        """
        inputs = checked_inputs(
            self.network.settings,
            values,
            horizon=horizon,
            season_length=season_length,
            covariates=covariates,
            statics=statics,
        )
        wanted = checked_levels(levels)
        if horizon > self.network.settings.max_horizon:
            drawn = self._roll(inputs, paths=ROLLED_PATHS, generator=self._generator(0))
            return np.moveaxis(np.quantile(drawn.numpy(), wanted, axis=-1), 0, -1)
        probability = torch.tensor(wanted, dtype=torch.float32, device=self.device)

        def answer(scaling: SeriesScaling, distribution: PredictiveDistribution) -> Tensor:
            shape = (*distribution.noise.shape, len(wanted))
            return scaling.restore(
                quantile(distribution, self.network.head.levels, probability.expand(shape)).double()
            )

        return self._each_pass(inputs, answer).numpy()

    def sample(
        self,
        values: Floats,
        *,
        horizon: int,
        paths: int,
        seed: int,
        season_length: int | npt.NDArray[np.int64] = 0,
        covariates: Floats | None = None,
        statics: Floats | None = None,
    ) -> Floats:
        """Joint sample paths [B, P, H, V]; parameters and errors as in `predict_quantiles`.

        A horizon beyond the network's own limit is rolled, see `_roll`. The same seed on the same device
        gives the same paths.
        """
        inputs = checked_inputs(
            self.network.settings,
            values,
            horizon=horizon,
            season_length=season_length,
            covariates=covariates,
            statics=statics,
        )
        if paths < 1:
            raise SeriesError(f"paths must be at least 1, found {paths}")
        drawn = self._roll(inputs, paths=paths, generator=self._generator(seed))
        return np.ascontiguousarray(drawn.permute(0, 3, 2, 1).numpy())

    def _roll(self, inputs: Inputs, *, paths: int, generator: torch.Generator) -> Tensor:
        """Paths [B, V, H, P] on the CPU, decoded in pieces of the longest horizon of one pass.

        From the second piece on, up to TRUNKS paths per item are appended to the context and read again;
        every path goes on from its own last value as drawn from the law of one of them.
        """
        longest = self.network.settings.max_horizon
        length, horizon = inputs.values.shape[-1], inputs.horizon
        first = inputs._replace(covariates=inputs.covariates[..., : length + min(horizon, longest)])
        drawn = self._draw(first, paths, generator)
        trunks = min(TRUNKS, paths)
        while drawn.shape[2] < horizon:
            done = drawn.shape[2]
            step = min(longest, horizon - done)
            again = self._extend(inputs, drawn[..., :trunks], step=step)
            count = -(-paths // trunks)
            piece = self._draw(again, count, generator)
            piece = piece.reshape(-1, trunks, *piece.shape[1:]).permute(0, 2, 3, 4, 1).flatten(3)[..., :paths]
            origin = torch.arange(paths) % trunks
            shift = drawn[:, :, -1:, :] - drawn[:, :, -1:, origin]
            drawn = torch.cat([drawn, piece + shift], dim=2)
        return drawn

    def _extend(self, inputs: Inputs, trunk: Tensor, *, step: int) -> Inputs:
        """Inputs of B * trunks items whose context ends with the trunk paths [B, V, H, trunks]."""
        count, length = trunk.shape[-1], inputs.values.shape[-1]
        future = trunk.permute(0, 3, 1, 2).flatten(0, 1)
        known = torch.cat([inputs.values.repeat_interleave(count, 0), future], dim=-1)
        observed = torch.cat(
            [inputs.observed.repeat_interleave(count, 0), torch.ones_like(future).bool()], dim=-1
        )
        kept = min(known.shape[-1], self.network.settings.max_context)
        end = length + trunk.shape[2]
        return Inputs(
            values=known[..., -kept:],
            observed=observed[..., -kept:],
            season=inputs.season.repeat_interleave(count, 0),
            covariates=inputs.covariates[..., end - kept : end + step].repeat_interleave(count, 0),
            statics=inputs.statics.repeat_interleave(count, 0),
        )

    def _draw(self, inputs: Inputs, paths: int, generator: torch.Generator) -> Tensor:
        def answer(scaling: SeriesScaling, distribution: PredictiveDistribution) -> Tensor:
            drawn = sample_paths(
                distribution, self.network.head.levels, paths=paths, generator=generator, budget=self.budget
            )
            return scaling.restore(drawn.double())

        return self._each_pass(inputs, answer)

    def _each_pass(
        self, inputs: Inputs, answer: Callable[[SeriesScaling, PredictiveDistribution], Tensor]
    ) -> Tensor:
        """Answers for all items, a limited number of items at a time, gathered on the CPU.

        Items of a pass begin together, each at its first observation or at the shortest context: a forecast
        must not hang on how long the histories of other items are.
        """
        latest = inputs.values.shape[-1] - MIN_PADDED_CONTEXT
        begins = inputs.observed.any(1).int().argmax(-1).clamp(max=latest)
        answers, places = [], []
        for begin in sorted(set(begins.tolist())):
            alike = (begins == begin).nonzero()[:, 0]
            answers.append(self._alike(inputs.picked(alike, begin=begin), answer))
            places.append(alike)
        return torch.cat(answers)[torch.cat(places).argsort()]

    def _alike(
        self, inputs: Inputs, answer: Callable[[SeriesScaling, PredictiveDistribution], Tensor]
    ) -> Tensor:
        items, variates = inputs.values.shape[:2]
        count = max(1, SERIES_PER_PASS // variates)
        start, answers = 0, []
        while start < items:
            part = Inputs(*(field[start : start + count].to(self.device) for field in inputs))
            try:
                with torch.inference_mode():
                    answers.append(answer(*read(self.network, part)).cpu())
            except torch.OutOfMemoryError as error:
                if count == 1:
                    raise ModelError(
                        "the device runs out of memory with a single item: use cpu, or a shorter horizon"
                    ) from error
                count = count // 2
                logger.warning("out of memory: going on with %d items at a time", count)
                continue
            start += count
        return torch.cat(answers)

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed)
