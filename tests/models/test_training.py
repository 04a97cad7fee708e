import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.checkpoint import CARD, load_checkpoint
from models.pretrain import STATE, main, pretrain
from models.settings import PretrainSettings, TrainingSettings, WorldSettings
from models.training import BatchNumbers, Trainer, batch_losses, rate, total_loss
from models.worlds.mixture import GENERATORS

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def recipe(small_settings):
    return PretrainSettings(
        network=small_settings,
        worlds=WorldSettings(series_per_batch=24, shapes=((24, 8, 1), (16, 8, 2))),
        training=TrainingSettings(steps=6, warmup_steps=2, bfloat16=False),
    )


def train(recipe, folder, *, steps=6, resume=False):
    recipe = replace(recipe, training=replace(recipe.training, steps=steps))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        pretrain(recipe, folder, device="cpu", resume=resume, progress=False)
    return load_checkpoint(folder, CPU)


def weights_of(folder):
    return {name: value.numpy() for name, value in load_checkpoint(folder, CPU)[0].state_dict().items()}


def test_the_same_recipe_gives_the_same_weights(recipe, tmp_path):
    train(recipe, tmp_path / "a")
    train(recipe, tmp_path / "b")
    first, second = weights_of(tmp_path / "a"), weights_of(tmp_path / "b")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_resumed_run_ends_where_an_unbroken_one_does(recipe, tmp_path):
    train(recipe, tmp_path / "whole")
    stop_after(recipe, tmp_path / "broken", steps=3)
    train(recipe, tmp_path / "broken", resume=True)
    whole, broken = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    for name in whole:
        np.testing.assert_allclose(broken[name], whole[name], rtol=1e-6, atol=1e-7)


def stop_after(recipe, folder, *, steps):
    """A run of the whole recipe that is cut off after a number of steps."""

    class Impatient(Trainer):
        def on_train_batch_end(self, *arguments):
            super().on_train_batch_end(*arguments)
            self.trainer.should_stop = self.global_step >= steps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.pretrain.Trainer", Impatient)
        train(recipe, folder)


def test_training_lowers_the_loss(recipe):
    torch.manual_seed(0)
    module = Trainer(recipe)
    optimizer = torch.optim.AdamW(module.network.parameters(), lr=3e-3)
    history = []
    for step in range(60):
        parts = batch_losses(
            module.network,
            module.stream.batch(step, CPU),
            levels=module.network.head.levels,
            paths=8,
            generator=torch.Generator().manual_seed(step),
        )
        loss = total_loss(parts, recipe.training)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(float(loss.detach()))
    assert np.mean(history[-15:]) < np.mean(history[:15]) - 0.1


def test_the_card_says_how_the_weights_were_made(recipe, tmp_path):
    train(recipe, tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    assert card["steps"] == 6
    assert card["training"]["seed"] == card["seed"] == recipe.training.seed
    assert set(card) >= {"network", "worlds", "data", "device", "date", "commit", "scores", "torch"}
    assert card["worlds"]["generators"] == list(GENERATORS)


def test_the_kept_weights_are_averaged(recipe, tmp_path):
    train(recipe, tmp_path)
    state = torch.load(tmp_path / STATE, weights_only=True)["state_dict"]
    kept = weights_of(tmp_path)
    assert np.array_equal(kept["summary.weight"], state["average.summary.weight"].numpy())
    assert not np.array_equal(kept["summary.weight"], state["network.summary.weight"].numpy())


def test_processes_share_the_batches_between_them():
    first, second = (iter(BatchNumbers(first=3, rank=rank, world_size=2)) for rank in (0, 1))
    assert [next(first) for _ in range(3)] == [6, 8, 10]
    assert [next(second) for _ in range(3)] == [7, 9, 11]


def test_the_rate_warms_up_and_falls_to_zero():
    shares = [rate(step, warmup=10, steps=100) for step in range(101)]
    assert shares[0] == 0.1
    assert max(shares) == shares[10] == 1.0
    assert np.all(np.diff(shares[10:]) <= 0)
    assert shares[100] == pytest.approx(0.0)


def test_a_gpu_asked_for_where_there_is_none_stops_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="sees no GPU"):
        main(["--out", str(tmp_path / "run"), "--device", "gpu"])
    assert not (tmp_path / "run").exists()
