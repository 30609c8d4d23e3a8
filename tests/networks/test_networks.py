"""The networks themselves: sizes, shapes, variances, and their start."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet_hpc.config import NetworkConfig
from starnet_hpc.networks import build_network
from starnet_hpc.networks.normalisation import BatchNorm, span_ranks

KINDS = ("resnet", "starnet")


def network(kind: str, pixels: int, labels: int = 6, **changes: object) -> torch.nn.Module:
    return build_network(NetworkConfig.model_validate({"kind": kind, **changes}), pixels, labels)


def test_the_papers_network_has_40_million_parameters_at_39436_pixels() -> None:
    with torch.device("meta"):  # counts without 160 MB of weights
        parameters = sum(p.numel() for p in network("starnet", 39_436).parameters())
    # conv 1>4 and 4>16 of length 8; (39436 - 14) // 4 = 9855 pixels of 16 filters; dense 256, 128; 12 outputs
    by_hand = (8 * 4 + 4) + (4 * 8 * 16 + 16) + (16 * 9855 * 256 + 256) + (256 * 128 + 128) + (128 * 12 + 12)
    assert parameters == by_hand
    assert round(parameters / 1e6, 1) == 40.4


def test_the_default_network_has_1_5_million_parameters_at_39436_pixels() -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in network("resnet", 39_436).parameters())
    # the stem; each stage: normalisation (2 a channel) and convolution of length 5, twice
    by_hand, before = 32 * 16, 32
    for filters in (32, 64, 64, 128):
        by_hand += (2 * before + 5 * before * filters) + (2 * filters + 5 * filters * filters)
        before = filters
    # squeezed to 16; 39436 // 8 + 1 = 4930 places, halved four times to 309; dense 256; 12 outputs
    by_hand += (2 * 128 + 128 * 16 + 16) + (16 * 309 * 256 + 256) + (256 * 12 + 12)
    assert parameters == by_hand == 1_477_596


@pytest.mark.parametrize("pixels", [*range(64, 73), 1001])
def test_the_default_network_looks_at_every_pixel(pixels: int) -> None:
    torch.manual_seed(1)
    flux = torch.rand(4, pixels).requires_grad_()
    network("resnet", pixels).eval()(flux).mean.square().sum().backward()
    assert flux.grad is not None
    assert bool((flux.grad != 0).all())


@pytest.mark.parametrize("kind", KINDS)
@given(pixels=st.integers(64, 500), labels=st.integers(1, 6), rows=st.integers(1, 4))
@settings(max_examples=15, deadline=None)  # the first example compiles kernels
def test_every_row_gets_a_mean_and_a_positive_variance_of_each_label(
    kind: str, pixels: int, labels: int, rows: int
) -> None:
    for head in ("gaussian", "mixture"):
        said = network(kind, pixels, labels, head=head, variance_floor=1e-6).eval()(torch.randn(rows, pixels))
        assert said.mean.shape == said.variance.shape == (rows, labels)
        assert said.mean.dtype == said.variance.dtype == torch.float32
        assert bool((said.variance >= 1e-6).all())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_a_function_of_the_seed_and_differ_between_seeds(kind: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in network(kind, 128).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_a_masked_pixel_of_the_residual_network_counts_as_continuum_not_as_a_black_line() -> None:
    made = network("resnet", 128).eval()
    continuum, masked = torch.ones(1, 128), torch.ones(1, 128)
    masked[0, 40:60] = 0
    assert torch.equal(made(continuum)[0], made(masked)[0])


def _together(parts: tuple[torch.Tensor, ...], norm: BatchNorm) -> list[torch.Tensor]:
    """Normalise the parts as processes would that know each other's statistics."""
    known = torch.stack([torch.stack(torch.var_mean(p.float(), dim=(0, 2, 3), correction=0)) for p in parts])
    span_ranks(norm, lambda own: known)
    return [norm(part) for part in parts]


def test_batch_statistics_over_processes_are_those_of_the_whole_batch() -> None:
    # A mean a hundred times the scatter: squares minus squared means would lose four of float32's seven digits.
    x = 100.0 + torch.randn(8, 3, 1, 50, generator=torch.Generator().manual_seed(1))
    alone, shared = BatchNorm(3), BatchNorm(3)
    expected = alone(x)
    got = torch.cat(_together(x.chunk(2), shared)[:1] + _together(x.chunk(2), BatchNorm(3))[1:])
    torch.testing.assert_close(got, expected, rtol=0, atol=3e-5)  # 100 in float32 is known to 8e-6 of the scatter
    once = BatchNorm(3)
    span_ranks(once, lambda own: torch.stack([own, own]))
    once(x)
    torch.testing.assert_close(once.running_mean, alone.running_mean)
    torch.testing.assert_close(once.running_var, alone.running_var, rtol=1e-3, atol=0)  # n - 1 of twice the rows


def test_batch_statistics_over_processes_are_finite_for_16_bit_activations() -> None:
    # As 16-bit sums, the mean square minus the squared mean of these is negative, and its root not a number.
    x = (30.0 + 0.1 * torch.randn(8, 3, 1, 50)).bfloat16()
    for part in _together(x.chunk(2), BatchNorm(3)):
        assert part.dtype == torch.bfloat16
        assert bool(part.isfinite().all())


def test_a_predicting_network_asks_no_other_process_for_statistics() -> None:
    norm = BatchNorm(3)
    span_ranks(norm, lambda own: pytest.fail("asked"))
    x = torch.randn(2, 3, 1, 10)
    assert torch.equal(norm.eval()(x), BatchNorm(3).eval()(x))
