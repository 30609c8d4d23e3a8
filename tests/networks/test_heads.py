"""What a network says of a label, and the losses that it learns from."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import norm
from torch import Tensor, nn

from starnet_hpc.config import NetworkConfig
from starnet_hpc.networks import Gaussian, Mixture, Prediction, negative_log_likelihood
from starnet_hpc.networks.heads import make_head

CONSTANT = 0.5 * np.log(2 * np.pi)
"""What eq. 1 of the paper leaves out."""


def drawn(seed: int, *, rows: int = 40, labels: int = 6, components: int = 3) -> dict[str, NDArray[np.float64]]:
    """Return shares, means and variances [rows, labels, components] of mixtures, and labels [rows, labels]."""
    generator = np.random.default_rng(seed)
    shape = (rows, labels, components)
    share = generator.dirichlet(np.ones(components), size=shape[:2])
    means, variances = generator.normal(size=shape), generator.uniform(0.01, 4.0, size=shape)
    return {"share": share, "means": means, "variances": variances, "labels": generator.normal(size=shape[:2])}


def mixture(numbers: dict[str, NDArray[np.float64]]) -> tuple[Mixture, Tensor]:
    share, means, variances, labels = (torch.from_numpy(numbers[name]) for name in numbers)
    return Mixture(share.log(), means, variances), labels


def head(kind: str, features: int = 8, labels: int = 2, **changes: object) -> nn.Module:
    return make_head(features, labels, NetworkConfig.model_validate({"head": kind, **changes}))


def test_the_loss_is_the_negative_log_likelihood_without_its_constant() -> None:
    generator = np.random.default_rng(5)
    mean, labels = generator.normal(size=(2, 40, 6))
    variance = generator.uniform(0.01, 4.0, size=(40, 6))
    said = Gaussian(torch.from_numpy(mean), torch.from_numpy(variance))
    ours = negative_log_likelihood(said, torch.from_numpy(labels)).item()
    assert ours == pytest.approx(-norm.logpdf(labels, mean, np.sqrt(variance)).mean() - CONSTANT, rel=1e-12)


def test_the_loss_of_a_mixture_is_that_of_its_density() -> None:
    numbers = drawn(6)
    densities = norm.logpdf(numbers["labels"][..., None], numbers["means"], np.sqrt(numbers["variances"]))
    scipys = -logsumexp(densities, b=numbers["share"], axis=-1).mean() - CONSTANT
    assert negative_log_likelihood(*mixture(numbers)).item() == pytest.approx(scipys, rel=1e-12)


def test_the_share_below_a_label_is_that_of_the_distribution() -> None:
    numbers = drawn(9)
    said, labels = mixture(numbers)
    shares = norm.cdf(numbers["labels"][..., None], numbers["means"], np.sqrt(numbers["variances"]))
    np.testing.assert_allclose(said.cumulative(labels), (shares * numbers["share"]).sum(axis=-1), rtol=1e-12)
    one = Gaussian(said.mean, said.variance)
    np.testing.assert_allclose(one.cumulative(labels), norm.cdf(labels, one.mean, one.variance.sqrt()), rtol=1e-12)


def test_mean_and_variance_of_a_mixture_are_those_of_draws_from_it() -> None:
    numbers = drawn(7, rows=1, labels=2)
    said, _ = mixture(numbers)
    generator = np.random.default_rng(8)
    for k in range(2):
        which = generator.choice(3, p=numbers["share"][0, k], size=1_000_000)
        values = generator.normal(numbers["means"][0, k][which], np.sqrt(numbers["variances"][0, k][which]))
        # Means of a million draws scatter by 0.2 % of sigma or less, their variances by 0.2 % (kurtosis below 6).
        assert said.mean[0, k].item() == pytest.approx(values.mean(), abs=5e-3 * values.std())
        assert said.variance[0, k].item() == pytest.approx(values.var(), rel=1e-2)


def test_a_mixture_of_one_has_the_loss_of_its_gaussian_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(3)
    mean, labels = torch.randn(2, 64, 6, generator=generator)
    variance = torch.rand(64, 6, generator=generator) + 1e-6
    one = Mixture(torch.zeros(64, 6, 1), mean[..., None], variance[..., None])
    alone = Gaussian(mean, variance)
    assert torch.equal(one.mean, mean)
    assert torch.equal(one.variance, variance)
    assert torch.equal(one.log_likelihood(labels), alone.log_likelihood(labels))
    assert torch.equal(negative_log_likelihood(one, labels, 0.5), negative_log_likelihood(alone, labels, 0.5))


def test_the_loss_is_least_where_mean_and_variance_are_right() -> None:
    labels = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(2)) * 0.5 + 2.0

    def loss(mean: float, variance: float) -> float:
        return negative_log_likelihood(Gaussian(torch.tensor([[mean]]), torch.tensor([[variance]])), labels).item()

    best = loss(2.0, 0.25)
    assert all(loss(2.0 + dm, 0.25 * f) > best for dm, f in [(0.05, 1), (-0.05, 1), (0, 1.1), (0, 0.9)])


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gradients_with_beta_are_those_of_the_likelihood_times_variance_to_the_beta(beta: float) -> None:
    mean, variance, labels = 0.3, 0.04, 0.8
    m, v = (torch.tensor([[x]], dtype=torch.float64, requires_grad=True) for x in (mean, variance))
    torch.autograd.backward(
        negative_log_likelihood(Gaussian(m, v), torch.tensor([[labels]], dtype=torch.float64), beta)
    )
    # d/dmean and d/dvariance of ln(v)/2 + (y - m)^2 / (2 v), by hand; the weight counts as a number.
    weight, residual = variance**beta, labels - mean
    assert m.grad is not None
    assert v.grad is not None
    assert m.grad.item() == pytest.approx(-weight * residual / variance, rel=1e-12)
    assert v.grad.item() == pytest.approx(weight * (1 / (2 * variance) - residual**2 / (2 * variance**2)), rel=1e-12)


def test_with_beta_one_the_mean_learns_as_by_least_squares_whatever_the_variance() -> None:
    labels = torch.tensor([[0.8], [0.8]])
    mean = torch.tensor([[0.3], [0.3]], requires_grad=True)
    variance = torch.tensor([[0.01], [100.0]])
    torch.autograd.backward(negative_log_likelihood(Gaussian(mean, variance), labels, 1.0))
    torch.testing.assert_close(mean.grad, torch.full((2, 1), -0.5 / 2))  # of half the mean squared residual


def fitted(kind: str, **changes: object) -> tuple[float, Prediction]:
    """Learn labels that are -1 or +1 give or take 0.1, one as likely as the other; return the loss on others, too."""
    torch.manual_seed(4)
    signs, noise = torch.randint(0, 2, (4000, 1)) * 2.0 - 1.0, 0.1 * torch.randn(4000, 1)
    labels, nothing = signs + noise, torch.ones(2000, 1)
    made = head(kind, features=1, labels=1, **changes)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        torch.autograd.backward(negative_log_likelihood(made(nothing), labels[:2000]))
        optimizer.step()
    with torch.inference_mode():
        said: Prediction = made(nothing)
    return negative_log_likelihood(said, labels[2000:]).item(), said


def test_a_mixture_finds_two_peaks_where_a_gaussian_sees_one_wide_one() -> None:
    one, wide = fitted("gaussian")
    two, whole = fitted("mixture", components=2)
    # A Gaussian's best is the scatter of the whole, variance 1.01; the mixture's is that of a peak, and not knowing
    # which one. The entropies by hand, to what 2,000 draws tell (0.7 / sqrt(2000) = 0.016, three times).
    assert one == pytest.approx(0.5 + 0.5 * np.log(1.01), abs=0.05)
    assert two == pytest.approx(0.5 + 0.5 * np.log(0.01) + np.log(2), abs=0.05)
    # The catalogue is told the same by both: mean and variance of the whole.
    for said in (wide, whole):
        assert said.mean[0].item() == pytest.approx(0.0, abs=0.1)
        assert said.variance[0].item() == pytest.approx(1.01, abs=0.05)


def test_a_mixture_that_is_wrong_by_far_has_a_finite_loss_and_gradient() -> None:
    # Densities that are zero in float32, exp(-5e7): as a sum of densities the loss would be infinite.
    means = torch.zeros(1, 1, 3, requires_grad=True)
    said = Mixture(torch.full((1, 1, 3), -np.log(3.0)), means, torch.full((1, 1, 3), 1e-6))
    loss = negative_log_likelihood(said, torch.tensor([[10.0]]))
    torch.autograd.backward(loss)
    assert loss.item() == pytest.approx(0.5 * np.log(1e-6) + 100 / 2e-6, rel=1e-6)
    assert means.grad is not None
    assert bool(means.grad.isfinite().all())


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_a_head_computes_in_float32_behind_layers_of_16_bits(kind: str) -> None:
    made, features = head(kind), torch.randn(5, 8).bfloat16()
    with torch.inference_mode():
        expected = made(features.float())
        with torch.autocast("cpu", torch.bfloat16):
            found = made(features)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_no_gaussian_is_narrower_than_the_floor(kind: str) -> None:
    made = head(kind, variance_floor=1e-3)
    with torch.no_grad():
        made.get_submodule("linear").bias.fill_(-1e4)  # softplus of this is 0 in float32
    said = made(torch.randn(5, 8))
    narrowest = said.variances if isinstance(said, Mixture) else said.variance
    assert narrowest.min().item() == pytest.approx(1e-3, rel=1e-6)
    assert said.variance.min().item() >= 1e-3


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_a_compiled_head_says_what_it_says_otherwise(kind: str) -> None:
    made, features = head(kind), torch.randn(5, 8)
    compiled = torch.compile(made, backend="eager", fullgraph=True)
    found, expected = compiled(features), made(features)
    assert type(found) is type(expected)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
