"""Fine-tuning: it learns, it never ends worse than it began, it is repeatable, and it knows when to stop."""

import logging
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

import models.training.finetune
import models.training.validation
from models.distributed.signals import STOP, StopRequestedError
from models.errors import DeviceError, ModelError, SeriesError
from models.network.losses import losses
from models.network.transformer import Network
from models.settings import PretrainSettings, TrainingSettings, WorldSettings
from models.training.checkpointing import CheckpointSettings
from models.training.finetune import FineTuneSettings, MixedStream, finetune
from models.training.module import ForecasterModule, batch_losses
from models.training.observed_series import ObservedSeries, held_out_steps, rolling_validation
from models.training.validation import ALL_STEPS, NO_BETTER, NOT_A_NUMBER, validate

RECIPE = PretrainSettings(
    worlds=WorldSettings(series_per_batch=8, shapes=((16, 8, 1),)),
    training=TrainingSettings(bfloat16=False),
)
SETTINGS = FineTuneSettings(
    steps=12,
    warmup_steps=2,
    learning_rate=3e-3,
    windows=16,
    worlds_share=0.25,
    origins=2,
    check_every=4,
    patience=None,
    seed=5,
)


@pytest.fixture(scope="module")
def observed():
    """Seasonal series that double in each third step: easy to learn, and not in a fresh network."""
    season = np.tile([1.0, 1.1, 2.0, 1.2], 10)
    levels = np.random.default_rng(0).lognormal(3, 1, (12, 1, 1))
    noise = np.random.default_rng(1).normal(1, 0.02, (12, 1, 40))
    return ObservedSeries(levels * season * noise, 4, 6)


@pytest.fixture(scope="module")
def tuned(observed, small_network):
    reports = []
    result = finetune(
        observed,
        SETTINGS,
        start=small_network,
        recipe=RECIPE,
        device="cpu",
        progress=lambda step, scalars: reports.append((step, dict(scalars))),
    )
    return result, reports


def run(observed, start, *, state=None, progress=None, **changes):
    return finetune(
        observed,
        replace(SETTINGS, **changes),
        start=start,
        recipe=RECIPE,
        device="cpu",
        kept=CheckpointSettings(state),
        progress=progress,
    )


def weights(network):
    return torch.cat([value.flatten() for value in network.state_dict().values()])


def validation_loss(observed, network):
    held_out = held_out_steps(observed, origins=SETTINGS.origins)
    batches = rolling_validation(observed, held_out=held_out, origins=2, network=network.settings)
    return validate(network, batches, RECIPE.training)["validation/loss"]


def test_it_learns_and_keeps_the_best_weights(observed, small_network, tuned):
    result, _ = tuned
    assert result.improved
    assert result.best["validation/loss"] < result.start["validation/loss"] - 0.1
    assert validation_loss(observed, result.network) == pytest.approx(
        result.best["validation/loss"], rel=1e-5
    )
    assert validation_loss(observed, small_network) == pytest.approx(
        result.start["validation/loss"], rel=1e-5
    )
    assert (result.steps, result.stopped) == (12, ALL_STEPS)


def test_the_start_is_left_as_it_was(observed, small_network):
    before = weights(small_network).clone()
    tuned = run(observed, small_network, steps=2, check_every=1)
    assert not torch.equal(weights(tuned.network), before)
    assert torch.equal(weights(small_network), before)


def test_the_same_seed_gives_the_same_weights(observed, small_network, tuned):
    again = run(observed, small_network)
    assert torch.equal(weights(again.network), weights(tuned[0].network))
    assert again.best == tuned[0].best


def test_scalars_are_told_by_name_after_every_step_and_validation(tuned):
    result, reports = tuned
    steps = [step for step, scalars in reports if "train/loss" in scalars]
    assert steps == list(range(1, 13))
    names = {name for _, scalars in reports for name in scalars}
    assert names >= {
        "train/quantile_loss",
        "train/copula_loss",
        "train/tail_loss",
        "train/windows_per_second",
    }
    checked = {step: scalars["validation/loss"] for step, scalars in reports if "validation/loss" in scalars}
    assert list(checked) == [0, 4, 8, 12]
    assert min(checked.values()) == result.best["validation/loss"]
    assert checked[result.best_step] == result.best["validation/loss"]


