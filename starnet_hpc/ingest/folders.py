"""The folders that a grid's templates come from: its own, and those of `grid.extra`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starnet_hpc.config import ExperimentConfig, LabelCut
from starnet_hpc.errors import ConfigError, GridFormatError, MissingInputError
from starnet_hpc.grids import GridReader, TemplateSource, reader_for
from starnet_hpc.ingest.census import Requirement
from starnet_hpc.instruments import C_KMS, load_instrument

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
        try:
            return self.reader.sources(self.path)
        except (MissingInputError, GridFormatError) as problem:
            # Readers know one key only.
            raise type(problem)(str(problem).replace("grid.path", f"{self.key}.path")) from None

    def name(self, source: TemplateSource) -> str:
        """Return a template's name in the store: the file's, behind the folder's unless it is the grid's own."""
        return source.name if self.key == "grid" else f"{self.path.name}/{source.name}"


def grid_folders(config: ExperimentConfig) -> list[GridFolder]:
    """Return the grid's own folder, then the extra ones.

    Raises:
        ConfigError: a cut names a label that the grid does not vary, or an extra folder's format varies others.
    """
    grid = config.grid
    own = GridFolder("grid", grid.path, 1.0, _requirement(config, "grid", grid.format, grid.cut))
    folders = [own]
    for k, extra in enumerate(grid.extra):
        key = f"grid.extra[{k}]"
        folder = GridFolder(key, extra.path, extra.weight, _requirement(config, key, extra.format, extra.cut))
        theirs, ours = folder.reader.label_names, own.reader.label_names
        if theirs != ours:
            raise ConfigError(
                f"{key}.format: grids of format {extra.format} vary {', '.join(theirs)}, but those of grid.format "
                f"{grid.format} vary {', '.join(ours)}; templates of one store must have the same labels"
            )
        folders.append(folder)
    return folders


def extra_recipe(folders: Sequence[GridFolder], files: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the extra folders add to the recipe's section `grid`; nothing if there are none.

    Args:
        folders: all of them, the grid's own first.
        files: what identifies the files of each folder.
    """
    extra = [
        {"format": folder.need.grid_format, "weight": folder.weight, "cut": folder.need.cut, "files": listing}
        for folder, listing in zip(folders[1:], files[1:], strict=True)
    ]
    return {"extra": extra} if extra else {}


def _requirement(config: ExperimentConfig, key: str, grid_format: str, limits: LabelCut) -> Requirement:
    """Return what a template of a folder must bring: wavelengths, sampling, and labels inside the cut."""
    instrument = load_instrument(config.instrument)
    low, high = instrument.template_range(vrad_max=config.augment.vrad_max, vsini_max=config.augment.vsini_max)
    largest_step = C_KMS / instrument.config.resolution / _SAMPLES_PER_FWHM
    reader = reader_for(grid_format)
    cut = limits.given()
    for name in cut:
        if name not in reader.label_names:
            raise ConfigError(
                f"{key}.cut.{name}: grids of format {reader.format} do not vary {name}; "
                f"they vary {', '.join(reader.label_names)}"
            )
    return Requirement(reader.format, low, high, largest_step, tuple((name, *cut[name]) for name in sorted(cut)))
