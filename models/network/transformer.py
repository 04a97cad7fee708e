"""The patch transformer: from context features to quantiles, tails and copula of every horizon step.

Shapes: B items, V variates, L context steps, H horizon steps, T tokens, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.network.classics import EVIDENCE, FORECASTS
from models.network.features import (
    CONTEXT_CHANNELS,
    HORIZON_CHANNELS,
    SHARED_CHANNELS,
    STATISTICS,
    Features,
    Inputs,
    build_features,
)
from models.network.head import Head, PredictiveDistribution
from models.network.scaling import SeriesScaling
from models.network.structures import MEANS, POSTERIORS
from models.settings import NetworkSettings


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) of [..., T, D] by angles [T, D / 2]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


def root_mean_square_norm(x: Tensor) -> Tensor:
    """Tokens [..., D] at unit root mean square; the gain is left to the linear map that follows."""
    return functional.rms_norm(x, (x.shape[-1],))


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """Linear map without a bias that starts at zero, so that what it adds changes nothing at first."""
    linear = nn.Linear(inputs, outputs, bias=False)
    nn.init.zeros_(linear.weight)
    return linear


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention [N, heads, T, D] over all T.

    Spelled out on the CPU, where the fused kernel's bfloat16 backward pass takes 4 to 9 times as long for
    short sequences (torch 2.13, AVX-512).
    """
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value)
    weights = torch.softmax(query @ key.transpose(-1, -2) * (1 / math.sqrt(query.shape[-1])), dim=-1)
    return weights @ value


