"""What the bank says of series: their joint future as a mixture of Student-t processes, plain and of logs.

N series, J hypotheses kept of each, H horizon steps, P paths, Q levels, F families.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from forecasting.panel.history import Bools, Floats

BISECTIONS = 40  # of an interval of 40 deviations: exact to 1e-10 of a deviation
# Logarithms leave their past range by no more than LOG_RANGE times its growth over as many steps and
# LOG_DEVIATIONS deviations of a walk, whose moves count up to LOG_MOVE: larger ones are noise.
# The former is at most a factor of 100.
LOG_RANGE, LOG_DEVIATIONS, LOG_MOVE, LOG_MOST = 1.5, 3.0, 0.3, np.log(100.0)


@dataclass(frozen=True, kw_only=True)
class BankPosterior:
    """Posterior of N series.

    Attributes
    ----------
    weight : array [N, J]
        Posterior probabilities of the hypotheses kept, sum 1.
    hypothesis : array [N, J] of int
        Their places in the catalogue.
    logs : array [N, J] of bool
        Whether the hypothesis is about logarithms.
    location : array [N, J, H]
        Centres, on the hypothesis's own scale (values or their logarithms).
    root : array [U, H, H]
        Lower Cholesky factors of the distinct scale matrices.
    root_of : array [N, J] of int
        Which of them a hypothesis has.
    spread : array [N, J]
        Factor on the root.
    freedom : array [N]
        Degrees of freedom.
    log_limit : array [N, 2]
        Lowest and highest logarithm that a path may reach.
    floor : array [N]
        Lowest value that a path may have; minus infinity for none.
    families : array [N, F + 1]
        Posterior of each family, and of logarithms.
    """

    weight: Floats
    hypothesis: npt.NDArray[np.intp]
    logs: Bools
    location: Floats
    root: Floats
    root_of: npt.NDArray[np.intp]
    spread: Floats
    freedom: Floats
    log_limit: Floats
    floor: Floats
    families: Floats

    @property
    def horizon(self) -> int:
        """Number of steps H."""
        return int(self.location.shape[-1])

    @property
    def deviation(self) -> Floats:
        """Scale [N, J, H] of each Student-t marginal, on the hypothesis's own scale."""
        size = np.sqrt(np.einsum("uhk,uhk->uh", self.root, self.root))
        return np.asarray(self.spread[..., None] * size[self.root_of])

    def mean(self) -> Floats:
        """Mean [N, H] over the hypotheses of their medians, in units of the series.

        Of the medians, since the exponential of a Student-t variable has no mean.
        """
        medians = self._medians()
        apart = np.einsum("nj,njh->nh", self.weight, medians - medians[:, :1])
        return np.asarray(medians[:, 0] + apart)

    def log_spread(self) -> Floats:
        """Log [N, H] of the standard deviation of the mixture; that of a logarithm times the median.

        Minus infinity where the series is constant.
        """
        medians, size = self._medians(), self.deviation
        factor = np.where(self.freedom > 2.5, self.freedom / np.maximum(self.freedom - 2, 0.5), 5.0)
        size = size * np.sqrt(factor)[:, None, None] * np.where(self.logs[..., None], np.abs(medians), 1.0)
        square = np.einsum("nj,njh->nh", self.weight, size**2 + (medians - self.mean()[:, None]) ** 2)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(square) / 2)

    def quantiles(self, levels: Sequence[float]) -> Floats:
        """Quantiles [N, H, Q] of each step, by bisection of the mixture's distribution function."""
        size, medians = self.deviation, self._medians()
        wide = 20.0 * size
        low, high = (self._values(self.location + end) for end in (-wide, wide))
        least = np.minimum(low, medians).min(axis=1)[..., None].repeat(len(levels), axis=-1)
        most = np.maximum(high, medians).max(axis=1)[..., None].repeat(len(levels), axis=-1)
        for _ in range(BISECTIONS):
            middle = (least + most) / 2
            below = self.distribution(middle) < np.asarray(levels)
            least, most = np.where(below, middle, least), np.where(below, most, middle)
        return np.asarray(np.maximum(most, self.floor[:, None, None]))

    def distribution(self, values: Floats) -> Floats:
        """Probability [N, H, Q] that a step is at most each of the values [N, H, Q]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logged = np.log(np.maximum(values, 0.0))
            size = self.deviation[..., None]
            measured = np.where(self.logs[..., None, None], logged[:, None], values[:, None])
            gap = measured - self.location[..., None]
            score = np.where(gap == 0, np.where(size > 0, 0.0, np.inf), gap / size)
        mass = stdtr(self.freedom[:, None, None, None], score)
        return np.asarray(np.einsum("nj,njhq->nhq", self.weight, mass))

    def paths(
        self, paths: int, generators: Sequence[np.random.Generator], *, shocks: Floats | None = None
    ) -> Floats:
        """Joint paths [N, P, H], each of one hypothesis and one scale, drawn once per path.

        Every hypothesis has its share of the paths, up to one (systematic sampling), in random order.

        Parameters
        ----------
        paths : int
            P.
        generators : sequence of N generators
            One per series, so that no series hangs on another.
        shocks : array [N, P, H], optional
            Standard normal one-step shocks to use instead of the generators' own.
        """
        drawn = np.empty((len(self.weight), paths, self.horizon))
        for n, rng in enumerate(generators):
            at = (np.arange(paths) + rng.random()) / paths
            chosen = rng.permutation(np.searchsorted(np.cumsum(self.weight[n])[:-1], at, side="right"))
            scale = np.sqrt(self.freedom[n] / rng.chisquare(self.freedom[n], paths))
            normal = rng.standard_normal((paths, self.horizon)) if shocks is None else shocks[n]
            moved = np.einsum("phk,pk->ph", self.root[self.root_of[n, chosen]], normal)
            moved *= (self.spread[n, chosen] * scale)[:, None]
            raised = self.location[n, chosen] + moved
            logs = self.logs[n, chosen]
            raised[logs] = np.exp(np.clip(raised[logs], *self.log_limit[n]))
            drawn[n] = np.maximum(raised, self.floor[n])
        return drawn

    def _medians(self) -> Floats:
        """Medians [N, J, H] of the hypotheses, in units of the series."""
        return self._values(self.location)

    def _values(self, raised: Floats) -> Floats:
        """Values of the series [N, J, H] from numbers on the scales of the hypotheses."""
        logs = self.logs[..., None]
        return np.asarray(np.where(logs, np.exp(np.where(logs, self._bounded(raised), 0.0)), raised))

    def _bounded(self, logged: Floats) -> Floats:
        """Logarithms [N, J, H] within the limits of their series."""
        return np.asarray(np.clip(logged, self.log_limit[:, 0, None, None], self.log_limit[:, 1, None, None]))


def joined(parts: Sequence[tuple[npt.NDArray[np.intp], BankPosterior]]) -> BankPosterior:
    """One posterior of series [N] whose parts answer for the series at the given places."""
    places = np.concatenate([at for at, _ in parts])
    order = np.argsort(places)
    starts = np.cumsum([0, *(len(part.root) for _, part in parts)])
    kept = max(part.weight.shape[1] for _, part in parts)

    def gather(name: str) -> npt.NDArray[np.generic]:
        arrays = [getattr(part, name) for _, part in parts]
        if name == "root_of":
            arrays = [each + start for each, start in zip(arrays, starts, strict=False)]
        if name in {"weight", "hypothesis", "logs", "location", "root_of", "spread"}:
            arrays = [
                np.pad(each, [(0, 0), (0, kept - each.shape[1]), *[(0, 0)] * (each.ndim - 2)])
                for each in arrays
            ]
        return np.concatenate(arrays)[order]

    names = [name for name in BankPosterior.__dataclass_fields__ if name != "root"]
    return BankPosterior(
        **{name: gather(name) for name in names},  # type: ignore[arg-type]
        root=np.concatenate([part.root for _, part in parts]),
    )
