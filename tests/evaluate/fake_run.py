"""Run directories in closed form: predictions are truth plus Gaussian errors of known sigma."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.config.load import check
from starnet_hpc.flags import Flag
from starnet_hpc.networks import Combined, TrainedOn
from starnet_hpc.networks.validation import Judged, label_scores
from starnet_hpc.predict.validation import ensemble_report
from starnet_hpc.stores import Layout, building, open_store, write_arrays, write_atomically, write_json, write_shard

LABELS = ("teff", "logg", "feh", "afe", "vsini", "vrad")
LOW = np.array([4000.0, 0.5, -3.0, -0.25, 0.0, -2.0])
HIGH = np.array([7000.0, 5.0, 0.5, 0.5, 50.0, 2.0])
SIGMA = np.array([25.0, 0.06, 0.03, 0.02, 0.8, 0.1])
"""True sigma of each label's prediction at infinite S/N, in its unit; at S/N 60 it is twice that."""

MEMBERS = "all of them"
"""What stands for the digest of the members."""

SPENT = {
    "valid_seconds": 3.5,
    "spectra_per_s": 900.0,
    "data_share": 0.1,
    "forward_share": 0.25,
    "backward_share": 0.45,
    "optimiser_share": 0.15,
    "other_share": 0.05,
    "host_gb": 2.5,
    "gpu_gb": 0.0,
    "restarts": 1,
}


def generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, *key][-2:] if key else [seed, 0]))


@dataclass(frozen=True)
class Recipe:
    """What the fake networks do."""

    n_test: int = 1500
    templates: int = 120
    n_survey: int = 0
    members: int = 3
    scale: Mapping[str, float] = field(default_factory=dict)
    """Predicted sigma over true sigma, where it is not 1."""
    worse: Mapping[str, float] = field(default_factory=dict)
    """Factors on the true sigma."""
    bias: Mapping[str, float] = field(default_factory=dict)
    """Added to predictions [unit of the label]."""
    failed_test: tuple[int, ...] = ()
    failed_survey: tuple[int, ...] = ()
    stars: tuple[Mapping[str, float], ...] = ()
    """Published labels of benchmark stars, which come first in the survey; `e_` for errors."""
    wavelength: tuple[float, float, int] = (5150.0, 5200.0, 64)
    examples: bool = True
    validated: bool = True
    """Whether there are scores on validation spectra."""
    same: tuple[int, ...] = ()
    """Members whose answers are nearly the same."""
    metal_poor: float = 1.0
    """Factor on the true and predicted sigma of Teff where [Fe/H] <= -1."""


def build_run(run_dir: Path, recipe: Recipe = Recipe(), **settings: Any) -> ExperimentConfig:
    """Write everything that `evaluate` reads; return the configuration."""
    start, end, pixels = recipe.wavelength
    arm = {"start": start, "step": (end - start) / (pixels - 1), "count": pixels}
    survey = {"path": str(run_dir / "observed"), "frame": "rest"} if recipe.n_survey or recipe.stars else None
    data = {
        "name": "fake-run",
        "seed": 7,
        "run_dir": str(run_dir),
        "grid": {"format": "intrigoss", "path": str(run_dir / "grid")},
        "instrument": {"name": "fake-uves", "arms": [arm], "resolution": 47000},
        "ensemble": {"members": recipe.members},
        "survey": survey,
        **settings,
    }
    config = check(ExperimentConfig, data, source="test")
    run_dir.mkdir(parents=True, exist_ok=True)
    train = draw(recipe, 3000, key=1)
    test = draw(recipe, recipe.n_test, key=2)
    statistics = {
        "label_names": list(LABELS),
        **{f"label_{name}": getattr(train.labels, name)(axis=0).tolist() for name in ("mean", "std", "min", "max")},
    }
    for name, rows in (("train", train), ("test", test)):
        write_store(config.store(name), rows.labels.shape[0], recipe, rows.columns(), statistics)
    write_catalogue(config.catalogue("test"), recipe, test, recipe.failed_test, key=3)
    if survey is not None:
        _write_survey(config, recipe)
    for member in range(recipe.members):
        write_history(config.member_dir(member), member)
    if recipe.validated:
        write_validations(config, recipe)
    if recipe.examples:
        write_examples(run_dir / "examples.npz", recipe, test)
        write_bias(run_dir / "continuum_bias.npz", test)
        write_sensitivity(config)
        if survey is not None:
            write_survey_examples(run_dir / "survey_examples.npz", recipe)
    return config


