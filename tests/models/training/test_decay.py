from dataclasses import replace

import numpy as np
import pytest
import torch

from models.distributed.signals import STOP, StopRequestedError
from models.errors import CheckpointError
from models.inference.checkpoint import load_checkpoint
from models.settings import PretrainSettings, TrainingSettings, WorldSettings
from models.training.decay import averaged, cut
from models.training.pretrain import STATE, pretrain
from tests.models.training.test_module import StopAt, weights_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def recipe(small_settings):
    return PretrainSettings(
        network=small_settings,
        worlds=WorldSettings(series_per_batch=24, shapes=((24, 8, 1),)),
        training=TrainingSettings(steps=4, warmup_steps=1, bfloat16=False),
    )


@pytest.fixture
def trained(recipe, tmp_path):
    pretrain(recipe, tmp_path / "run", device="cpu")
    return tmp_path / "run"


def test_cutting_weights_leaves_the_training_as_it_is_and_its_length_on_the_card(recipe, trained):
    before = (trained / STATE).read_bytes()
    folder = cut(recipe, trained, steps=3, device="cpu")
    assert (trained / STATE).read_bytes() == before
    card = load_checkpoint(folder, CPU)[1]
    assert card["decay"] == {"from": 4, "steps": 3, "averaged": 1}
    assert (card["steps"], card["training"]["decay_from"]) == (7, 4)
    cut_weights, own = weights_of(folder), weights_of(trained)
    assert any(not np.array_equal(cut_weights[name], own[name]) for name in own)


def test_a_cut_that_is_stopped_goes_on_with_the_losses_of_an_unbroken_one(recipe, trained, tmp_path):
    pretrain(recipe, tmp_path / "twin", device="cpu")
    whole, first, second = StopAt(), StopAt(6), StopAt()
    cut(recipe, tmp_path / "twin", steps=3, device="cpu", progress=whole)
    with STOP.listening(), pytest.raises(StopRequestedError):
        cut(recipe, trained, steps=3, device="cpu", progress=first)
    cut(recipe, trained, steps=3, device="cpu", progress=second)
    assert first.losses | second.losses == whole.losses
    assert list(whole.losses) == [5, 6, 7]


def test_several_decays_see_batches_of_their_own_and_are_averaged(recipe, trained):
    folder = cut(recipe, trained, steps=2, decays=2, device="cpu")
    first, second = (weights_of(folder / f"decay-{number}-2") for number in (1, 2))
    mean = weights_of(folder)
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    for name, value in mean.items():
        np.testing.assert_allclose(value, (first[name] + second[name]) / 2, rtol=1e-6, atol=1e-7)


def test_a_second_cut_of_another_length_is_a_decay_of_its_own(recipe, trained):
    cut(recipe, trained, steps=3, device="cpu")
    card = load_checkpoint(cut(recipe, trained, steps=2, device="cpu"), CPU)[1]
    assert (card["steps"], card["decay"]["steps"]) == (6, 2)


def test_the_mean_of_one_network_is_itself(small_network):
    network, card = averaged([(small_network, {"steps": 3, "architecture": "a", "network": {}})])
    assert card == {"steps": 3}
    assert network is small_network


def test_there_must_be_a_stable_training_to_cut_from(recipe, trained, tmp_path):
    with pytest.raises(CheckpointError, match="found no last.ckpt there"):
        cut(recipe, tmp_path / "none", steps=2, device="cpu")
    cosine = replace(recipe, training=replace(recipe.training, schedule="cosine"))
    with pytest.raises(CheckpointError, match="expected training.schedule stable, found cosine"):
        cut(cosine, trained, steps=2, device="cpu")
