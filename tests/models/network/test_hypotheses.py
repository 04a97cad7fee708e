import numpy as np
import pytest
import torch

from forecasting.forecasters.bank.catalogue import Hypothesis as Oracle
from models.network.hypotheses import FAMILIES, REACH, WINDOW, covariance, factors, hypotheses

GRID = list(hypotheses())
TIMES = torch.cat([-torch.arange(1, 13), torch.arange(1, 9)]).double()


def oracle(each):
    """Covariance by the kernels of the bank of forecasters, which sums processes instead of variances."""
    found = Oracle(
        family=each.family,
        walk=each.walk,
        noise=each.noise,
        growth=each.growth,
        growth_memory=each.memory if each.growth else 0.0,
        reverting=each.reverting,
        memory=each.memory if each.reverting else 0.0,
        drift=each.drift,
        bend=each.bend,
    ).covariance(np.arange(-12, 9))
    places = (TIMES.numpy() + 12).astype(int)
    return found[np.ix_(places, places)]


@pytest.mark.parametrize("each", GRID, ids=lambda each: each.family)
def test_covariances_are_those_of_the_bank_of_forecasters(each):
    np.testing.assert_allclose(covariance(each, TIMES).numpy(), oracle(each), rtol=1e-10, atol=1e-10)


def test_every_family_has_members_and_the_same_prior():
    found = factors(torch.device("cpu"), REACH)
    assert {each.family for each in GRID} == set(FAMILIES)
    torch.testing.assert_close(
        found.families.T @ found.prior.exp(), torch.full((len(FAMILIES),), 1 / len(FAMILIES))
    )


def test_a_leading_block_serves_shorter_histories():
    found, times = factors(torch.device("cpu"), REACH), -torch.arange(1, 11).double()
    for k, each in enumerate(GRID):
        matrix = covariance(each, times)
        whitener = found.whitener[k, :10, :10].double()
        torch.testing.assert_close(
            whitener @ matrix @ whitener.T, torch.eye(10).double(), rtol=1e-3, atol=1e-3
        )
        assert float(found.log_determinant[k, 10]) == pytest.approx(float(matrix.logdet()), abs=1e-3)
    assert found.log_determinant.shape == (len(GRID), WINDOW + 1)
