"""Stage `ingest`: files of a synthetic grid -> `grid.zarr`, on one wavelength grid uniform in ln(wavelength)."""

from starnet_hpc.ingest.stage import FILES_PER_WORKER, ingest, listed

__all__ = ["FILES_PER_WORKER", "ingest", "listed"]
