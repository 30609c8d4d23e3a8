"""Convolutions in the other order of memory: the same weights, the same results."""

import pytest
import torch
from torch import Tensor, nn

from starnet_hpc.config import NetworkConfig
from starnet_hpc.networks import build_network
from starnet_hpc.networks.layout import Convolution
from starnet_hpc.networks.normalisation import BatchNorm


def spectra(channels: int, pixels: int = 101) -> Tensor:
    return torch.randn(4, channels, 1, pixels, generator=torch.Generator().manual_seed(1))


def channels_last(image: Tensor) -> bool:
    """Say whether a pixel's channels are neighbours in memory, of images with several channels and pixels."""
    return image.stride(1) == 1 and image.stride(3) == image.shape[1]


@pytest.mark.parametrize(
    ("channels", "taps", "stride", "padding"), [(1, 16, 8, 8), (2, 9, 4, 4), (6, 5, 2, 2), (6, 1, 1, 0)]
)
def test_a_convolution_is_torchs_with_the_same_weights(channels: int, taps: int, stride: int, padding: int) -> None:
    torch.manual_seed(2)
    ours = Convolution(channels, 5, taps, stride=stride, padding=padding)
    torch.manual_seed(2)
    plain = nn.Conv1d(channels, 5, taps, stride=stride, padding=padding)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), plain.parameters(), strict=True)), "another start"
    x, y = spectra(channels).requires_grad_(), spectra(channels)[:, :, 0].requires_grad_()
    found, expected = ours(x), plain(y)
    assert channels_last(found)
    torch.testing.assert_close(found[:, :, 0], expected, rtol=0, atol=1e-5)  # sums in another order
    given = torch.randn(expected.shape)
    found.backward(given[:, :, None])
    expected.backward(given)
    for a, b in (
        (x.grad[:, :, 0], y.grad),
        *((p.grad, q.grad) for p, q in zip(ours.parameters(), plain.parameters(), strict=True)),
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * b.abs().max().item())
    # Otherwise DistributedDataParallel copies each of them once more, and warns of it.
    assert ours.weight.grad.stride() == ours.weight.stride()


def test_all_layers_of_the_residual_network_work_channels_last() -> None:
    made = build_network(NetworkConfig(), 700, 6)
    seen: dict[str, bool] = {}

    def look(name: str) -> None:
        def hook(module: nn.Module, given: tuple[Tensor, ...], found: Tensor) -> None:
            seen[name] = channels_last(found)
            found.register_hook(lambda gradient: seen.update({f"gradient of {name}": channels_last(gradient)}))

        made.get_submodule(name).register_forward_hook(hook)

    names = [name for name, module in made.named_modules() if isinstance(module, Convolution | BatchNorm | nn.ReLU)]
    names.remove("dense.2")
    for name in names:
        look(name)
    made(torch.rand(3, 700)).mean.sum().backward()
    assert len(seen) == 2 * len(names) > 40
    # What comes from the dense layer has the order of its weights.
    assert [name for name, last in seen.items() if not last] == ["gradient of squeeze.3"]
