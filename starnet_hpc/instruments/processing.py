"""What spectra that networks see must have in common with those that they were trained on, besides their pixels."""

from collections.abc import Mapping
from typing import Any

from starnet_hpc.instruments.continuum import CONTINUUM_SETTINGS

_OF_THE_INSTRUMENT = ("resolution", "strong_lines")


def processing(recipe: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how the continuum of a store's spectra was found, and their resolution.

    Args:
        recipe: of the store, as `augment` or `observe` wrote it.

    Returns:
        Plain values by name; None if the recipe does not say.
    """
    settings, instrument = recipe.get("augment", recipe.get("continuum")), recipe.get("instrument")
    if not isinstance(settings, Mapping) or not isinstance(instrument, Mapping):
        return None
    found = {name: settings[name] for name in sorted(CONTINUUM_SETTINGS) if name in settings}
    return found | {name: instrument[name] for name in _OF_THE_INSTRUMENT if name in instrument}
