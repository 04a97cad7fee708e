import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.errors import CheckpointError
from models.inference.checkpoint import (
    CARD,
    WEIGHTS,
    WITHOUT_CLASSICS,
    WITHOUT_STRUCTURES,
    load_checkpoint,
    save_checkpoint,
)

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path, small_network):
    save_checkpoint(tmp_path / "net", small_network, {"steps": 3, "scores": {}})
    return tmp_path / "net"


def edit_card(folder, change):
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))


def test_weights_and_card_come_back_as_they_were_saved(folder, small_network):
    network, card = load_checkpoint(folder, CPU)
    assert network.settings == small_network.settings
    assert card["steps"] == 3
    assert not network.training
    for name, tensor in small_network.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)


def test_nothing_half_written_is_left_behind(folder):
    assert sorted(path.name for path in folder.iterdir()) == [CARD, WEIGHTS]


def test_a_truncated_file_of_weights_is_refused(folder):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(folder, CPU)


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(folder, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(architecture="other"), "another architecture: expected .*, found other"),
        (lambda card: card["network"].pop("width"), "does not fit this code"),
        (lambda card: card["network"].update(depth=3), "does not fit this code"),
        (lambda card: card["network"].update(heads=5), "is not valid: width must be a multiple"),
        (lambda card: card["network"].update(width=64), "do not fit the network of their card"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_sentence(folder, change, message):
    edit_card(folder, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(folder, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", [WITHOUT_STRUCTURES, WITHOUT_CLASSICS])
def test_weights_of_an_earlier_architecture_forecast_as_they_did(folder, small_network, architecture):
    later = set(small_network.structural_weights())
    if architecture == WITHOUT_CLASSICS:
        later |= set(small_network.classical_weights())
    weights = load_file(folder / WEIGHTS)
    kept = {name: value for name, value in weights.items() if name not in later}
    assert len(kept) == len(weights) - len(later)
    save_file(kept, folder / WEIGHTS)
    edit_card(folder, lambda card: card.update(architecture=architecture))
    network, _ = load_checkpoint(folder, CPU)
    for name, value in network.state_dict().items():
        assert torch.equal(value, kept.get(name, torch.zeros_like(value)))


@pytest.mark.parametrize("part", ["classical_weights", "structural_weights"])
def test_weights_of_today_without_a_part_are_refused(folder, small_network, part):
    weights = load_file(folder / WEIGHTS)
    for name in getattr(small_network, part)():
        del weights[name]
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_checkpoint(folder, CPU)


def test_a_card_that_is_no_json_is_refused(folder):
    (folder / CARD).write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(folder, CPU)


def test_a_pickle_in_place_of_the_weights_is_not_loaded(folder, small_network):
    torch.save(small_network.state_dict(), folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(folder, CPU)
