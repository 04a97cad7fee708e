import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.network.features import Inputs, autocorrelation, build_features, filled_age
from models.network.head import TAIL_LIMIT
from models.network.transformer import Attention, Network, attend, count_parameters, flops_per_window, rotate
from models.settings import NetworkSettings


def make_inputs(*, items=2, variates=2, length=20, horizon=10, seed=0, season=4):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(items, variates, length, generator=generator).cumsum(-1).double()
    return Inputs(
        values=values,
        observed=torch.ones_like(values).bool(),
        season=torch.full((items,), season),
        covariates=torch.zeros(items, 2, length + horizon).double(),
        statics=torch.zeros(items, variates, 2).double(),
    )


def test_the_default_network_has_between_one_and_five_million_parameters():
    assert 1e6 < count_parameters(Network(NetworkSettings())) < 5e6


@pytest.mark.parametrize(("length", "horizon"), [(8, 1), (9, 5), (33, 64), (512, 3)])
def test_any_context_and_horizon_is_decoded_in_one_pass(small_network, length, horizon):
    _, distribution = small_network(make_inputs(length=length, horizon=horizon))
    assert distribution.quantiles.shape[:3] == (2, 2, horizon)
    assert (
        distribution.own.shape[:3]
        == distribution.shared.shape[:3]
        == distribution.noise.shape
        == (2, 2, horizon)
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.floats(-6, 6))
def test_quantiles_ascend_and_the_law_is_finite(small_network, seed, power):
    inputs = make_inputs(seed=seed)
    _, distribution = small_network(inputs._replace(values=inputs.values * 10**power))
    assert (distribution.quantiles.diff(dim=-1) >= 0).all()
    assert all(part.isfinite().all() for part in distribution)
    assert ((distribution.tails > 0) & (distribution.tails <= TAIL_LIMIT)).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(-20, 20))
def test_the_law_does_not_depend_on_the_unit(small_network, seed, power):
    inputs = make_inputs(seed=seed)
    _, distribution = small_network(inputs)
    _, other = small_network(inputs._replace(values=inputs.values * 2.0 ** round(power)))
    torch.testing.assert_close(distribution, other, rtol=1e-3, atol=1e-3)


def test_the_order_of_the_variates_does_not_matter(small_network):
    inputs = make_inputs(variates=3)
    order = [2, 0, 1]
    _, distribution = small_network(inputs)
    turned = inputs._replace(
        values=inputs.values[:, order], observed=inputs.observed[:, order], statics=torch.zeros(2, 3, 2)
    )
    _, other = small_network(turned)
    torch.testing.assert_close(distribution.quantiles[:, order], other.quantiles, rtol=1e-4, atol=1e-4)


def test_variates_of_one_item_are_read_together_and_items_apart(small_network):
    inputs = make_inputs()
    values = inputs.values.clone()
    values[0, 0] = values[0, 0].flip(-1) * 3
    _, distribution = small_network(inputs)
    _, other = small_network(inputs._replace(values=values))
    assert not torch.allclose(distribution.quantiles[0, 1], other.quantiles[0, 1])
    torch.testing.assert_close(distribution.quantiles[1], other.quantiles[1])


@pytest.mark.parametrize("name", ["covariates", "statics", "season"])
def test_hints_and_covariates_are_read(small_network, name):
    inputs = make_inputs(season=0)
    ramp = torch.linspace(0, 1, 30).double()
    hint = {
        "covariates": ramp.expand(2, 2, -1),
        "statics": torch.ones(2, 2, 2),
        "season": torch.full((2,), 5),
    }
    _, distribution = small_network(inputs)
    _, other = small_network(inputs._replace(**{name: hint[name]}))
    assert not torch.allclose(distribution.quantiles, other.quantiles)


def test_unobserved_values_are_never_read(small_network):
    inputs = make_inputs(season=4)
    observed = inputs.observed.clone()
    observed[:, :, 3:9] = False
    _, distribution = small_network(inputs._replace(observed=observed))
    junk = torch.where(observed, inputs.values, 1e9)
    _, other = small_network(inputs._replace(observed=observed, values=junk))
    torch.testing.assert_close(distribution, other)


def test_a_new_network_reads_no_classical_forecasts(small_settings):
    torch.manual_seed(0)
    network = Network(small_settings)
    torch.nn.init.normal_(network.head.out.weight, std=0.1)
    features = build_features(make_inputs())
    blank = features.classics._replace(
        forecasts=torch.zeros_like(features.classics.forecasts),
        evidence=torch.zeros_like(features.classics.evidence),
        beneath=torch.zeros_like(features.classics.beneath),
    )
    for part, other in zip(
        network.decode(features), network.decode(features._replace(classics=blank)), strict=True
    ):
        assert torch.equal(part, other)


