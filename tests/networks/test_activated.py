"""The residual network predicts by a kernel what its layers say."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from starnet_hpc.config import NetworkConfig
from starnet_hpc.networks import activated, build_network, threads
from starnet_hpc.networks.activated import Activated
from starnet_hpc.networks.layout import Convolution


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def learned(channels: int) -> Activated:
    """Return a block with statistics and weights of its own, not the initial ones."""
    torch.manual_seed(3)
    block = Activated(Convolution(channels, 6, 5, stride=2, padding=2), torch.nn.ReLU())
    for _ in range(3):
        block(3.0 + 2.0 * torch.randn(4, channels, 1, 33))
    torch.nn.init.normal_(block[0].weight)
    torch.nn.init.normal_(block[0].bias)
    return block.eval()


@pytest.mark.parametrize("terms", [1, 2])
@pytest.mark.parametrize("last", [True, False], ids=["channels last", "pixels last"])
def test_the_kernel_gives_what_the_layers_give(terms: int, last: bool, two_threads: None) -> None:
    block = learned(10)
    order = torch.channels_last if last else torch.contiguous_format
    given = [torch.randn(5, 10, 1, 33).contiguous(memory_format=order) for _ in range(terms)]
    kept = [term.clone() for term in given]
    by_layers = block(*given)  # a gradient may be asked for
    with torch.no_grad():
        by_kernel = block(*given)
    torch.testing.assert_close(by_kernel, by_layers.detach(), rtol=1e-5, atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True)), "what was given has been written over"


def test_a_predicting_network_does_it_by_kernels_with_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    calls = 0
    by_kernel = activated._by_kernel

    def counted(*given: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return by_kernel(*given)

    monkeypatch.setattr(activated, "_by_kernel", counted)
    network = build_network(NetworkConfig(), 700, 6).eval()
    flux = torch.rand(3, 700)
    expected = network(flux)
    assert not calls
    with torch.inference_mode():
        found = network(flux)
        torch.set_num_threads(1)
        alone = network(flux)
    assert calls == 2 * (2 * len(NetworkConfig().channels) + 1)
    for a, b, c in zip(found, alone, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(a, c.detach(), rtol=1e-5, atol=1e-6)


def test_a_network_that_learns_does_it_by_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activated, "_by_kernel", lambda *_: pytest.fail("by the kernel"))
    network = build_network(NetworkConfig(), 700, 6)
    network(torch.rand(3, 700)).mean.sum().backward()
    with torch.no_grad():
        network(torch.rand(3, 700))  # still learning: statistics are the batch's


def test_rows_are_taken_once_each(two_threads: None) -> None:
    taken: list[int] = []
    threads.for_each(50, taken.append)
    assert sorted(taken) == list(range(50))