class Attention(nn.Module):
    """Multi-head self-attention over the axis before the last, with or without rotary positions."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.joint = nn.Linear(settings.width, 3 * settings.width, bias=False)
        self.out = nn.Linear(settings.width, settings.width, bias=False)

    def forward(self, x: Tensor, positions: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Residual update [N, T, D] of tokens [N, T, D]."""
        query, key, value = (
            self.split_heads(part) for part in self.joint(root_mean_square_norm(x)).chunk(3, dim=-1)
        )
        if positions is not None:
            query, key = rotate(query, *positions), rotate(key, *positions)
        out: Tensor = self.out(self.merge_heads(attend(query, key, value)))
        return out

    def split_heads(self, x: Tensor) -> Tensor:
        """[N, T, D] to [N, heads, T, D / heads]."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def merge_heads(self, x: Tensor) -> Tensor:
        """[N, heads, T, D / heads] to [N, T, D]."""
        return x.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    """Gated feed-forward layer, SwiGLU (Shazeer 2020)."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.inner = nn.Linear(settings.width, 2 * settings.feedforward, bias=False)
        self.out = nn.Linear(settings.feedforward, settings.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Residual update [..., D] of [..., D]."""
        gate, value = self.inner(root_mean_square_norm(x)).chunk(2, dim=-1)
        out: Tensor = self.out(functional.silu(gate) * value)
        return out


class Block(nn.Module):
    """Attention over time, then (in every second block) across the variates of an item, then feed-forward."""

    def __init__(self, settings: NetworkSettings, *, across: bool) -> None:
        super().__init__()
        self.over_time = Attention(settings)
        self.across_variates = Attention(settings) if across else None
        self.feed_forward = FeedForward(settings)

    def forward(self, x: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
        """Tokens [B, V, T, D] to tokens [B, V, T, D]; a lone variate has nothing to attend across."""
        batch, variates = x.shape[:2]
        series = x.flatten(0, 1)
        x = (series + self.over_time(series, positions)).reshape(x.shape)
        if self.across_variates is not None and variates > 1:
            moments = x.transpose(1, 2).flatten(0, 1)
            mixed = self.across_variates(moments)
            x = x + mixed.reshape(batch, -1, *mixed.shape[1:]).transpose(1, 2)
        out: Tensor = x + self.feed_forward(x)
        return out


class Patching(nn.Module):
    """Channels of consecutive steps to one token; classical channels enter by a map that starts at zero."""

    def __init__(self, settings: NetworkSettings, channels: int, *, classical: int) -> None:
        super().__init__()
        self.length = settings.patch_length
        self.enter = nn.Linear(channels * settings.patch_length, settings.width)
        self.classical = zero_linear(classical * settings.patch_length, settings.width)
        self.refine = nn.Linear(settings.width, settings.width)

    def forward(self, steps: Tensor, classical: Tensor) -> Tensor:
        """[B, V, steps, C] and [B, V, steps, K] to [B, V, T, D]; whole patches only."""
        tokens = self.enter(self.patched(steps)) + self.classical(self.patched(classical))
        out: Tensor = tokens + self.refine(functional.silu(tokens))
        return out

    def patched(self, steps: Tensor) -> Tensor:
        """[B, V, steps, C] to [B, V, T, steps per patch * C]."""
        return steps.reshape(*steps.shape[:2], steps.shape[2] // self.length, -1)


class Network(nn.Module):
    """Joint law of all horizon steps and variates of an item, from its context, in one pass."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        shared = SHARED_CHANNELS + settings.covariates
        self.past = Patching(settings, CONTEXT_CHANNELS + shared, classical=1)
        self.future = Patching(settings, HORIZON_CHANNELS + shared, classical=FORECASTS)
        self.summary = nn.Linear(STATISTICS + settings.statics, settings.width)
        self.evidence = zero_linear(EVIDENCE, settings.width)
        self.structures = zero_linear((MEANS + 1) * settings.patch_length, settings.width)
        self.posterior = zero_linear(POSTERIORS, settings.width)
        self.refine = nn.Linear(settings.width, settings.width)
        self.blocks = nn.ModuleList(Block(settings, across=k % 2 == 1) for k in range(settings.blocks))
        self.head = Head(settings)

    def forward(self, inputs: Inputs) -> tuple[SeriesScaling, PredictiveDistribution]:
        """Scaling per series, and the law of the scaled future [B, V, H]."""
        features = self.features(inputs)
        return features.scaling, self.decode(features)

    def features(self, inputs: Inputs) -> Features:
        """What is read of the items; the bank is not asked where its answer would be multiplied by zero."""
        return build_features(inputs, bank=self.training or self.reads_bank())

    def reads_bank(self) -> bool:
        """Whether a weight that reads the bank of hypotheses is not zero."""
        readers = (self.structures, self.posterior, self.head.structural)
        return any(bool(reader.weight.any()) for reader in readers)

    def decode(self, features: Features) -> PredictiveDistribution:
        """Law of the scaled future from the features."""
        patch, horizon = self.settings.patch_length, features.horizon.shape[2]
        classics = features.classics
        before, after = (0, 0, -features.context.shape[2] % patch, 0), (0, 0, 0, -horizon % patch)
        past = self.past(
            functional.pad(features.context, before), functional.pad(classics.beneath[..., None], before)
        )
        future = self.future(
            functional.pad(features.horizon, after), functional.pad(classics.forecasts, after)
        )
        structures = functional.pad(torch.cat([classics.means, classics.spread], -1), after)
        future = future + self.structures(self.future.patched(structures))
        embedded = self.evidence(classics.evidence) + self.posterior(classics.posterior)
        series = functional.silu(self.summary(features.statistics) + embedded)
        series = self.refine(series)[:, :, None]
        tokens = torch.cat([past, future], dim=2) + series
        ahead = future.shape[2]
        positions = self.rotary(tokens.shape[2], ahead, tokens)
        for block in self.blocks:
            tokens = block(tokens, positions)
        final = root_mean_square_norm(tokens[:, :, -ahead:])
        distribution: PredictiveDistribution = self.head(
            final,
            features.baselines,
            features.spreads,
            classics.forecasts,
            classics.means,
            classics.spread,
        )
        return distribution

    def classical_weights(self) -> dict[str, Tensor]:
        """The weights that read classical forecasts, by name; all zero in a new network."""
        return {
            name: weight
            for name, weight in self.state_dict().items()
            if ".classical." in name or name.startswith("evidence.")
        }

    def structural_weights(self) -> dict[str, Tensor]:
        """The weights that read the bank of hypotheses, by name; all zero in a new network."""
        return {
            name: weight
            for name, weight in self.state_dict().items()
            if name.startswith(("structures.", "posterior.", "head.structural"))
        }

    def rotary(self, tokens: int, ahead: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine [T, D / heads / 2] of token positions counted from the origin, typed as `like`."""
        half = self.settings.width // self.settings.heads // 2
        frequency = 1000.0 ** (-torch.arange(half, device=like.device) / half)
        angle = torch.arange(ahead - tokens, ahead, device=like.device)[:, None] * frequency
        return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def flops_per_window(settings: NetworkSettings, parameters: int, *, context: int, horizon: int) -> float:
    """Floating-point operations of one training pass (forward and backward) over one series window.

    Six per parameter and token, and 12 per block, width and pair of tokens for attention
    (Chowdhery et al. 2022, PaLM, appendix B).
    """
    tokens = -(-context // settings.patch_length) - (-horizon // settings.patch_length)
    return 6.0 * parameters * tokens + 12.0 * settings.blocks * settings.width * tokens**2
