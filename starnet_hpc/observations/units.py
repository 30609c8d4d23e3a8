"""Units of wavelength, as headers and the first lines of text files spell them."""

_ANGSTROM_PER = {
    "angstrom": 1.0,
    "angstroms": 1.0,
    "aa": 1.0,
    "a": 1.0,
    "nm": 10.0,
    "nanometer": 10.0,
    "nanometers": 10.0,
    "um": 1e4,
    "micron": 1e4,
    "microns": 1e4,
    "m": 1e10,
}


def angstrom_per(unit: str) -> float | None:
    """Return how many angstrom a unit of wavelength has, None if the word is not known."""
    return _ANGSTROM_PER.get(unit.strip().lower().replace("\u00e5", "a"))
