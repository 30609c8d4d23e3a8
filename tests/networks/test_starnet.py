"""The paper's network by the fused kernel and by torch's layers: one network, two ways to the same numbers."""

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from starnet_hpc.config import NetworkConfig
from starnet_hpc.kernels import pooling
from starnet_hpc.networks import build_network, convolutions, negative_log_likelihood

PIXELS, ROWS = 1500, 5
CONVOLUTIONS = [f"convolutions.{n}.{what}" for n in (0, 2) for what in ("weight", "bias")]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rows_by_kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which kernels were called, a name for each row."""
    calls: list[str] = []

    def counted(name: str) -> Callable[..., None]:
        kernel = getattr(pooling, name)

        def call(*arguments: object) -> None:
            calls.append(name)
            kernel(*arguments)

        return call

    for name in ("pooled", "pooled_gradient"):
        monkeypatch.setattr(convolutions, name, counted(name))
    return calls


def network(pixels: int = PIXELS) -> nn.Module:
    torch.manual_seed(1)
    return build_network(NetworkConfig(kind="starnet"), pixels, 6)


def flux(rows: int = ROWS, pixels: int = PIXELS) -> Tensor:
    return 1.0 + 0.1 * torch.randn(rows, 1, pixels, generator=torch.Generator().manual_seed(2))


def gradients(made: nn.Module, x: Tensor) -> list[Tensor]:
    """Return what a gradient of the features makes of the convolutions' weights."""
    made.zero_grad()
    features = made(x)
    given = torch.randn(features.shape, generator=torch.Generator().manual_seed(3)) * clear_cut(made, x)
    features.backward(given.to(features.dtype))
    return [p.grad.clone() for p in made.parameters() if p.grad is not None]


def clear_cut(made: nn.Module, x: Tensor) -> Tensor:
    """Say for which features [rows, features] the largest of four pixels, or zero, is so by more than rounding."""
    filtered = copy.deepcopy(nn.Sequential(*made)[:3]).double()(x.double()).detach()
    fours = filtered[..., : filtered.shape[2] // 4 * 4].unflatten(2, (-1, 4))
    largest, second = nn.functional.pad(fours, (0, 1)).topk(2, dim=3).values.unbind(3)
    return (largest - second > 1e-5).flatten(1)


def by_layers(made: nn.Module, x: Tensor) -> Tensor:
    """Return the features by torch's layers alone."""
    plain = nn.Sequential(*made.get_submodule("convolutions"))
    features: Tensor = plain(x)
    return features


@pytest.mark.parametrize("pixels", [PIXELS, 1039, 18, 39_436])
def test_features_by_the_kernel_are_those_of_torchs_layers(rows_by_kernel: list[str], pixels: int) -> None:
    made = network(pixels).get_submodule("convolutions")
    x = flux(3, pixels)
    with torch.inference_mode():
        found = made(x)
    assert rows_by_kernel == ["pooled"] * 3
    torch.testing.assert_close(found, nn.Sequential(*made)(x).detach(), rtol=0, atol=1e-5)
    assert torch.equal(found, made(x).detach()), "features for training differ from those for predicting"


def test_gradients_by_the_kernel_are_torchs_in_double_precision(rows_by_kernel: list[str]) -> None:
    made = network().get_submodule("convolutions")
    double = copy.deepcopy(made).double()
    found = gradients(made, flux())
    assert sorted(rows_by_kernel) == ["pooled"] * ROWS + ["pooled_gradient"] * ROWS
    for got, expected in zip(found, gradients(double, flux().double()), strict=True):
        assert (got - expected).abs().max() < 1e-5 * expected.abs().max()
    assert len(rows_by_kernel) == 2 * ROWS, "double precision came to a float32 kernel"


def test_the_number_of_threads_changes_no_bit_of_features_and_gradients() -> None:
    made = network().get_submodule("convolutions")

    def bits(threads: int) -> list[Tensor]:
        torch.set_num_threads(threads)
        return [made(flux(7)).detach(), *gradients(made, flux(7))]

    one = bits(1)
    for threads in (2, 3, 16):
        assert all(torch.equal(a, b) for a, b in zip(bits(threads), one, strict=True))


@pytest.mark.parametrize("how", ["autocast", "gradient of the flux", "float64"])
def test_what_the_kernel_does_not_do_is_left_to_torch(rows_by_kernel: list[str], how: str) -> None:
    made, x = network(), flux()
    expected = by_layers(made, x)
    if how == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            found = made.get_submodule("convolutions")(x)
        assert found.dtype == torch.bfloat16
    elif how == "float64":
        found = made.double().get_submodule("convolutions")(x.double())
    else:
        x.requires_grad_()
        found = made.get_submodule("convolutions")(x)
        found.sum().backward()
        assert x.grad is not None
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)  # bfloat16 has two digits
    assert rows_by_kernel == []


def test_a_channel_that_tells_masked_pixels_is_left_to_torch(rows_by_kernel: list[str]) -> None:
    made = build_network(NetworkConfig(kind="starnet", mask_channel=True), PIXELS, 6)
    assert bool(made(flux()[:, 0]).mean.isfinite().all())
    assert rows_by_kernel == []


def test_frozen_convolutions_are_passed_and_nothing_is_kept_for_their_gradient(rows_by_kernel: list[str]) -> None:
    made = network()
    for parameter in made.get_submodule("convolutions").parameters():
        parameter.requires_grad_(False)
    torch.autograd.backward(negative_log_likelihood(made(flux()[:, 0]), torch.zeros(ROWS, 6)))
    assert rows_by_kernel == ["pooled"] * ROWS
    assert {name for name, p in made.named_parameters() if p.grad is None} == set(CONVOLUTIONS)


def test_weights_have_the_names_of_torchs_layers() -> None:
    assert list(network().state_dict())[:4] == CONVOLUTIONS
