import hashlib
import json
import math
import resource
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.distributed.signals import STOP, StopRequestedError
from models.errors import CheckpointError
from models.inference.checkpoint import CARD, WEIGHTS, load_checkpoint
from models.settings import PretrainSettings, TrainingSettings, WorldSettings
from models.training.module import ForecasterModule, NotANumberError, batch_losses, rate, total_loss
from models.training.pretrain import STATE, pretrain
from models.worlds.mixture import GENERATORS, WorldStream

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def recipe(small_settings):
    return PretrainSettings(
        network=small_settings,
        worlds=WorldSettings(series_per_batch=24, shapes=((24, 8, 1), (16, 8, 2))),
        training=TrainingSettings(steps=6, warmup_steps=2, bfloat16=False),
    )


def train(recipe, folder, **options):
    pretrain(recipe, folder, device="cpu", **options)
    return load_checkpoint(folder, CPU)


def weights_of(folder):
    return {name: value.numpy() for name, value in load_checkpoint(folder, CPU)[0].state_dict().items()}


def test_the_same_recipe_gives_the_same_weights(recipe, tmp_path):
    train(recipe, tmp_path / "a")
    train(recipe, tmp_path / "b")
    first, second = weights_of(tmp_path / "a"), weights_of(tmp_path / "b")
    assert all(np.array_equal(first[name], second[name]) for name in first)


