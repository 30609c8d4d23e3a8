"""Simulate the stars of clusters along isochrones, as observed spectra: an example for `evaluate.clusters`.

    python tools/simulate_clusters.py CONFIG FOLDER --cluster NAME ISOCHRONE FEH SCATTER VRAD STARS [--cluster ...]

CONFIG is an experiment whose grid.zarr is there; its instrument takes the spectra. Stars lie at equal distances along
the isochrone (of several in its file, the one with the nearest metallicity) as far as the grid goes, with [Fe/H] drawn
from a Gaussian about FEH (SCATTER, dex), and [alpha/Fe] rising to 0.3 at [Fe/H] = -1. Stars of a cluster are as far
away as each other: S/N goes with the square root of the luminosity, from --snr at the brightest star down to 15. Giants
rotate with up to 5 km/s, dwarfs with up to 10; velocities scatter by 2 km/s about VRAD. Templates are interpolated as
`predict.reconstruction` does it.

FOLDER gets a text file a star, manifest.csv with the truth as reference labels, members.csv, and survey.yaml with what
to add to CONFIG (docs/science.md).
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig, load_config
from starnet_hpc.instruments import load_instrument
from starnet_hpc.isochrones import nearest, read_isochrones
from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.kernels.linespread import sigma_kms
from starnet_hpc.kernels.neighbours import quadratic_weights
from starnet_hpc.kernels.random import normals, stream, uniforms
from starnet_hpc.stores import Store, open_store

LABELS = ("teff", "logg", "feh", "afe", "vsini", "vrad")
LOWEST_SNR = 15.0
EPSILON = 0.6
DISPERSION_KMS = 2.0
VSINI_GIANT, VSINI_DWARF, GIANT = 5.0, 10.0, 3.5
"""Largest v sin i [km/s], and the log g below which stars are giants."""
RESPONSE = 0.25
"""The instrument's response rises and falls by this share along the range."""


@dataclass(frozen=True)
class Cluster:
    """A population of one age and composition."""

    name: str
    isochrone: Path
    feh: float
    scatter: float
    vrad: float
    stars: int


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path)
    names = ("NAME", "ISOCHRONE", "FEH", "SCATTER", "VRAD", "STARS")
    parser.add_argument("--cluster", nargs=len(names), metavar=names, action="append", required=True)
    parser.add_argument("--snr", type=float, default=150.0, help="of the brightest star of each cluster (150)")
    options = parser.parse_args()
    clusters = [
        Cluster(name, Path(path).absolute(), float(feh), float(scatter), float(vrad), int(stars))
        for name, path, feh, scatter, vrad, stars in options.cluster
    ]
    written = simulate(load_config(options.config), options.folder, clusters, options.snr)
    print(f"{options.folder}: {written} stars; add {options.folder / 'survey.yaml'} to {options.config}")


