"""Observed spectra in the formats that archives and pipelines deliver, and the tables that list them."""

from starnet_hpc.observations.declared import Declared, settled
from starnet_hpc.observations.eso import write_eso_sdp
from starnet_hpc.observations.listing import Listing, file_id, listing_of, spectra_endings
from starnet_hpc.observations.registry import READERS, identify, read_observation
from starnet_hpc.observations.spectrum import Frame, ObservationReader, ObservedSpectrum, check_observation

__all__ = [
    "READERS",
    "Declared",
    "Frame",
    "Listing",
    "ObservationReader",
    "ObservedSpectrum",
    "check_observation",
    "file_id",
    "identify",
    "listing_of",
    "read_observation",
    "settled",
    "spectra_endings",
    "write_eso_sdp",
]
