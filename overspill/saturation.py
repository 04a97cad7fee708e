"""Orders meet capacity: backlog, fill rate, when demand counts as met, and the first time it does.

Arrays are [..., T], time last, from numpy or torch alike.

Examples
--------
Two paths of four quarters; demand is met once no order waits longer than the normal lead time of four weeks
and 95 % of the orders are shipped within it, two quarters in a row:

>>> import numpy as np
>>> from overspill import saturation
>>> from overspill.policies import SupplyRule
>>> orders = np.array([[90.0, 60.0, 50.0, 50.0], [90.0, 90.0, 90.0, 90.0]])
>>> capacity = np.full((2, 4), 70.0)
>>> flow = saturation.flow(orders, capacity)
>>> flow.backlog
array([[20., 10.,  0.,  0.],
       [20., 40., 60., 80.]])
>>> rule = SupplyRule(normal_lead_time_weeks=4, fill_rate_min=0.95, hold_periods=2, scopes=("product",))
>>> met = saturation.saturated(flow, orders, capacity, rule=rule, weeks_per_period=13)
>>> passage = saturation.first_passage(saturation.confirmed(met, rule.hold_periods))
>>> passage
array([2, 4])

The second path is censored: it is not met within four quarters.

>>> saturation.probability_by_step(passage, steps=4)
array([0. , 0. , 0.5, 0.5])
>>> saturation.quantile_steps(passage, levels=[0.5, 0.9], steps=4)
array([ 2., nan])
"""

from forecasting.saturation.backlog import Flow, fill_rate, flow, lead_time_weeks
from forecasting.saturation.first_passage import (
    confirmed,
    first_passage,
    never,
    probability_by_step,
    quantile_steps,
    saturated,
)
from forecasting.saturation.market import Market, market

__all__ = [
    "Flow",
    "Market",
    "confirmed",
    "fill_rate",
    "first_passage",
    "flow",
    "lead_time_weeks",
    "market",
    "never",
    "probability_by_step",
    "quantile_steps",
    "saturated",
]
