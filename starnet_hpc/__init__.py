"""Stellar labels with honest uncertainties from synthetic spectra (StarNet, Bialek et al. 2020), at survey scale."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("starnet-hpc")
except PackageNotFoundError:  # a source tree on sys.path that was never installed
    __version__ = "0+uninstalled"