def test_a_new_network_does_not_read_the_bank_of_hypotheses(small_settings):
    torch.manual_seed(0)
    network = Network(small_settings)
    torch.nn.init.normal_(network.head.out.weight, std=0.1)
    features = build_features(make_inputs())
    changed = features.classics._replace(
        means=torch.randn_like(features.classics.means),
        spread=torch.randn_like(features.classics.spread),
        posterior=torch.randn_like(features.classics.posterior),
    )
    for part, other in zip(
        network.decode(features), network.decode(features._replace(classics=changed)), strict=True
    ):
        assert torch.equal(part, other)


def test_the_bank_is_asked_in_training_and_where_a_weight_reads_it(small_settings):
    inputs, network = make_inputs(), Network(small_settings)
    asked = build_features(inputs).classics.means
    assert torch.equal(network.features(inputs).classics.means, asked)
    network.eval()
    assert not network.features(inputs).classics.means.any()
    torch.nn.init.ones_(network.posterior.weight)
    assert torch.equal(network.features(inputs).classics.means, asked)


def test_every_structural_weight_learns(small_settings):
    torch.manual_seed(0)
    network = Network(small_settings)
    torch.nn.init.normal_(network.head.out.weight, std=0.1)
    _, distribution = network(make_inputs())
    distribution.quantiles.square().sum().backward()
    named = dict(network.named_parameters())
    assert len(network.structural_weights()) == 3
    assert all(named[name].grad.abs().sum() > 0 for name in network.structural_weights())


def test_every_classical_weight_learns(small_settings):
    torch.manual_seed(0)
    network = Network(small_settings)
    torch.nn.init.normal_(network.head.out.weight, std=0.1)
    _, distribution = network(make_inputs())
    distribution.quantiles.square().sum().backward()
    named = dict(network.named_parameters())
    assert len(network.classical_weights()) == 5
    assert all(named[name].grad.abs().sum() > 0 for name in network.classical_weights())


def test_seasonal_echoes_are_the_values_of_the_same_phase():
    inputs = make_inputs(items=1, variates=1, length=12, horizon=6, season=4)
    features = build_features(inputs)
    for step in range(6):
        last = 12 + step - 4 * (1 + step // 4)
        expected = features.scaling.view(inputs.values)[0, 0, last]
        assert float(features.horizon[0, 0, step, 0]) == pytest.approx(float(expected), abs=1e-6)
        assert float(features.horizon[0, 0, step, 1]) == 1.0


def test_age_counts_the_steps_since_the_last_observation():
    observed = torch.tensor([[[True, False, False, True]]])
    torch.testing.assert_close(filled_age(observed).expm1(), torch.tensor([[[0.0, 1.0, 2.0, 0.0]]]))


def test_autocorrelation_agrees_with_a_plain_loop():
    moves = torch.randn(30, generator=torch.Generator().manual_seed(1)).double().numpy()
    centred = moves - moves.mean()
    slow = sum(centred[t] * centred[t - 1] for t in range(1, 30)) / (centred**2).sum()
    assert float(autocorrelation(torch.from_numpy(moves))) == pytest.approx(slow)


def test_spelled_out_attention_equals_the_fused_kernel():
    query, key, value = torch.randn(3, 2, 2, 7, 8)
    fused = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attend(query, key, value), fused, rtol=1e-4, atol=1e-5)


def test_rotary_scores_depend_on_distance_alone(small_network):
    cosine, sine = small_network.rotary(10, 3, torch.zeros(1))
    query, key = torch.randn(16), torch.randn(16)
    turned_query, turned_key = (
        rotate(query.expand(10, -1), cosine, sine),
        rotate(key.expand(10, -1), cosine, sine),
    )
    scores = turned_query @ turned_key.T
    torch.testing.assert_close(scores[0, 3], scores[5, 8], rtol=1e-4, atol=1e-4)


def test_heads_are_split_and_merged_without_loss(small_settings):
    attention, tokens = Attention(small_settings), torch.randn(3, 5, 32)
    torch.testing.assert_close(attention.merge_heads(attention.split_heads(tokens)), tokens)


def test_flops_of_a_window_count_tokens_of_context_and_horizon():
    settings_ = NetworkSettings(blocks=1, width=8, heads=1)
    assert flops_per_window(settings_, 10, context=9, horizon=4) == 6 * 10 * 4 + 12 * 8 * 16
