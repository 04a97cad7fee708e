"""Networks of other libraries, trained on the benchmark's own series: PatchTST, NHITS and DeepAR.

They come with the optional extra `bench`; where it is not installed, importing inside the functions fails.

Shapes: N series, P paths, H horizon steps, Q quantile levels.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Kind: TypeAlias = Literal["PatchTST", "NHITS"]
METHODS = {"Schaake": "schaake_shuffle", "copula": "gaussian_copula"}
# Levels of the multi-quantile loss; the outer ones are for `simulate`, which clamps its paths there.
LEVELS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
STEPS = 500
WINDOWS = 256
LEARNING_RATE = 1e-3
DEEPAR_EPOCHS = 20  # of 50 batches of 32 windows, as GluonTS has it
DEEPAR_LAGS = (1, 2, 3, 4, 5, 6, 12)


def recipe(steps: int) -> str:
    """How the networks of neuralforecast are trained, in words."""
    return (
        f"{steps} steps of {WINDOWS} windows, learning rate {LEARNING_RATE}, context of two horizons, "
        f"multi-quantile loss at {LEVELS}"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' warnings and their log of every training run."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def long_table(histories: Sequence[Floats]) -> pl.DataFrame:
    """Rows `unique_id, ds, y` of the histories, whose order the ids keep."""
    return pl.DataFrame(
        {
            "unique_id": [f"{k:06d}" for k, history in enumerate(histories) for _ in history],
            "ds": [step for history in histories for step in range(len(history))],
            "y": np.concatenate(histories),
        }
    )


def patch_settings(input_size: int) -> dict[str, int]:
    """PatchTST's own patches of 16 with a stride of 8, shorter where the context is short."""
    length = max(2, min(16, input_size // 3))
    return {"patch_len": length, "stride": length // 2}


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network of neuralforecast that has been fitted."""

    fitted: Any
    horizon: int

    @classmethod
    def train(
        cls, kind: Kind, histories: Sequence[Floats], *, horizon: int, input_size: int, steps: int, seed: int
    ) -> TrainedNetwork:
        """Train on windows of all histories; the library's defaults but for what is named here.

        NHITS scales each window robustly, as in the library's own search space; PatchTST normalises each
        window within. Short series are padded with zeros, as the library offers, only where there are any.
        """
        from neuralforecast import NeuralForecast  # noqa: PLC0415
        from neuralforecast.losses.pytorch import MQLoss  # noqa: PLC0415
        from neuralforecast.models import NHITS, PatchTST  # noqa: PLC0415

        with quiet():
            settings: dict[str, Any] = {
                "h": horizon,
                "input_size": input_size,
                "loss": MQLoss(quantiles=list(LEVELS)),
                "max_steps": steps,
                "learning_rate": LEARNING_RATE,
                "windows_batch_size": WINDOWS,
                "start_padding_enabled": min(map(len, histories)) < input_size + horizon,
                "random_seed": seed,
                "accelerator": "cpu",
                "logger": False,
                "enable_checkpointing": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
            }
            if kind == "PatchTST":
                model = PatchTST(**settings, **patch_settings(input_size))
            else:
                model = NHITS(**settings, scaler_type="robust")
            fitted = NeuralForecast(models=[model], freq=1)
            fitted.fit(long_table(histories))
        return cls(fitted=fitted, horizon=horizon)

    def quantiles(self, histories: Sequence[Floats], levels: Sequence[float]) -> Floats:
        """Quantiles [N, H, Q] at some of the trained levels, sorted where the network crosses them."""
        with quiet():
            predicted = self.fitted.predict(long_table(histories)).drop("unique_id", "ds").to_numpy()
        chosen = predicted[:, [LEVELS.index(level) for level in levels]]
        return np.sort(chosen.reshape(len(histories), self.horizon, len(levels)), axis=-1).astype(float)

    def paths(self, histories: Sequence[Floats], *, method: str, paths: int, seed: int) -> Floats:
        """Paths [N, P, H] by the library's `simulate`; the method is one of `METHODS`."""
        with quiet():
            drawn = self.fitted.simulate(
                long_table(histories), n_paths=paths, seed=seed, method=METHODS[method]
            )
        ordered = drawn.drop("unique_id", "ds", "sample_id").to_numpy()
        return np.ascontiguousarray(ordered.reshape(paths, len(histories), self.horizon).transpose(1, 0, 2))


@dataclass(frozen=True, kw_only=True)
class TrainedDeepAR:
    """GluonTS's DeepAR that has been trained; steps count as months, so that it knows a season of 12."""

    predictor: Any

    @classmethod
    def train(cls, histories: Sequence[Floats], *, horizon: int, context: int, seed: int) -> TrainedDeepAR:
        """Train with the library's defaults (two layers of 40, Student t, 50 batches of 32 an epoch).

        But for fewer epochs, the context, and lags that fit into short histories.
        """
        import lightning  # noqa: PLC0415
        from gluonts.torch import DeepAREstimator  # noqa: PLC0415

        with quiet(), tempfile.TemporaryDirectory() as folder:
            lightning.seed_everything(seed, verbose=False)
            estimator = DeepAREstimator(
                freq="M",
                prediction_length=horizon,
                context_length=context,
                lags_seq=list(DEEPAR_LAGS),
                trainer_kwargs={
                    "max_epochs": DEEPAR_EPOCHS,
                    "accelerator": "cpu",
                    "default_root_dir": folder,
                    "logger": False,
                    "enable_progress_bar": False,
                    "enable_model_summary": False,
                },
            )
            return cls(predictor=estimator.train(monthly(histories)))

    def paths(self, histories: Sequence[Floats], *, paths: int, seed: int) -> Floats:
        """Paths [N, P, H]."""
        import lightning  # noqa: PLC0415

        with quiet():
            lightning.seed_everything(seed, verbose=False)
            predicted = [
                forecast.samples for forecast in self.predictor.predict(monthly(histories), num_samples=paths)
            ]
        return np.stack(predicted).astype(float)


def monthly(histories: Sequence[Floats]) -> Any:  # noqa: ANN401 (GluonTS is not always installed)
    """Data set of GluonTS with these series."""
    import pandas as pd  # noqa: PLC0415
    from gluonts.dataset.common import ListDataset  # noqa: PLC0415

    start = pd.Period("2000-01", "M")
    return ListDataset([{"start": start, "target": series} for series in histories], freq="M")
