"""Weights of a trained member as the start of another network."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from starnet_hpc.config import NetworkConfig
from starnet_hpc.errors import ConfigError
from starnet_hpc.networks import Member, TrainedOn, build_network, inherit

PIXELS = 96
NAMES = ["teff", "logg", "feh"]


def known(names: list[str] = NAMES, *, pixels: int = PIXELS, stretch: float = 1.0, offset: float = 0.0) -> TrainedOn:
    """Return what a network was trained on, with label scales that a factor and an offset (in scatters) change."""
    std = {"teff": 800.0, "logg": 1.1, "feh": 0.7, "afe": 0.15}
    mean = {"teff": 5200.0, "logg": 3.1, "feh": -0.6, "afe": 0.1}
    return TrainedOn(
        label_names=names,
        label_mean=[mean[name] + offset * std[name] for name in names],
        label_std=[stretch * std[name] for name in names],
        label_min=[0.0] * len(names),
        label_max=[1.0] * len(names),
        pixels=pixels,
        wavelength_digest="",
        train_digest="",
        snr_min=10.0,
    )


def network(on: TrainedOn, seed: int, **config: Any) -> nn.Module:
    """Return a network whose weights and statistics are all drawn, so that no two are alike by chance."""
    torch.manual_seed(seed)
    settings = {"channels": (4, 6), "dense": 8, **config}
    built = build_network(NetworkConfig(**settings), on.pixels, len(on.label_names))
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.3)
    for name, buffer in built.named_buffers():
        if buffer.is_floating_point() and not name.startswith("view"):
            nn.init.uniform_(buffer, 0.5, 1.5)
    return built.eval()


def member(seed: int = 1, on: TrainedOn | None = None, **config: Any) -> Member:
    on = on or known()
    return Member(0, network(on, seed, **config), on, "digest")


def physical(of: nn.Module, on: TrainedOn) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        said = of(torch.rand((5, on.pixels), generator=torch.Generator().manual_seed(3)))
    return on.scale.physical(said.mean.numpy(), said.variance.numpy())


def quiet(source: Member, raw: float) -> Member:
    """Let variances before the softplus be about `raw`."""
    linear = source.network.get_submodule("head.linear")
    labels = len(source.trained_on.label_names)
    with torch.no_grad():
        rows = slice(labels, None) if linear.bias.numel() == 2 * labels else slice(2 * labels, 4 * labels)
        linear.weight[rows] *= 0.01
        linear.bias[rows] = raw
    return source


@pytest.mark.parametrize("config", [{}, {"kind": "starnet"}, {"head": "mixture", "components": 2}], ids=str)
def test_on_the_same_labels_and_pixels_the_network_is_the_member(config: dict[str, Any]) -> None:
    source, on = member(**config), known()
    mine = network(on, 2, **config)
    layers = inherit(mine, on, source)
    assert all(layer.anew is None for layer in layers)
    assert [layer.label for layer in layers if layer.label] == NAMES
    state = source.network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in mine.state_dict().items())


@pytest.mark.parametrize("config", [{}, {"head": "mixture", "components": 2}], ids=str)
def test_labels_are_found_by_name_and_predicted_alike_in_physical_units(config: dict[str, Any]) -> None:
    # Variances of 0.01 of the label's: where exp stands for softplus to 0.5 %, and a scale of half as much again.
    source = quiet(member(**config), raw=-4.6)
    on = known(["logg", "afe", "teff"], stretch=1.5, offset=-0.4)
    mine = network(on, 2, **config)
    drawn = mine.get_submodule("head.linear").weight.detach().clone()
    layers = {layer.label: layer.anew for layer in inherit(mine, on, source) if layer.label}
    assert layers == {"logg": None, "afe": "the member does not know this label", "teff": None}
    (mean, variance), (expected, square) = physical(mine, on), physical(source.network, source.trained_on)
    for place, there in ((0, 1), (2, 0)):
        np.testing.assert_allclose(mean[:, place], expected[:, there], rtol=1e-5, atol=1e-5 * on.label_std[place])
        np.testing.assert_allclose(variance[:, place], square[:, there], rtol=0.01)
    left = mine.get_submodule("head.linear").weight.view(2 if not config else 3, 3, -1)[:, 1]
    assert torch.equal(left, drawn.view(2 if not config else 3, 3, -1)[:, 1])


def test_a_variance_of_a_tenth_of_the_labels_is_off_by_what_is_said() -> None:
    source = quiet(member(), raw=float(np.log(np.expm1(0.1))))
    on = known(stretch=1 / 1.5)
    mine = network(on, 2)
    inherit(mine, on, source)
    ratio = physical(mine, on)[1] / physical(source.network, source.trained_on)[1]
    assert np.abs(ratio - 1).max() == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(("kind", "dense"), [("resnet", "dense.1"), ("starnet", "dense.0")])
def test_another_number_of_pixels_lets_only_the_first_dense_layer_begin_anew(kind: str, dense: str) -> None:
    source, on = member(kind=kind), known(pixels=160)
    mine = network(on, 2, kind=kind)
    drawn = mine.get_submodule(dense).weight.detach().clone()
    layers = inherit(mine, on, source)
    assert [layer.name for layer in layers if layer.anew] == [dense]
    reason = next(layer.anew for layer in layers if layer.name == dense)
    assert reason is not None
    assert reason.startswith(f"weight {drawn.shape[0]} x {drawn.shape[1]} here, {drawn.shape[0]} x ")
    assert torch.equal(mine.get_submodule(dense).weight, drawn)
    state = source.network.state_dict()
    rest = {name: value for name, value in mine.state_dict().items() if not name.startswith(f"{dense}.")}
    assert all(torch.equal(state[name], value) for name, value in rest.items())


@pytest.mark.parametrize(
    ("here", "there", "anew"),
    [
        ({"channels": (4, 6, 6)}, {}, {"stages.2": "the member has no such layer"}),
        ({"mask_channel": True}, {}, {"stem": "weight 32 x 2 x 16 here, 32 x 1 x 16 there"}),
        ({"head": "mixture"}, {}, {"head.linear": "it predicts another kind of distribution"}),
        ({"dense": 16}, {}, {"head.linear": "2 x 1 x 16 here, 2 x 1 x 8 there"}),
    ],
    ids=str,
)
def test_what_does_not_fit_begins_anew_and_says_why(
    here: dict[str, Any], there: dict[str, Any], anew: dict[str, str]
) -> None:
    layers = inherit(network(known(), 2, **here), known(), member(**there))
    assert any(layer.anew is None for layer in layers)
    for start, reason in anew.items():
        assert {layer.anew for layer in layers if layer.name.startswith(start)} == {reason}


def test_windows_of_pixels_are_those_of_the_new_network() -> None:
    on = known()
    ignored = torch.arange(PIXELS) < 8
    mine = build_network(NetworkConfig(channels=(4, 6), dense=8), PIXELS, 3, ignored=ignored)
    assert all(layer.anew is None for layer in inherit(mine, on, member()))
    assert torch.equal(mine.get_submodule("view").ignored, ignored)


def test_another_kind_of_network_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"holds a starnet, and network\.kind is resnet here: set network\.kind"):
        inherit(network(known(), 2), known(), member(kind="starnet"))


def test_the_member_is_left_as_it_is() -> None:
    source = member()
    before = {name: value.clone() for name, value in source.network.state_dict().items()}
    mine = network(replace(known(), label_std=[1.0, 1.0, 1.0]), 2)
    inherit(mine, known(stretch=2.0), source)
    with torch.no_grad():
        for parameter in mine.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], value) for name, value in source.network.state_dict().items())
