"""What the stores of augmented spectra say of themselves."""

from collections.abc import Iterable

from starnet_hpc.augment.draws import SNR_DEFINITION
from starnet_hpc.stores import Layout, readme

_USED_FOR = {"train": "trained on", "valid": "validated and calibrated on", "test": "tested on"}
_ARRAYS = {
    "wavelength": "[pixels] centres of the instrument's pixels, angstrom in air",
    "flux": "[rows, pixels] flux over the continuum that was found in the noisy spectrum (where `augment.continuum` in "
    "the recipe is `none`: flux in the unit of the grid's files)",
    "labels": "[rows, labels] what the network shall find, in the order of the attribute `label_names`: teff (K), "
    "logg (dex, cgs), feh and afe ([Fe/H], [alpha/Fe], dex), vsini and vrad (km/s, receding is positive)",
    "template": "[rows] row of grid.zarr that the spectrum was made from; no template is in two of the three stores",
    "draws/vsini": "[rows] projected rotational velocity that was drawn, km/s",
    "draws/vrad": "[rows] radial velocity that was drawn, km/s",
    "draws/epsilon": "[rows] linear limb-darkening coefficient that was drawn, 0 to 1",
    "draws/noise": "[rows] standard deviation of the noise of a pixel that was drawn, in units of the median flux",
    "draws/nodes": "[rows, corners] rows of grid.zarr whose weighted sum the spectrum was made from, `template` first",
    "draws/weights": "[rows, corners] their weights, the largest first; their sum is 1",
    "draws/snr": "[rows] signal-to-noise ratio a pixel, 1 / draws/noise",
}


def augmented_readme(split: str, layout: Layout, columns: Iterable[str]) -> str:
    """Return the text for `train`, `valid` or `test` with these columns."""
    arrays = {name: _ARRAYS.get(name, "not described") for name in ("wavelength", "flux", *columns)}
    what = f"synthetic spectra as an instrument would deliver them, to be {_USED_FOR[split]}."
    return readme(f"{split}.zarr", layout, what=what, made_by="augment", arrays=arrays, snr=SNR_DEFINITION)
