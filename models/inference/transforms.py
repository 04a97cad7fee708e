"""Readings of a series by the network: as it is, its mirror image, its logs; one law from all of them.

Shapes: B items, V variates, H horizon steps, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from models.network.features import Inputs
from models.network.head import TAIL_LIMIT, PredictiveDistribution
from models.network.scaling import VIEW_LIMIT, SeriesScaling, fit_scaling
from models.network.transformer import Network

# Largest log of a value over the last one that a law of logs may reach.
GROWTH_LIMIT = 40.0
# Share of the log-likelihood that counts, and log odds of the logs before the history is looked at.
TEMPER = 0.5
PRIOR_LOG_ODDS = -1.5
# Mean absolute move of the logs at which their weight is halved: on real series the fan of larger ones is far
# too wide (docs/experiments.md, 2026-11-27).
LARGE_MOVE = 0.1


# Mean moves above zero at which the last log is read: a series about zero is not one that grows.
LOG_HEIGHT = 100.0


def read(network: Network, inputs: Inputs) -> tuple[SeriesScaling, PredictiveDistribution]:
    """Scaling and law of the items, from the readings that suit them, in one pass.

    The mean of what the network says of the series and, mirrored back, of the mirrored series: it errs
    differently on the two. The law of the logs, undone, takes its place by the weight of the logs, which is 0
    where a value is not positive. Variates with a given role are read as they are: neither orders and
    capacity below zero nor their logs are anything that the network has seen.
    """
    if inputs.statics.any():
        features = network.features(inputs)
        return features.scaling, network.decode(features)
    positive = ((inputs.values > 0) | ~inputs.observed).all(-1)
    readings = [inputs, inputs._replace(values=-inputs.values)]
    if positive.any():
        readings.append(as_logs(inputs, positive))
    features = network.features(Inputs(*map(torch.cat, zip(*readings, strict=True))))
    whole, count = network.decode(features), len(readings)
    laws = [PredictiveDistribution(*parts) for parts in _apart(whole, count)]
    scales = [SeriesScaling(*parts) for parts in _apart(features.scaling, count)]
    half = torch.full(positive.shape, 0.5, device=positive.device)
    law, scaling = laws[0].averaged(laws[1].mirrored(), half), scales[0]
    if count == 2:
        return scaling, law
    gains = [gain[: len(positive)] for gain in features.classics.gains]
    weight = torch.where(positive, weight_of_logs(gains, inputs.observed, scales[2].scale), 0.0)
    return scaling, law.averaged(undo_logs(laws[2], scales[2], scaling), weight)


def _apart(whole: Iterable[Tensor], count: int) -> Iterator[tuple[Tensor, ...]]:
    """The parts of readings that stand one after the other along the first axis."""
    return zip(*(part.chunk(count) for part in whole), strict=True)


def as_logs(inputs: Inputs, positive: Tensor) -> Inputs:
    """Logs of the variates that are positive [B, V], at a height of their own; the others as they are.

    The height makes them independent of the unit. What the network says of variates that are not positive
    means nothing.
    """
    loc = torch.where(positive, fit_scaling(inputs.values, inputs.observed).loc, 1.0)[..., None]
    kept = torch.where(positive[..., None] & inputs.observed, inputs.values, loc)
    logs = torch.where(positive[..., None], kept.log() - loc.log(), inputs.values)
    height = LOG_HEIGHT * fit_scaling(logs, inputs.observed).scale[..., None]
    return inputs._replace(values=torch.where(positive[..., None], logs + height, logs))


def weight_of_logs(gains: Sequence[Tensor], observed: Tensor, moves: Tensor) -> Tensor:
    """Posterior [B, V] of a classical model of the logs against one of the values, less for large moves.

    The likelihoods are those of the best method of each, with their penalties and the Jacobian of the logs.

    Parameters
    ----------
    gains : two of Tensor [B, V, F]
        Log-likelihood per observation over a walk's, of the methods of the values and of the logs.
    observed : Tensor [B, V, L]
    moves : Tensor [B, V]
        Mean absolute move of the logs.
    """
    plain, logs = gains
    odds = TEMPER * observed.sum(-1) * (logs.amax(-1) - plain.amax(-1)) + PRIOR_LOG_ODDS
    return torch.sigmoid(odds).float() / (1 + (moves / LARGE_MOVE).square()).float()


def undo_logs(
    law: PredictiveDistribution, logs: SeriesScaling, scaling: SeriesScaling
) -> PredictiveDistribution:
    """Law of the values whose logs have a law: the change of variable at each quantile.

    Parameters
    ----------
    law : PredictiveDistribution
        Of logs, in the scaled view of `logs`.
    logs, scaling : SeriesScaling
        Of the logs and of the values.
    """
    level, unit, scale = (part[..., None, None] for part in (scaling.loc, logs.scale, scaling.scale))
    quantiles = law.quantiles.double()
    growth = (quantiles.sinh() * unit).clamp(-GROWTH_LIMIT, GROWTH_LIMIT)
    moved = torch.expm1(growth) * level / scale
    slope = growth.exp() * level / scale * quantiles.cosh() * unit / (1 + moved.square()).sqrt()
    tails = law.tails * torch.stack([slope[..., 0], slope[..., -1]], -1)
    return law._replace(
        quantiles=moved.asinh().clamp(-VIEW_LIMIT, VIEW_LIMIT).float(),
        tails=tails.clamp(1e-6, TAIL_LIMIT).float(),
    )