def test_the_card_tells_the_recipe(tuned):
    card = tuned[0].card
    assert card["fine_tuning"]["learning_rate"] == card["training"]["learning_rate"] == 3e-3
    assert card["steps"] == 12
    assert card["device"] == "cpu"


def test_no_step_that_improves_leaves_the_start(observed, small_network):
    spoilt = run(observed, small_network, learning_rate=30.0, warmup_steps=0, worlds_share=0.0)
    assert not spoilt.improved
    assert spoilt.best_step == 0
    assert torch.equal(weights(spoilt.network), weights(small_network))
    assert spoilt.best == spoilt.start


def test_it_stops_early_when_validations_do_not_get_better(observed, small_network):
    stopped = run(
        observed, small_network, learning_rate=30.0, warmup_steps=0, check_every=2, patience=2, steps=40
    )
    assert stopped.stopped == NO_BETTER
    assert stopped.steps == stopped.best_step + 4


def test_a_loss_that_is_not_a_number_stops_it_at_that_step_with_the_last_good_weights(
    observed, small_network, monkeypatch, caplog
):
    real = ForecasterModule.training_step

    def breaks_at_seven(self, number, place):
        if self.global_step == 6:
            monkeypatch.setattr("models.training.module.losses", broken)
        return real(self, number, place)

    def broken(*arguments, **options):
        return losses(*arguments, **options)._replace(quantile=torch.tensor(float("nan")))

    monkeypatch.setattr(ForecasterModule, "training_step", breaks_at_seven)
    with caplog.at_level(logging.WARNING):
        result = run(observed, small_network)
    monkeypatch.undo()
    assert (result.steps, result.stopped) == (6, NOT_A_NUMBER)
    assert "the loss at step 7 is not a number" in caplog.text
    assert result.best_step == 4
    assert validation_loss(observed, result.network) == pytest.approx(
        result.best["validation/loss"], rel=1e-5
    )


def test_weights_that_break_are_noticed_and_not_kept(observed, small_network, monkeypatch):
    real = ForecasterModule.training_step

    def poisoned_at_seven(self, number, place):
        if self.global_step == 6:
            torch.nn.init.constant_(self.network.head.out.weight, float("inf"))
        return real(self, number, place)

    monkeypatch.setattr(ForecasterModule, "training_step", poisoned_at_seven)
    result = run(observed, small_network)
    assert (result.steps, result.stopped, result.best_step) == (6, NOT_A_NUMBER, 4)
    assert torch.isfinite(weights(result.network)).all()


def test_a_start_that_is_broken_is_refused(observed, small_settings):
    network = Network(small_settings)
    torch.nn.init.constant_(network.head.out.weight, float("nan"))
    with pytest.raises(ModelError, match="validation loss that is not a number"):
        run(observed, network)


def test_out_of_memory_halves_the_windows_and_says_so(observed, small_network, monkeypatch, caplog):
    real, sizes = models.training.finetune.TrainingWindows, []

    class Greedy(real):
        def batch(self, number, device):
            sizes.append(self._size)
            if self._size > 4:
                raise torch.OutOfMemoryError("no room")
            return super().batch(number, device)

    monkeypatch.setattr("models.training.finetune.TrainingWindows", Greedy)
    with caplog.at_level(logging.WARNING):
        result = run(observed, small_network, steps=3)
    assert sizes[:3] == [16, 8, 4]
    assert result.steps == 3
    assert caplog.messages == [
        f"out of memory while training: starting again with {size} windows per batch" for size in (8, 4)
    ]


def test_out_of_memory_with_one_window_is_not_hidden(observed, small_network, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr("models.training.finetune.TrainingWindows.batch", full)
    with pytest.raises(torch.OutOfMemoryError):
        run(observed, small_network, windows=1)


def test_without_a_start_a_new_network_of_the_recipes_shape_is_trained(observed, small_settings):
    recipe = replace(RECIPE, network=small_settings)
    first, second = (finetune(observed, SETTINGS, start=None, recipe=recipe, device="cpu") for _ in range(2))
    assert first.network.settings == small_settings
    assert first.improved
    assert torch.equal(weights(first.network), weights(second.network))


class Named:
    """Stream whose batches are their own names."""

    def __init__(self, name):
        self.name = name

    def batch(self, number, _):
        return f"{self.name} {number}"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.9])
