"""Paired trainings: arms differ in one thing alone."""

from unittest import mock

import pytest
import torch
from paired_training import LONG, SHAPES, STRUCTURES, VARIANTS, WHOLE, report, train, worlds_of

from models.network.transformer import Network
from models.settings import NetworkSettings, TrainingSettings
from models.worlds.mixture import GENERATORS, WorldStream


def test_an_arm_leaves_out_one_world_or_none():
    assert worlds_of(WHOLE, series=8).generators == worlds_of(STRUCTURES, series=8).generators
    assert set(GENERATORS) - set(worlds_of("walks", series=8).generators) == {"walks"}


@pytest.mark.parametrize(("arm", "long"), [("drift_spike", False), ("one_season", True)])
def test_a_variant_sees_other_values_for_the_time_of_its_training(arm, long):
    settings = worlds_of(arm, series=4, shapes=(LONG,) if long else SHAPES)

    def batch():
        stream = WorldStream(settings, NetworkSettings(), seed=3)
        return stream.batch(0, torch.device("cpu")).values

    usual = batch()
    with mock.patch(*VARIANTS[arm]):
        varied = batch()
    assert varied.shape == usual.shape
    assert not torch.equal(varied, usual)
    assert torch.equal(batch(), usual)


def test_without_the_bank_its_maps_stay_at_zero_and_the_start_is_not_touched():
    torch.manual_seed(0)
    start = Network(NetworkSettings(width=16, blocks=1, heads=2, feedforward=16))
    before = {name: value.clone() for name, value in start.state_dict().items()}
    training = TrainingSettings(steps=2, warmup_steps=1, learning_rate=1e-2, paths_per_item=2)
    whole, _ = train(start, WHOLE, training, series=2)
    without, _ = train(start, STRUCTURES, training, series=2)
    assert any(weight.any() for weight in whole.structural_weights().values())
    assert not any(weight.any() for weight in without.structural_weights().values())
    assert not torch.equal(without.past.enter.weight, before["past.enter.weight"])
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())


def test_the_report_tells_what_changed_since_the_start():
    table = report({"validation/loss": 1.0}, {"walks": {"validation/loss": 0.75}}, {"walks": 3.0})
    assert "| at the start | 1.0000 | |" in table
    assert table.endswith("| without walks | -0.2500 | 3 |")