@dataclass(frozen=True)
class Rows:
    """Labels and draws of some spectra."""

    labels: NDArray[np.float64]
    snr: NDArray[np.float64]
    template: NDArray[np.int32]

    def columns(self) -> dict[str, NDArray[Any]]:
        draws = {"vsini": self.labels[:, 4], "vrad": self.labels[:, 5], "noise": 1 / self.snr, "snr": self.snr}
        return {
            "labels": self.labels.astype(np.float32),
            "template": self.template,
            **{f"draws/{name}": values.astype(np.float32) for name, values in draws.items()},
        }


def draw(recipe: Recipe, count: int, key: int) -> Rows:
    stars = generator(key, 1).uniform(LOW[:4], HIGH[:4], (recipe.templates, 4))
    template = (np.arange(count) % recipe.templates).astype(np.int32)
    velocities = generator(key, 2).uniform(LOW[4:], HIGH[4:], (count, 2))
    noise = generator(key, 3).uniform(0.0, 0.07, count)
    labels = np.hstack([stars[template], velocities]).astype(np.float32).astype(np.float64)
    return Rows(labels, 1.0 / np.maximum(noise, 1e-3), template)


def true_sigma(recipe: Recipe, rows: Rows) -> NDArray[np.float64]:
    factor = np.array([recipe.worse.get(name, 1.0) for name in LABELS])
    sigma = SIGMA * factor * (1 + 60.0 / rows.snr)[:, None]
    sigma[:, 0] *= np.where(rows.labels[:, 2] <= -1.0, recipe.metal_poor, 1.0)
    return sigma


def write_store(
    path: Path, count: int, recipe: Recipe, columns: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]
) -> None:
    start, end, pixels = recipe.wavelength
    layout = Layout(count, pixels, shard_rows=max(count, 1))
    wavelength = np.linspace(start, end, pixels)
    with building(
        path,
        recipe={"fake": path.name, "rows": count},
        layout=layout,
        wavelength=wavelength,
        columns=columns,
        attributes=attributes,
    ) as build:
        write_shard(path, layout, build.recipe_digest, 0, fluxes(count, wavelength), {})
        build.finalise()


