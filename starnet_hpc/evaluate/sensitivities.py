"""Which wavelengths drive a label: gradients that `predict` keeps, as a table for a figure and one of windows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.document import Grid, Picture, Section
from starnet_hpc.evaluate.figures import sensitivities as figures
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.tables import Column, Row, Table, table
from starnet_hpc.statistics import Floats, mean
from starnet_hpc.stores import read_arrays

_MOST_PIXELS = 1500
"""Points a label in figure and CSV; of longer spectra, neighbouring pixels are averaged."""
_CELLS = 60
"""A spectrum is cut into about so many equally long cells, of which windows are made."""
_MOST_CELLS = 8
"""So many cells with the largest shares are in windows."""


@dataclass(frozen=True)
class Sensitivities:
    """Gradients of the ensemble's labels with respect to flux, at rest, averaged over some held-out spectra."""

    labels: tuple[str, ...]
    wavelength: Floats
    """Pixels [pixels], angstrom."""
    flux: Floats
    """Median of the spectra [pixels]."""
    gradient: Floats
    """Unit of the label over normalised flux in a pixel [labels, pixels]; NaN where it is not known."""
    error: Floats
    """Standard error over spectra [labels, pixels]."""
    first: NDArray[np.int64]
    """First pixel of each bin [bins]."""
    last: NDArray[np.int64]
    """Last one [bins]."""
    piece: NDArray[np.int64]
    """Which stretch without gaps each bin is in [bins]."""
    sizes: Floats
    """Sum of the absolute gradients of a spectrum in each bin [spectra, labels, bins]."""
    template: NDArray[np.int64]
    """[spectra]."""


@dataclass(frozen=True)
class Window:
    """Neighbouring bins."""

    bins: slice
    low: float
    high: float
    """Centres of the first and the last pixel, angstrom."""
    pixels: int


def read_sensitivities(inputs: Inputs) -> Sensitivities | None:
    """Return what `predict` has kept; None if that is not there, or belongs to other members or spectra.

    Raises:
        StoreDamagedError: there is a file of this name that holds something else.
    """
    path = inputs.config.run_dir / "predictions" / "sensitivity.npz"
    if not path.exists():
        return None
    found = read_arrays(path)
    try:
        if found is None:
            raise ValueError("it is no archive of arrays")
        header, store = inputs.test.catalogue.header, inputs.test.store
        if str(found["members"]) != header.get("MEMBERS") or str(found["input"]) != store.content_digest:
            return None
        return Sensitivities(
            tuple(str(name) for name in found["label_names"]),
            wavelength=found["wavelength"].astype(np.float64),
            flux=found["median_flux"].astype(np.float64),
            gradient=found["gradient"].astype(np.float64),
            error=found["gradient_error"].astype(np.float64),
            first=found["first"].astype(np.int64),
            last=found["last"].astype(np.int64),
            piece=found["piece"].astype(np.int64),
            sizes=found["sizes"].astype(np.float64),
            template=found["template"].astype(np.int64),
        )
    except (KeyError, ValueError) as error:
        raise StoreDamagedError(
            f"{path}: not the file that `starnet-hpc predict CONFIG` writes ({error}); remove it, and run that again "
            f"(or do without)"
        ) from None


def sensitivities_section(inputs: Inputs) -> list[Section]:
    """Return the chapter on what drives labels; none where gradients are not there."""
    found = read_sensitivities(inputs)
    if found is None:
        return []
    sigma = {
        label: float(np.median(columns.sigma[columns.usable]))
        for label, columns in inputs.test.sample.predicted.items()
        if label in found.labels and columns.usable.any()
    }
    count = words.count(len(found.sizes))
    note = (
        f"Grey: median of {count} held-out spectra at rest. Blue: change of the label that the ensemble gives when the "
        "flux of one pixel rises by 1 % of the continuum, over the median sigma of held-out spectra; mean over these "
        "spectra. Positive: deeper lines there lower the label. Shaded: the windows of the table."
    )
    rule = (
        "Share of a window in the sum of all pixels' absolute gradients, mean over spectra ± standard error (over "
        f"templates). Windows: the {_MOST_CELLS} of about {_CELLS} cells of equal length with the largest "
        "shares, if above their share of the pixels; neighbours joined; having been chosen by their shares, these "
        "are a little too large. × even: share over the window's share of the pixels. What drives a label need not be "
        "a line of that element: it may be what tells its continuum, its noise or another label."
    )
    shown = sensitivities("sensitivities", "Sensitivity of each label to flux", found, sigma)
    listed = windows("sensitivity_windows", "Wavelengths that drive each label", found)
    return [Section("sensitivities", "What drives a label", (Picture(shown, figures.panels, note), Grid(listed, rule)))]