def test_worlds_come_in_their_share_and_both_streams_in_order(share):
    mixed = MixedStream(Named("window"), Named("world"), worlds_share=share)
    drawn = [mixed.batch(number, torch.device("cpu")) for number in range(100)]
    worlds = [name for name in drawn if name.startswith("world")]
    assert worlds == [f"world {k}" for k in range(round(100 * share))]
    assert [name for name in drawn if name.startswith("window")] == [
        f"window {k}" for k in range(100 - len(worlds))
    ]


def test_the_validation_is_the_mean_over_all_targets(observed, small_network):
    held_out = held_out_steps(observed, origins=3)
    batches = rolling_validation(observed, held_out=held_out, origins=3, network=small_network.settings)
    total = {"quantile": 0.0, "tail": 0.0, "copula": 0.0}
    count = 0
    for batch in batches:
        for item in range(len(batch.values)):
            with torch.no_grad():
                one = batch_losses(
                    small_network,
                    batch.part(item, item + 1),
                    levels=small_network.head.levels,
                    paths=2,
                    generator=torch.Generator().manual_seed(0),
                )
            targets = int(batch.observed[item, :, -batch.horizon :].sum())
            count += targets
            for name in total:
                total[name] += float(getattr(one, name)) * targets
    found = validate(small_network, batches, RECIPE.training)
    for name, value in total.items():
        assert found[f"validation/{name}_loss"] == pytest.approx(value / count, rel=1e-3, abs=1e-5)
    weights = RECIPE.training
    assert found["validation/loss"] == pytest.approx(
        found["validation/quantile_loss"]
        + weights.tail_weight * found["validation/tail_loss"]
        + weights.copula_weight * found["validation/copula_loss"]
        + weights.path_weight * found["validation/path_loss"],
        rel=1e-4,
    )


def test_a_gpu_asked_for_where_there_is_none_is_refused(observed, small_network, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="sees no GPU"):
        finetune(observed, SETTINGS, start=small_network, recipe=RECIPE, device="gpu")


def test_a_horizon_beyond_the_networks_own_is_refused(observed, small_network):
    with pytest.raises(SeriesError, match="1 to 64 steps, found 65"):
        run(observed._replace(horizon=65), small_network)


def test_a_run_that_is_stopped_goes_on_to_where_an_unbroken_one_ends(observed, small_network, tmp_path):
    def stop(step, scalars):
        if step == 6 and "train/loss" in scalars:
            signal.raise_signal(signal.SIGTERM)

    whole = run(observed, small_network)
    state = tmp_path / "state" / "train.ckpt"
    with STOP.listening(), pytest.raises(StopRequestedError):
        run(observed, small_network, state=state, progress=stop)
    reports = []
    broken = run(observed, small_network, state=state, progress=lambda step, _: reports.append(step))
    assert min(reports) == 7
    assert torch.equal(weights(broken.network), weights(whole.network))
    assert (broken.start, broken.best, broken.best_step) == (whole.start, whole.best, whole.best_step)


def test_a_stop_during_the_first_validation_is_a_stop(observed, small_network, tmp_path, monkeypatch):
    real = models.training.validation.validate

    def stopped(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr("models.training.validation.validate", stopped)
    with STOP.listening(), pytest.raises(StopRequestedError, match="SIGTERM"):
        run(observed, small_network, state=tmp_path / "train.ckpt")


def test_a_state_that_cannot_be_kept_at_the_end_does_not_take_the_training_away(
    observed, small_network, tmp_path, caplog
):
    (tmp_path / "file").write_text("no folder")
    result = run(observed, small_network, state=tmp_path / "file" / "train.ckpt")
    assert result.steps == SETTINGS.steps
    assert "the training itself is done" in caplog.text


def test_a_run_that_had_ended_early_ends_at_once_when_it_is_asked_again(observed, small_network, tmp_path):
    early = {"learning_rate": 1e-9, "check_every": 1, "patience": 2, "state": tmp_path / "train.ckpt"}
    first, again = (run(observed, small_network, **early) for _ in range(2))
    assert first.stopped == again.stopped == NO_BETTER
    assert (again.steps, again.best_step) == (first.steps, first.best_step)
