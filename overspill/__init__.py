"""The package as a library: forecasts of data frames, the whole run, and the domain's functions by name.

`predict` forecasts any table of series, `backtest` scores models on its past, `run` and `load_paths` give
what the command `overspill run` computes, and `chips`, `policies`, `saturation` and `windows` hold the
formulas, on arrays of your own. `import overspill` takes milliseconds: each name loads its module when it is
first used. Bad input raises `InputError`, whose text is one sentence: the rule, what was expected, what was
found, and where.

Examples
--------
>>> import overspill
>>> rule = overspill.policies.load_policy("bis_2026_01")
>>> overspill.policies.eligibility(overspill.chips.chip("H200"), rule).eligible
True
>>> overspill.policies.eligibility(overspill.chips.chip("B200"), rule).reasons[0]
'TPP 36,000 is not below 21,000'
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecasting.errors import InputError, OverspillError
    from overspill import chips, policies, saturation, windows
    from overspill.backtesting import Backtest, backtest
    from overspill.prediction import Prediction, predict
    from overspill.whole_run import Run, load_paths, run

    __version__: str

__all__ = [
    "Backtest",
    "InputError",
    "OverspillError",
    "Prediction",
    "Run",
    "__version__",
    "backtest",
    "chips",
    "load_paths",
    "policies",
    "predict",
    "run",
    "saturation",
    "windows",
]

_MODULES = {
    "InputError": "forecasting.errors",
    "OverspillError": "forecasting.errors",
    "Backtest": "overspill.backtesting",
    "backtest": "overspill.backtesting",
    "Prediction": "overspill.prediction",
    "predict": "overspill.prediction",
    "Run": "overspill.whole_run",
    "load_paths": "overspill.whole_run",
    "run": "overspill.whole_run",
}


def __getattr__(name: str) -> object:
    """Load what a name stands for, the first time it is asked for."""
    if name == "__version__":
        return version("overspill")
    if name not in __all__:
        raise AttributeError(f"module 'overspill' has no attribute {name!r}")
    module = import_module(_MODULES.get(name, f"overspill.{name}"))
    value: object = getattr(module, name) if name in _MODULES else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