class StopAt:
    """Asks the process to stop at a step, as a cluster does, and remembers every loss."""

    def __init__(self, step=None, number=signal.SIGTERM):
        self.losses, self._step, self._number = {}, step, number

    def __call__(self, step, scalars):
        self.losses[step] = scalars["train/loss"]
        if step == self._step:
            signal.raise_signal(self._number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_run_that_is_stopped_and_resumed_has_the_losses_of_an_unbroken_one(recipe, tmp_path, number):
    whole, first, second = StopAt(), StopAt(3, number), StopAt()
    train(recipe, tmp_path / "whole", progress=whole)
    with STOP.listening(), pytest.raises(StopRequestedError, match=number.name):
        train(recipe, tmp_path / "broken", progress=first)
    train(recipe, tmp_path / "broken", progress=second)
    assert list(first.losses) == [1, 2, 3]
    assert first.losses | second.losses == whole.losses
    everything, resumed = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    assert all(np.array_equal(everything[name], resumed[name]) for name in everything)


def test_a_finished_run_is_left_as_it_is(recipe, tmp_path):
    train(recipe, tmp_path)
    again = StopAt()
    before = weights_of(tmp_path)
    assert pretrain(recipe, tmp_path, device="cpu", progress=again) == 6
    assert not again.losses
    assert all(np.array_equal(before[name], value) for name, value in weights_of(tmp_path).items())


def test_a_folder_of_another_recipe_is_refused_with_the_first_difference(recipe, tmp_path):
    train(recipe, tmp_path)
    other = replace(recipe, training=replace(recipe.training, learning_rate=0.1))
    with pytest.raises(CheckpointError, match=r"training.learning_rate is 0.0025 there and 0.1 here"):
        train(other, tmp_path)


def test_a_truncated_state_is_told_in_a_sentence(recipe, tmp_path):
    train(recipe, tmp_path)
    state = tmp_path / STATE
    state.write_bytes(state.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="the state of the training cannot be read"):
        train(recipe, tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_state(recipe, tmp_path, monkeypatch):
    with STOP.listening(), pytest.raises(StopRequestedError):
        train(recipe, tmp_path, progress=StopAt(3))
    kept = (tmp_path / STATE).read_bytes()
    draw = WorldStream.batch

    def spoiled(self, number, device):
        batch = draw(self, number, device)
        return batch._replace(values=batch.values * math.nan) if number == 4 else batch

    monkeypatch.setattr(WorldStream, "batch", spoiled)
    with pytest.raises(NotANumberError, match=r"^batch 4 of process 0$"):
        train(recipe, tmp_path)
    assert (tmp_path / STATE).read_bytes() == kept


def test_a_full_disk_stops_nothing_on_the_way_but_the_end_says_so(recipe, tmp_path, monkeypatch, caplog):
    with STOP.listening(), pytest.raises(StopRequestedError):
        train(recipe, tmp_path, progress=StopAt(2))
    kept = (tmp_path / STATE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"cannot be written .*File too large.* is kept"):
            train(recipe, tmp_path, seconds=0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "training goes on" in caplog.text
    assert (tmp_path / STATE).read_bytes() == kept
    assert not list(tmp_path.glob("*.partial"))


def test_training_lowers_the_loss(recipe):
    torch.manual_seed(0)
    module = ForecasterModule(recipe)
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


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_however_many_processes_share_a_batch_it_has_the_size_of_the_recipe(recipe, processes):
    whole = WorldStream(recipe.worlds, recipe.network, seed=5)
    shares = [
        WorldStream(recipe.worlds, recipe.network, seed=5, rank=rank, processes=processes)
        for rank in range(processes)
    ]
    for number in (0, 9, 17):
        batch = whole.batch(number, CPU)
        parts = [share.batch(number, CPU) for share in shares]
        assert sum(len(part.values) for part in parts) == len(batch.values)
        assert {part.values.shape[1:] for part in parts} == {batch.values.shape[1:]}


def test_processes_draw_worlds_of_their_own(recipe):
    shares = [WorldStream(recipe.worlds, recipe.network, seed=5, rank=rank, processes=2) for rank in (0, 1)]
    first, second = (share.batch(0, CPU).values for share in shares)
    assert not torch.equal(first[: len(second)], second[: len(first)])


def test_the_rate_of_a_cosine_warms_up_and_falls_to_zero():
    training = TrainingSettings(steps=100, warmup_steps=10, schedule="cosine")
    shares = [rate(step, training) for step in range(101)]
    assert shares[0] == 0.1
    assert max(shares) == shares[10] == 1.0
    assert np.all(np.diff(shares[10:]) <= 0)
    assert shares[100] == pytest.approx(0.0)


def test_the_stable_rate_stays_until_it_decays():
    training = TrainingSettings(steps=100, warmup_steps=10)
    assert [rate(step, training) for step in (10, 50, 99, 10_000)] == [1.0] * 4
    decaying = replace(training, decay_from=80)
    assert [rate(step, decaying) for step in (79, 80, 85, 100)] == pytest.approx([1.0, 1.0, 0.5, 0.0])


def test_a_stable_training_that_has_ended_can_be_made_longer(recipe, tmp_path):
    longer = replace(recipe, training=replace(recipe.training, steps=9))
    whole, first, second = StopAt(), StopAt(), StopAt()
    train(longer, tmp_path / "whole", progress=whole)
    train(recipe, tmp_path / "broken", progress=first)
    train(longer, tmp_path / "broken", progress=second)
    assert list(second.losses) == [7, 8, 9]
    assert first.losses | second.losses == whole.losses


def test_a_training_begins_from_the_weights_of_a_checkpoint_and_its_card_says_which(recipe, tmp_path):
    train(recipe, tmp_path / "first")
    begun = replace(recipe, init=str(tmp_path / "first"), training=replace(recipe.training, steps=1))
    still = replace(begun, training=replace(begun.training, learning_rate=0.0))
    _, card = train(still, tmp_path / "second")
    before, after = weights_of(tmp_path / "first"), weights_of(tmp_path / "second")
    assert all(np.array_equal(before[name], after[name]) for name in before)
    digest = hashlib.sha256((tmp_path / "first" / WEIGHTS).read_bytes()).hexdigest()
    assert (card["begun_from"]["sha256"], card["begun_from"]["steps"]) == (digest, 6)


def test_what_a_training_began_from_is_kept_when_it_goes_on(recipe, tmp_path):
    train(recipe, tmp_path / "first")
    begun = replace(recipe, init=str(tmp_path / "first"))
    with STOP.listening(), pytest.raises(StopRequestedError):
        train(begun, tmp_path / "second", progress=StopAt(3))
    _, card = train(begun, tmp_path / "second")
    assert card["begun_from"]["steps"] == 6


def test_weights_of_another_shape_are_not_begun_from(recipe, tmp_path):
    train(recipe, tmp_path / "first")
    other = replace(recipe, init=str(tmp_path / "first"), network=replace(recipe.network, blocks=1))
    with pytest.raises(CheckpointError, match=r"network.blocks is 2 there and 1 here"):
        train(other, tmp_path / "second")


def test_a_gpu_asked_for_where_there_is_none_stops_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="sees no GPU"):
        pretrain(PretrainSettings(), tmp_path / "run", device="gpu")
    assert not (tmp_path / "run").exists()
