"""What networks see of spectra: masked pixels told from the continuum, pixels hidden from them, windows cut out."""

import pytest
import torch

from starnet_hpc.config import NetworkConfig
from starnet_hpc.networks import build_network
from starnet_hpc.networks.view import View

PIXELS = 160
KINDS = ("resnet", "starnet")
GIVEN = torch.cat([torch.arange(20, 60), torch.arange(90, 140)])
IGNORED = (GIVEN >= 50) & (GIVEN < 100)


def network(kind: str, pixels: int = PIXELS, seed: int = 1, **changes: object) -> torch.nn.Module:
    given, ignored = (changes.pop(name, None) for name in ("given", "ignored"))
    torch.manual_seed(seed)
    config = NetworkConfig.model_validate({"kind": kind, "channels": [8, 8], "dense": 16, **changes})
    return build_network(config, pixels, 3, given=given, ignored=ignored).eval()  # type: ignore[arg-type]


def spectra(seed: int = 2) -> torch.Tensor:
    return 1.0 - torch.rand(4, PIXELS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_mask_channel_a_masked_pixel_is_told_from_continuum_and_from_a_black_line(kind: str) -> None:
    made = network(kind, mask_channel=True)
    continuum, black, masked = torch.ones(3, 1, PIXELS)
    black[0, 40:60], masked[0, 40:60] = 1e-6, 0.0
    answers = [made(flux).mean for flux in (continuum, black, masked)]
    assert not torch.allclose(answers[0], answers[2], atol=1e-6)
    assert not torch.allclose(answers[1], answers[2], atol=1e-6)


@pytest.mark.parametrize("continuum", [0.0, 1.0])
def test_the_second_channel_is_one_where_pixels_are_masked_and_the_first_is_nothing_there(continuum: float) -> None:
    flux = spectra()
    flux[1, 7] = flux[3, 100:110] = 0.0
    first, second = View(PIXELS, continuum=continuum, mask_channel=True)(flux).unbind(1)
    assert torch.equal(second, (flux == 0).float())
    assert torch.equal(first, torch.where(flux == 0, 0.0, flux - continuum))


@pytest.mark.parametrize("mask_channel", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_an_ignored_pixel_changes_the_answer(kind: str, mask_channel: bool) -> None:
    ignored = torch.zeros(PIXELS, dtype=torch.bool)
    ignored[30:50] = True
    made, flux = network(kind, ignored=ignored, mask_channel=mask_channel), spectra()
    inside, beside = flux.clone(), flux.clone()
    inside[:, ignored], beside[:, 50] = torch.nan, 0.1
    assert torch.equal(made(inside).mean, made(flux).mean)
    assert not torch.equal(made(beside).mean, made(flux).mean)
    # Ignored is what masked is: the same network without windows, and spectra that are masked there, agree.
    masked = flux.masked_fill(ignored, 0.0)
    assert torch.equal(network(kind, mask_channel=mask_channel)(masked).mean, made(flux).mean)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_windows_is_a_network_of_these_pixels_alone(kind: str) -> None:
    flux = spectra()
    cut = flux[:, GIVEN].masked_fill(IGNORED, 0.0)
    alone = network(kind, pixels=GIVEN.numel())
    made = network(kind, given=GIVEN, ignored=IGNORED)
    assert torch.equal(made(flux).mean, alone(cut).mean)
    assert sum(p.numel() for p in made.parameters()) == sum(p.numel() for p in alone.parameters())


def test_windows_are_kept_with_the_weights_and_a_network_without_any_keeps_none() -> None:
    kept = network("resnet", given=GIVEN, ignored=IGNORED).state_dict()
    assert torch.equal(kept["view.given"], GIVEN)
    assert torch.equal(kept["view.ignored"], IGNORED)
    assert not [name for name in network("resnet").state_dict() if name.startswith("view.")]


@pytest.mark.parametrize("mask_channel", [False, True])
def test_a_view_compiles_in_one_piece(mask_channel: bool) -> None:
    view = View(PIXELS, continuum=1.0, mask_channel=mask_channel, given=GIVEN, ignored=IGNORED)
    compiled = torch.compile(view, backend="eager", fullgraph=True)
    assert torch.equal(compiled(spectra()), view(spectra()))