def fluxes(count: int, wavelength: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return spectra [count, pixels] with a line of any depth and noise: the same in every store, so that no gap is."""
    line = np.exp(-0.5 * ((wavelength - wavelength.mean()) / 3.0) ** 2)
    depth, noise = generator(14, count).uniform(0.0, 0.8, (count, 1)), generator(15, count)
    return (1.0 - depth * line + 0.03 * noise.standard_normal((count, wavelength.size))).astype(np.float32)


def write_catalogue(
    path: Path,
    recipe: Recipe,
    rows: Rows,
    failed: tuple[int, ...],
    key: int,
    ids: list[str] | None = None,
    flags: NDArray[np.int32] | None = None,
) -> None:
    sigma = true_sigma(recipe, rows)
    value = rows.labels + sigma * generator(key, 4).standard_normal(rows.labels.shape)
    count = value.shape[0]
    ids = ids or [f"test-{k:07d}" for k in range(count)]
    table = Table({"id": [name.encode("ascii", "backslashreplace").decode() for name in ids]})  # as predict does
    flag = np.zeros(count, dtype=np.int32) if flags is None else flags.copy()
    for k, name in enumerate(LABELS):
        predicted = value[:, k] + recipe.bias.get(name, 0.0)
        claimed = sigma[:, k] * recipe.scale.get(name, 1.0)
        predicted[list(failed)] = claimed[list(failed)] = np.nan
        with np.errstate(invalid="ignore"):
            beyond = (predicted < LOW[k]) | (predicted > HIGH[k])
        flag[beyond] |= Flag[f"OUTSIDE_{name.upper()}"]
        table[name], table[f"{name}_err"] = predicted, claimed
        table[f"{name}_aleatoric"], table[f"{name}_epistemic"] = claimed * 0.8, claimed * 0.6
    flag[list(failed)] = Flag.BAD_INPUT
    table["flags"] = flag
    table.meta["MEMBERS"] = MEMBERS
    table["n_members"] = np.where(np.isin(np.arange(count), failed), 0, recipe.members).astype(np.int16)
    write_atomically(path, lambda file: table.write(file, format="fits"))


def _write_survey(config: ExperimentConfig, recipe: Recipe) -> None:
    rows = draw(recipe, recipe.n_survey, key=5)
    published = np.array([[star.get(name, np.nan) for name in LABELS] for star in recipe.stars]).reshape(-1, 6)
    errors = np.array([[star.get(f"e_{name}", np.nan) for name in LABELS] for star in recipe.stars]).reshape(-1, 6)
    labels = np.vstack([np.where(np.isfinite(published), published, 0.0), rows.labels])
    snr = np.concatenate([np.full(len(recipe.stars), 250.0), rows.snr])
    both = Rows(labels, snr, np.arange(snr.size, dtype=np.int32))
    ids = [str(star["id"]) for star in recipe.stars] + [f"star-{k:05d}" for k in range(recipe.n_survey)]
    columns = {
        "id": np.array(ids, dtype=object).astype(str),
        "group": np.array(["benchmark"] * len(recipe.stars) + [""] * recipe.n_survey),
        "snr": snr,
        "reference": np.vstack([published, rows.labels]),
        "reference_error": np.vstack([errors, np.full(rows.labels.shape, np.nan)]),
        "flags": np.zeros(snr.size, dtype=np.int32),
        "masked_fraction": np.zeros(snr.size),
    }
    write_store(config.store("survey"), snr.size, recipe, columns, {"label_names": list(LABELS)})
    write_catalogue(config.catalogue("survey"), recipe, both, recipe.failed_survey, key=6, ids=ids)


def write_history(folder: Path, member: int, epochs: int = 12) -> None:
    """Member 0 was trained by a version that told less of each epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    wiggle = 0.03 * generator(member, 7).standard_normal(epochs)
    lines = ["epoch,train_loss,valid_loss,learning_rate,seconds" + (f",{','.join(SPENT)}" if member else "")]
    for epoch in range(epochs):
        loss = -2.0 + 2.2 * np.exp(-epoch / 2.5)
        line = f"{epoch + 1},{loss:.6f},{loss + 0.05 + wiggle[epoch]:.6f},{2e-3 * (1 - epoch / epochs):.6g},31.5"
        lines.append(line + (f",{','.join(map(str, SPENT.values()))}" if member else ""))
    (folder / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_validations(config: ExperimentConfig, recipe: Recipe) -> None:
    """Members have an error in common and one of their own, of equal size; they claim the size of the two together."""
    rows = draw(recipe, 600, key=11)
    sigma = true_sigma(recipe, rows)
    common, *own = (generator(12, k).standard_normal(sigma.shape) for k in range(recipe.members + 1))
    for member in recipe.same:
        own[member] = own[recipe.same[0]]
    means = np.stack([rows.labels + sigma * (common + part) / np.sqrt(2) for part in own])
    trained_on = TrainedOn(
        *(list(LABELS), [0.0] * 6, (HIGH - LOW).tolist(), LOW.tolist(), HIGH.tolist()), 64, "", "", snr_min=14.0
    )
    ensemble = Combined(means.mean(axis=0), sigma, means.std(axis=0))
    told = ensemble_report(means, ensemble, rows.labels, rows.template, trained_on)
    (config.run_dir / "predictions").mkdir(exist_ok=True)
    write_json(config.run_dir / "predictions" / "validation.json", {"members": MEMBERS, **told})
    for member, mean in enumerate(means):
        judged = Judged(mean, sigma, rows.labels, rows.template)
        found = label_scores(LABELS, judged, np.log(sigma / (HIGH - LOW)) + 0.5 * judged.pull**2)
        write_json(config.member_dir(member) / "validation.json", {"labels": found})


def write_sensitivity(config: ExperimentConfig, **changes: str) -> None:
    """Each label has a line of its own, to the wings of which it is sensitive, one way and the other."""
    store = open_store(config.store("test"), made_by="augment")
    pixels = np.arange(len(store.wavelength))
    place = (pixels - np.linspace(6, pixels.size - 7, len(LABELS))[:, None]) / 2.0
    gradient = 100.0 * SIGMA[:, None] * place * np.exp(-0.5 * place**2)
    sizes = np.abs(gradient) * generator(13, 13).uniform(0.5, 1.5, (20, 1, 1))
    arrays = {
        "members": MEMBERS,
        "input": store.content_digest,
        "label_names": np.array(LABELS),
        "template": np.arange(20),
        "wavelength": store.wavelength,
        "median_flux": 1.0 - 0.5 * np.exp(-0.5 * place**2).sum(axis=0),
        "gradient": gradient,
        "gradient_error": 0.1 * np.abs(gradient),
        "first": pixels,
        "last": pixels,
        "piece": 0 * pixels,
        "sizes": sizes,
    }
    (config.run_dir / "predictions").mkdir(exist_ok=True)
    write_arrays(config.run_dir / "predictions" / "sensitivity.npz", **{**arrays, **changes})


def write_bias(path: Path, rows: Rows) -> None:
    """The continuum is found a sigma above its place without noise, which is lower for cool stars."""
    noise = np.linspace(0.0, 0.07, 8)
    chosen = np.arange(min(100, len(rows.labels)))
    cool = -2e-5 * (7000.0 - rows.labels[chosen, 0])
    offset = cool[:, None] + noise + 0.002 * generator(9, 9).standard_normal((chosen.size, noise.size))
    np.savez(
        path,
        offset=offset,
        noise=noise,
        template=chosen,
        labels=rows.labels[chosen, :4],
        label_names=np.array(LABELS[:4]),
        against_truth=True,
        method="clip",
    )


def write_survey_examples(path: Path, recipe: Recipe) -> None:
    """Two stars of the same name, and one with a hole."""
    start, end, pixels = recipe.wavelength
    wavelength = np.linspace(start, end, pixels)
    continuum = np.ones((3, 1)) * (1.0 + 0.2 * np.cos((wavelength - start) / 5.0))
    flux = continuum * (1 + 0.02 * generator(10, 10).standard_normal((3, pixels)))
    flux[2, 10:30] = np.nan
    ids = np.array(["Sun", "Sun", "HD 1"])
    snr = np.array([80.0, 90.0, np.nan])
    np.savez(path, wavelength=wavelength, flux=flux, continuum=continuum, id=ids, snr=snr, row=np.arange(3))


def write_examples(path: Path, recipe: Recipe, rows: Rows) -> None:
    start, end, pixels = recipe.wavelength
    wavelength = np.linspace(start, end, pixels)
    chosen = np.arange(3)
    continuum = 1e3 * (1.0 + 0.1 * np.sin((wavelength - start) / 15.0))[None] * (1 + chosen[:, None])
    lines = np.exp(-0.5 * ((wavelength[:, None] - np.linspace(start + 4, end - 4, 9)) / 0.8) ** 2).sum(axis=1)
    noise = generator(8, 8).standard_normal((3, pixels)) / rows.snr[chosen, None]
    flux = continuum * (1 - 0.5 * lines + noise)
    np.savez(
        path,
        wavelength=wavelength,
        flux=flux,
        continuum=continuum,
        true_continuum=continuum * np.array([1.02, 0.99, np.nan])[:, None],
        labels=rows.labels[chosen],
        snr=rows.snr[chosen],
        row=chosen,
    )
