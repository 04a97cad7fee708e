import pytest
import torch

from models.network.transformer import Network
from models.training.optimizer import MuonAdamW, orthogonalise


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_orthogonalise_keeps_the_directions_and_evens_the_singular_values(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ orthogonalise(matrix) @ right.T
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-4
    assert 0.5 < inner.diagonal().min() <= inner.diagonal().max() < 1.3


def test_what_is_no_block_matrix_moves_as_under_adamw(small_settings):
    torch.manual_seed(0)
    ours, theirs = Network(small_settings), Network(small_settings)
    theirs.load_state_dict(ours.state_dict())
    mixed = MuonAdamW(ours, learning_rate=1e-2, weight_decay=0.0)
    plain = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.0, betas=(0.9, 0.98))
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        mixed.step()
        plain.step()
    moved = {
        name
        for name, mine in ours.named_parameters()
        if not torch.allclose(mine, theirs.get_parameter(name), atol=1e-5)
    }
    matrices = {name for name, mine in ours.named_parameters() if mine.ndim == 2}
    assert moved == {name for name in matrices if name.startswith("blocks.")}


def test_a_muon_update_has_the_size_of_an_adamw_one(small_settings):
    network = Network(small_settings)
    weight = network.blocks[0].feed_forward.inner.weight
    before = weight.detach().clone()
    optimizer = MuonAdamW(network, learning_rate=1e-2, weight_decay=0.0)
    weight.grad = 1e-6 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    optimizer.step()
    assert float((weight.detach() - before).square().mean().sqrt()) == pytest.approx(0.2e-2, rel=0.3)


def test_every_parameter_is_in_exactly_one_group(small_settings):
    network = Network(small_settings)
    groups = MuonAdamW(network, learning_rate=1e-3, weight_decay=0.1).param_groups
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(map(id, network.parameters()))
    assert all(p.ndim > 1 for group in groups if group["weight_decay"] for p in group["params"])


def test_block_matrices_move_as_under_the_muon_of_torch_but_for_its_bfloat16(small_settings):
    network = Network(small_settings)
    names = [name for name, p in network.named_parameters() if name.startswith("blocks.") and p.ndim == 2]
    start = {name: network.get_parameter(name).detach().clone() for name in names}
    theirs = {name: torch.nn.Parameter(start[name].clone()) for name in names}
    plain = torch.optim.Muon(theirs.values(), lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    ours = MuonAdamW(network, learning_rate=1e-2, weight_decay=0.1)
    for step in range(4):
        generator = torch.Generator().manual_seed(step)
        for name in names:
            gradient = torch.randn(start[name].shape, generator=generator)
            network.get_parameter(name).grad, theirs[name].grad = gradient, gradient.clone()
        ours.step()
        plain.step()
    for name in names:
        moved, expected = network.get_parameter(name) - start[name], theirs[name] - start[name]
        assert (moved - expected).norm() < 0.02 * expected.norm(), name