def sensitivities(name: str, caption: str, found: Sensitivities, sigma: dict[str, float]) -> Table:
    """Return flux and sensitivity [sigma for 1 % of the continuum in a pixel] at every pixel, or every few.

    Args:
        name: of the table.
        caption: of the table.
        found: gradients.
        sigma: of each label that is to be shown [unit of the label].
    """
    columns = (
        Column("label"),
        Column("wavelength_angstrom"),
        Column("flux"),
        Column("sigma_per_percent", error="sigma_per_percent_error"),
        Column("window"),
    )
    step = -(-found.wavelength.size // _MOST_PIXELS)
    starts = np.arange(0, found.wavelength.size, step)
    wavelength, flux = _averaged(found.wavelength, starts), _averaged(found.flux, starts)
    rows: list[Row] = []
    for k, label in enumerate(found.labels):
        if label not in sigma:
            continue
        inside = np.zeros(found.wavelength.size)
        for window in label_windows(found, k):
            inside[found.first[window.bins][0] : found.last[window.bins][-1] + 1] = 1.0
        percent = 0.01 / sigma[label]
        values = _averaged(found.gradient[k], starts) * percent
        # Neighbouring pixels' gradients go together or not, which is not known: their errors are averaged.
        errors = _averaged(found.error[k], starts) * percent
        rows += [
            {
                "label": label,
                "wavelength_angstrom": float(wavelength[at]),
                "flux": float(flux[at]),
                "sigma_per_percent": float(values[at]),
                "sigma_per_percent_error": float(errors[at]),
                "window": int(inside[start]),
            }
            for at, start in enumerate(starts)
        ]
    return table(name, caption, columns, rows)


def windows(name: str, caption: str, found: Sensitivities) -> Table:
    """Return the windows with the largest shares of each label's absolute gradients, the largest first."""
    columns = (
        Column("label", "label"),
        Column("low_angstrom", "from [Å]", "Centre of the first pixel, air, at rest"),
        Column("high_angstrom", "to [Å]", "Centre of the last pixel"),
        Column("share_percent", "share [%]", "Of the sum of absolute gradients over all pixels", "share_percent_error"),
        Column("over_even", "× even", "Share over that of the pixels"),
    )
    rows: list[Row] = []
    for k, label in enumerate(found.labels):
        shares, template = _shares(found, k)
        listed = [
            (mean(100.0 * shares[:, window.bins].sum(axis=1), template), window) for window in label_windows(found, k)
        ]
        for share, window in sorted(listed, key=lambda one: -one[0].value):
            even = 100.0 * window.pixels / found.wavelength.size
            rows.append(
                {
                    "label": label,
                    "low_angstrom": f"{window.low:.1f}",  # text: three digits are not enough
                    "high_angstrom": f"{window.high:.1f}",
                    "share_percent": share.value,
                    "share_percent_error": share.error,
                    "over_even": share.value / even,
                }
            )
    return table(name, caption, columns, rows)


def label_windows(found: Sensitivities, label: int) -> list[Window]:
    """Return the windows of a label (by its number), in the order of wavelength; none where nothing has a gradient."""
    shares, _ = _shares(found, label)
    if not shares.size:
        return []
    cells = _cells(found.piece)
    carried = np.array([shares[:, cell].sum(axis=1).mean() for cell in cells])
    best = np.sort(np.argsort(-carried, kind="stable")[: min(_MOST_CELLS, len(cells))])
    joined: list[slice] = []
    even = np.array([_window(found, cell).pixels for cell in cells]) / found.wavelength.size
    for cell in (cells[k] for k in best if carried[k] > even[k]):
        if joined and joined[-1].stop == cell.start and found.piece[cell.start] == found.piece[cell.start - 1]:
            joined[-1] = slice(joined[-1].start, cell.stop)
        else:
            joined.append(cell)
    return [_window(found, bins) for bins in joined]


def _window(found: Sensitivities, bins: slice) -> Window:
    first, last = int(found.first[bins.start]), int(found.last[bins.stop - 1])
    return Window(bins, float(found.wavelength[first]), float(found.wavelength[last]), last - first + 1)


def _cells(piece: NDArray[np.int64]) -> list[slice]:
    """Return cells of nearly equally many bins, none of which goes across a gap."""
    size = -(-piece.size // _CELLS)
    cells: list[slice] = []
    for number in np.unique(piece):
        inside = np.flatnonzero(piece == number)
        parts = np.array_split(inside, max(1, round(inside.size / size)))
        cells += [slice(int(part[0]), int(part[-1]) + 1) for part in parts]
    return cells


def _shares(found: Sensitivities, label: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return the share of each bin in a spectrum's absolute gradients [spectra, bins], and templates [spectra].

    Spectra to which a label is not sensitive at all are left out.
    """
    total = found.sizes[:, label].sum(axis=1)
    some = total > 0.0
    return found.sizes[some, label] / total[some, None], found.template[some]


def _averaged(values: Floats, starts: NDArray[np.int64]) -> Floats:
    """Return means over the pixels between starts, of those that are known; NaN where none is."""
    known = np.isfinite(values)
    count = np.add.reduceat(known.astype(np.float64), starts)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.add.reduceat(np.where(known, values, 0.0), starts) / count)
