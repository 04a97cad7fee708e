import pytest
import torch

from models.network.head import PredictiveDistribution, normalise_variance
from models.network.transformer import Network
from models.settings import NetworkSettings


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_settings():
    return NetworkSettings(width=32, blocks=2, heads=2, feedforward=48, shared_rank=2, own_rank=4)


@pytest.fixture(scope="session")
def small_network(small_settings):
    torch.manual_seed(3)
    network = Network(small_settings)
    torch.nn.init.normal_(network.head.out.weight, std=0.1)  # an untrained head reads nothing
    return network.eval()


@pytest.fixture(scope="session")
def random_distribution():
    levels = NetworkSettings().quantile_levels

    def make(seed, *, shape=(2, 2, 3)):
        generator = torch.Generator().manual_seed(seed)
        gaps = torch.rand(*shape, len(levels), generator=generator) + 0.05
        shared, own = (torch.randn(*shape, rank, generator=generator) for rank in (2, 3))
        copula = normalise_variance(shared, own, torch.rand(*shape, generator=generator) + 0.1)
        return PredictiveDistribution(
            gaps.cumsum(-1) - 3.0, torch.rand(*shape, 2, generator=generator) + 0.1, *copula
        )

    return make
