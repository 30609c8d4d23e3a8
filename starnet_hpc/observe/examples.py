"""A few observed spectra as they are before their continuum is removed, for the report's figure of continua."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import SurveyConfig
from starnet_hpc.errors import StarnetError
from starnet_hpc.flags import Flag
from starnet_hpc.observations import Declared, Listing, read_observation, settled
from starnet_hpc.observe.reduction import Reduction
from starnet_hpc.progress import StageLog
from starnet_hpc.stores import write_arrays

_EXAMPLES = 8


def keep_survey_examples(
    path: Path,
    reduction: Reduction,
    listing: Listing,
    flags: NDArray[np.uint32],
    survey: SurveyConfig,
    log: StageLog,
) -> None:
    """Write `survey_examples.npz`: wavelength, flux and continuum of usable rows, evenly spaced, their ids and S/N.

    Fluxes are in units of the spectrum's median, NaN where masked. A file that cannot be read any more is passed over.
    """
    usable = np.flatnonzero((flags & (Flag.UNREADABLE | Flag.BAD_INPUT).value) == 0)
    declared = Declared(medium=survey.medium, frame=survey.frame)
    rows, found = [], []
    for row in usable[np.unique(np.linspace(0, usable.size - 1, _EXAMPLES).astype(int))].tolist():
        try:
            spectrum = settled(read_observation(listing.paths[row], survey.format), declared, listing.paths[row])
            found.append(reduction.found(spectrum, float(listing.snr[row]), cosmics=survey.cosmics))
            rows.append(row)
        except StarnetError as problem:
            log.warning("not among the report's example spectra: %s", problem)
    if not found:
        return
    write_arrays(
        path,
        wavelength=reduction.instrument.wavelength,
        flux=np.stack([np.where(one.usable, one.flux, np.float32(np.nan)) for one in found]),
        continuum=np.stack([one.continuum for one in found]),
        id=np.array([listing.ids[row] for row in rows], dtype=np.str_),
        snr=np.array([one.snr for one in found]),
        row=np.array(rows),
    )