def simulate(config: ExperimentConfig, folder: Path, clusters: list[Cluster], snr: float) -> int:
    """Write spectra, tables and settings; return the number of stars.

    Args:
        config: of an experiment whose `grid.zarr` is there.
        folder: where to; made if it is not there.
        clusters: to simulate.
        snr: of the brightest star of each cluster, per pixel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    grid, instrument = open_store(config.store("grid"), made_by="ingest"), load_instrument(config.instrument)
    native = grid.attributes.get("native_resolution")
    forward = ForwardModel(
        grid.wavelength, instrument.lower, instrument.upper, instrument.arms, sigma_kms(native) if native else 0.0
    )
    phase = np.linspace(0.0, np.pi, instrument.wavelength.size)
    response = 1.0 - RESPONSE * np.sin(phase)
    manifest, members = [("id", "path", "snr", *LABELS)], [("id", "cluster")]
    for cluster in clusters:
        labels = population(config.seed, cluster, grid)
        ratio = np.clip(snr * np.sqrt(luminosity(labels) / luminosity(labels).max()), LOWEST_SNR, None)
        noise = stream(config.seed, "tools", "cluster noise", cluster.name)
        for row, star in enumerate(labels):
            identifier = f"{cluster.name.replace(' ', '')}-{row:03d}"
            drawn = dict(zip(LABELS, star.tolist(), strict=True))
            flux = forward.observe(template(grid, star), vsini=drawn["vsini"], epsilon=EPSILON, vrad=drawn["vrad"])
            flux = response * flux / np.median(flux)
            error = float(np.median(flux)) / ratio[row]
            noisy = flux + error * normals(noise, row, flux.size)
            table = np.column_stack([instrument.wavelength, noisy, np.full(flux.size, error)])
            header = f"medium: air\nframe: barycentric\nsnr: {ratio[row]:.1f}\nwavelength flux error"
            np.savetxt(folder / f"{identifier}.txt", table, fmt=("%.4f", "%.5f", "%.5f"), header=header)
            manifest.append((identifier, f"{identifier}.txt", f"{ratio[row]:.1f}", *(f"{value:.6g}" for value in star)))
            members.append((identifier, cluster.name))
    for name, lines in (("manifest.csv", manifest), ("members.csv", members)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(lines)
    known = {one.name: {"feh": one.feh, "isochrone": str(one.isochrone)} for one in clusters}
    settings = {
        "survey": {"manifest": str((folder / "manifest.csv").absolute()), "format": "text"},
        "evaluate": {
            "isochrones": sorted({str(one.isochrone) for one in clusters}),
            "clusters": {"members": str((folder / "members.csv").absolute()), "known": known},
        },
    }
    (folder / "survey.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return len(manifest) - 1


def population(seed: int, cluster: Cluster, grid: Store) -> NDArray[np.float64]:
    """Return the labels of a cluster's stars [stars, 6], in the order of `LABELS`."""
    isochrone = nearest(read_isochrones(cluster.isochrone), cluster.feh)
    ranges = dict(
        zip(grid.label_names, zip(grid.labels().min(axis=0), grid.labels().max(axis=0), strict=True), strict=True)
    )
    inside = (isochrone.teff > ranges["teff"][0]) & (isochrone.teff < ranges["teff"][1])
    inside &= (isochrone.logg > ranges["logg"][0]) & (isochrone.logg < ranges["logg"][1])
    line = np.stack([isochrone.teff[inside], isochrone.logg[inside]], axis=1)
    # Equal distances in a Kiel diagram, where 500 K are as far as 1 dex; the jump to the clump is none.
    steps = np.hypot(*(np.diff(line, axis=0) / [500.0, 1.0]).T)
    along = np.concatenate([[0.0], np.cumsum(np.where(steps > 0.3, 0.0, steps))])
    wanted = np.linspace(0.0, along[-1], cluster.stars + 2)[1:-1]
    rows = np.arange(cluster.stars)
    drawn = uniforms(stream(seed, "tools", "cluster", cluster.name), rows, 1)[:, 0]
    gauss = np.stack([normals(stream(seed, "tools", "cluster", cluster.name, "gauss"), row, 2) for row in rows])
    teff, logg = (np.interp(wanted, along, column) for column in line.T)
    feh = np.clip(cluster.feh + cluster.scatter * gauss[:, 0], *ranges["feh"])
    afe = np.clip(-0.3 * feh, 0.0, 0.3)
    vsini = drawn * np.where(logg < GIANT, VSINI_GIANT, VSINI_DWARF)
    return np.stack([teff, logg, feh, afe, vsini, cluster.vrad + DISPERSION_KMS * gauss[:, 1]], axis=1)


def luminosity(labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the luminosity [stars] of stars of one mass, over any one: Teff^4 / g."""
    return np.asarray(labels[:, 0] ** 4 / 10.0 ** labels[:, 1])


def template(grid: Store, star: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the spectrum of some labels [samples], between the grid's nodes."""
    nodes, place = grid.labels(), [LABELS.index(name) for name in grid.label_names]
    low, reach = nodes.min(axis=0), np.ptp(nodes, axis=0)
    reach = np.where(reach > 0, reach, 1.0)
    rows, weights = quadratic_weights((nodes - low) / reach, (star[place] - low) / reach)
    spectra = grid.mapped_rows()
    total = np.zeros(grid.layout.pixels)
    for row, weight in zip(rows.tolist(), weights.tolist(), strict=True):
        flux = spectra[row].astype(np.float64)
        total += weight * flux / flux.mean()
    return total.astype(np.float32)


if __name__ == "__main__":
    main()
