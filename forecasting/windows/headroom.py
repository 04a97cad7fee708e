"""Where the surplus of each chip goes between now and the horizon: the table `headroom.parquet`.

P paths, H steps after now.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from forecasting.panel.history import Floats
from forecasting.policy.policy import Policy
from forecasting.saturation.market import scope_item
from forecasting.windows.schema import SUPPLY, headroom_schema, table_of
from forecasting.windows.tables import Estimator, Row
from forecasting.windows.windows import Binding, WindowPaths


def balance(paths: WindowPaths, surplus: Floats, *, unsold_stock: Floats | float) -> dict[str, float]:
    """Mean units over paths: what was there, what each condition took, what was exported.

    In each step the surplus that is not exported is lost to the condition that binds there; stock is drawn
    once the step's surplus is gone and else stays. So

        sum of surplus + stock = exported + lost to each condition + stock left.

    Parameters
    ----------
    paths : WindowPaths
    surplus : array [P, H]
        Units for which no US order came, of the same steps.
    unsold_stock : float or array [P]
        Units in stock before the first step.
    """
    lost = np.maximum(surplus - paths.units, 0.0)
    drawn = np.maximum(paths.units - surplus, 0.0)
    figures = {
        f"lost_{term.name.lower()}": float((lost * (paths.binding == term)).sum(axis=1).mean())
        for term in Binding
    }
    stock = float(np.mean(unsold_stock))
    figures["stock_left"] = stock - float(drawn.sum(axis=1).mean())
    return {
        SUPPLY: float(surplus.sum(axis=1).mean()) + stock,
        **figures,
        "units_mean": float(paths.units.sum(axis=1).mean()),
    }


def headroom_table(estimator: Estimator) -> pl.DataFrame:
    """The balance of each chip and scope under the first policy, with 10 and 90 % quantiles of the units."""
    return table_of(_rows(estimator, estimator.settings.policies[0]), headroom_schema())


def _rows(estimator: Estimator, policy: Policy) -> Iterator[Row]:
    for exported in estimator.chips():
        if not estimator.verdict(exported, policy).eligible:
            continue
        for scope in policy.supply.scopes:
            if estimator.lacking(policy, exported, scope_item(exported, scope)):
                continue
            markets = estimator.markets_of(exported, policy, scope)
            paths = estimator.estimate(exported, policy, markets).paths
            surplus = markets.product.flow.surplus[:, -paths.units.shape[1] :]
            low, high = np.quantile(paths.units.sum(axis=1), (0.1, 0.9))
            yield {
                "policy": policy.name,
                "chip": exported.chip_id,
                "scope": scope,
                **balance(paths, surplus, unsold_stock=estimator.terms(exported).unsold_stock),
                "units_q10": float(low),
                "units_q90": float(high),
            }
