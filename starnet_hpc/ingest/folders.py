"""The folders that a grid's templates come from: its own, and those of `grid.extra`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starnet_hpc.config import ExperimentConfig, ExtraGrid, GridConfig
from starnet_hpc.errors import ConfigError, GridFormatError, MissingInputError
from starnet_hpc.grids import GridReader, TemplateSource, reader_for
from starnet_hpc.ingest.census import Requirement
from starnet_hpc.instruments import C_KMS, Instrument, check_native, load_instrument
from starnet_hpc.kernels.broadening import COARSEST

_SAMPLES_PER_FWHM = 2.0
"""Templates need at least this many samples a resolution element, as the sampling theorem asks."""


@dataclass(frozen=True)
class GridFolder:
    """One folder of templates of one format."""

    key: str
    """The configuration's key for it: `grid`, `grid.extra[0]`, ..."""
    path: Path
    weight: float
    """How often each of its templates is used, against 1 for the grid's own."""
    need: Requirement

    @property
    def reader(self) -> GridReader:
        """What reads its files."""
        return reader_for(self.need.grid_format)

    def sources(self) -> list[TemplateSource]:
        """Return its templates, sorted by name.

        Raises:
            MissingInputError: the folder is not there, or holds none.
            GridFormatError: it cannot be read.
        """
        with _told_by_key(self.key):
            return self.reader.sources(self.path)

    def name(self, source: TemplateSource) -> str:
        """Return a template's name in the store: the file's, behind the folder's unless it is the grid's own."""
        return source.name if self.key == "grid" else f"{self.path.name}/{source.name}"


def grid_folders(config: ExperimentConfig) -> list[GridFolder]:
    """Return the grid's own folder, then the extra ones.

    Raises:
        ConfigError: a cut names a label that the grid does not vary, an extra folder's format varies others, or
            `grid.step_kms` is too large for the instrument.
        ResolutionError: `grid.resolution` is below the instrument's.
    """
    grid = config.grid
    own = GridFolder("grid", grid.path, 1.0, _requirement(config, "grid", grid))
    folders = [own]
    for k, extra in enumerate(grid.extra):
        key = f"grid.extra[{k}]"
        folder = GridFolder(key, extra.path, extra.weight, _requirement(config, key, extra))
        theirs, ours = folder.need.labels, own.need.labels
        if theirs != ours:
            raise ConfigError(
                f"{key}: the grid in {extra.path} varies {', '.join(theirs)}, but the one in {grid.path} varies "
                f"{', '.join(ours)}; templates of one store must have the same labels"
            )
        folders.append(folder)
    return folders


def needed_range(config: ExperimentConfig) -> tuple[float, float, float]:
    """Return the wavelengths that templates must cover [angstrom], and the largest step of their samples [km/s]."""
    instrument = load_instrument(config.instrument)
    low, high = instrument.template_range(vrad_max=config.augment.vrad_max, vsini_max=config.augment.vsini_max)
    return low, high, C_KMS / instrument.resolution_range[1] / _SAMPLES_PER_FWHM


def _requirement(config: ExperimentConfig, key: str, grid: GridConfig | ExtraGrid) -> Requirement:
    """Return what a template of a folder must bring: wavelengths, sampling, and labels inside the cut."""
    low, high, largest_step = needed_range(config)
    instrument = load_instrument(config.instrument)
    _check_grid(config, instrument)
    with _told_by_key(key):
        labels = reader_for(grid.format).label_names(grid.path)
    cut = grid.cut.given()
    for name in cut:
        if name not in labels:
            raise ConfigError(
                f"{key}.cut.{name}: the grid in {grid.path} (format {grid.format}) does not vary {name}; "
                f"it varies {', '.join(labels)}"
            )
    ranges = tuple((name, *cut[name]) for name in sorted(cut))
    return Requirement(
        grid.format, low, high, largest_step, labels, instrument.sharpest, config.grid.resolution, ranges
    )


def _check_grid(config: ExperimentConfig, instrument: Instrument) -> None:
    """Check that what the configuration says of all templates can do for the instrument.

    Raises:
        ConfigError: `grid.step_kms` is too large.
        ResolutionError: `grid.resolution` is below the instrument's.
    """
    check_native(config.grid.resolution, instrument.sharpest, str(config.grid.path))
    coarsest = COARSEST * instrument.narrowest_sigma_kms
    if config.grid.step_kms is not None and config.grid.step_kms > coarsest:
        raise ConfigError(
            f"grid.step_kms: steps of {config.grid.step_kms:g} km/s cannot carry the resolution of {instrument.name}, "
            f"lambda / FWHM = {instrument.resolution_range[1]:g}; {coarsest:.2f} km/s or less can"
        )


@contextmanager
def _told_by_key(key: str) -> Iterator[None]:
    """Name the folder's own key in errors of readers, who know one key only."""
    try:
        yield
    except (MissingInputError, GridFormatError) as problem:
        raise type(problem)(str(problem).replace("grid.path", f"{key}.path")) from None
