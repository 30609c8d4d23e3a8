"""Isochrones in the files that their authors publish: PARSEC, MIST, and tables of one's own."""

from starnet_hpc.isochrones.isochrone import Isochrone, nearest
from starnet_hpc.isochrones.registry import read_isochrones

__all__ = ["Isochrone", "nearest", "read_isochrones"]
