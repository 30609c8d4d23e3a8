"""Which names mean the same star."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files


def star_of(name: str) -> str:
    """Return what is the same for all names of a star: blanks and capitals, and for benchmark stars catalogues, too."""
    spelt = _spelt(name)
    return _known().get(spelt, spelt)


def names_in(row: Mapping[str, str]) -> list[str]:
    """Return the names that a row of a table gives its star, in columns `id`, `star`, `hd`, `hip`."""
    found = [row.get("id", ""), row.get("star", "")]
    found += [f"{catalogue}{row[catalogue]}" for catalogue in ("hd", "hip") if row.get(catalogue, "").strip().isdigit()]
    return [name for name in found if any(letter.isalnum() for letter in name)]


@cache
def _known() -> Mapping[str, str]:
    lines = files(__package__).joinpath("benchmark_names.txt").read_text(encoding="ascii").splitlines()
    stars = [line.split() for line in lines if not line.startswith("#")]
    return {_spelt(name): _spelt(names[0]) for names in stars for name in names}


def _spelt(name: str) -> str:
    return "".join(name.split()).casefold()
