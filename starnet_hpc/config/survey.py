"""Sections that say what is observed, predicted and shown: survey, predict, evaluate."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from starnet_hpc.config.base import Interval, Section, UserPath
from starnet_hpc.config.science import StarClustersConfig
from starnet_hpc.labels import LABELS, ordered

OWN_STORES = ("grid", "train", "valid", "test", "survey")
"""Stores of a run; no other store can have one of these names."""


def _name_of_a_store(text: str) -> str:
    if text in OWN_STORES:
        raise ValueError(f"{text!r} is a store of the run itself: choose another name")
    return text


class SurveyConfig(Section):
    """Observed spectra: files in, `survey.zarr` out (stage `observe`)."""

    format: Literal["eso", "espadons", "harps", "ispec", "specutils", "text"] | None = None
    """Layout of the files (docs/observed_spectra.md); by default each file is asked."""
    path: UserPath | None = None
    """Folder with the files; each file's name without its ending is its id, unless a manifest says more."""
    manifest: UserPath | None = None
    """Table (CSV, FITS, Parquet) with columns `path` and, where known, `id`, `snr`, `group`, labels and `e_` labels; or
    a catalogue with `id` alone, which is looked for in the headers (OBJECT) and names of the files in `path`."""
    frame: Literal["rest", "barycentric", "topocentric"] | None = None
    """Velocity frame of wavelengths; must be said unless headers say it; topocentric: corrected as headers say."""
    medium: Literal["air", "vacuum"] | None = None
    """What wavelengths are measured in; must be said unless headers or the format say it. Vacuum becomes air."""
    cosmics: bool = True
    """Whether spikes that are too narrow and too high for the resolution and the noise are masked."""
    on_error: Literal["raise", "flag"] = "flag"
    """What a file that cannot be used does: stop the stage, or become a row of NaN with its flag set."""
    shard_rows: Annotated[int, Field(ge=1, le=16_384)] = 512
    """Spectra in one shard of `survey.zarr`."""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.path is None and self.manifest is None:
            raise ValueError("give `path` (a folder of spectra), `manifest` (a table of them), or both")
        return self


class PredictConfig(Section):
    """Labels of every spectrum from all members (stage `predict`)."""

    batch_size: Annotated[int, Field(ge=1)] = 64
    """Spectra that go through a network together."""
    shard_rows: Annotated[int, Field(ge=1, le=16_384)] = 512
    """Spectra in one unit of work, the unit of memory and of resuming."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads a rank: start one rank a core. The catalogue's last bits depend on this number."""
    ranks_per_shard: Annotated[int, Field(ge=1)] | None = None
    """MPI ranks that share the members of one unit; by default one, or more where there are fewer units than ranks."""
    correlations: bool = False
    """Whether the catalogue has the correlation of each two labels between the members, `teff_logg_corr` and so on."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run; auto: a GPU if there is one."""
    radial_velocity: Literal["network", "ccf"] = "network"
    """What measures velocities: `network`, the networks alone, as the paper does; `ccf`, cross-correlation with a few
    templates of the grid first, then the networks, trained near rest, see the spectrum shifted to rest."""
    velocity_limit: Annotated[float, Field(gt=0, le=3000)] = 500.0
    """Velocities between minus and plus this are searched [km/s] (`radial_velocity: ccf`)."""
    reconstruction: bool = False
    """Whether each spectrum is compared with the one that the grid's templates make of its labels (docs/catalogue.md):
    some 5 ms a spectrum of 40,000 pixels, and `grid.zarr` must be there."""
    other_tests: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$"), AfterValidator(_name_of_a_store)], UserPath
    ] = Field(default_factory=dict)
    """Name and path of further stores of synthetic spectra, the `test.zarr` of another grid's run with this instrument,
    say: each becomes NAME_catalogue, and the report tells whether sigma grows with the residuals."""


class EvaluateConfig(Section):
    """Tables, figures and the report (stage `evaluate`)."""

    snr_edges: Annotated[tuple[float, ...], Field(min_length=2)] = (0.0, 30.0, 80.0, 150.0)
    """Lower edges of the S/N bins in which residuals are shown; the last bin is open."""
    sigma_limits: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Rows with a larger total sigma of this label have the flag LARGE_SIGMA in catalogues, and are left out of the
    survey's figures. The paper's (section 5): teff 65 K, logg 0.80, feh 0.50, vsini 3 km/s, vrad 5 km/s."""
    trusted: dict[str, Interval] = Field(default_factory=dict)
    """Ranges of labels outside which benchmark stars are not compared; by default the trained ranges."""
    benchmark_labels: dict[Annotated[str, Field(min_length=1)], UserPath] = Field(default_factory=dict)
    """Name and file (CSV: `id`, `star`, `hd` or `hip`; labels, `e_` labels) of other published labels of the benchmark
    stars, to compare with as with those of the manifest."""
    compare_grids: dict[Annotated[str, Field(min_length=1)], UserPath] = Field(default_factory=dict)
    """Name and `grid.zarr` of other synthetic grids, ingested with this instrument, to compare with this run's."""
    example_spectra: Annotated[int, Field(ge=0, le=20)] = 4
    """Spectra that the report shows with their continuum."""
    isochrones: tuple[UserPath, ...] = ()
    """Files of isochrones (PARSEC, MIST, tables; docs/science.md) to draw in the Kiel diagram."""
    clusters: StarClustersConfig | None = None
    """Clusters of stars in the survey, with what is known of them."""

    @model_validator(mode="after")
    def _check_labels_and_edges(self) -> Self:
        for name in (*self.sigma_limits, *self.trusted):
            if not ordered([name]):
                raise ValueError(f"{name!r} is no label; labels are {', '.join(LABELS)}")
        if any(high <= low for low, high in pairwise(self.snr_edges)):
            raise ValueError(f"snr_edges must increase, got {list(self.snr_edges)}")
        return self
