"""POLLUX's text files: `NAME.spec` with wavelength and flux, keywords in `NAME.spec.txt` or labels in the name.

Palacios et al. (2010), A&A 516, A13. Files that its service has broadened (`CONV_R9...`) say by how much: the reader
passes that on in `extra`, and `ingest` refuses them, since the augmentation draws rotation and velocity itself.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids.template import TemplateSource, TemplateSpectrum, Window, check_template
from starnet_hpc.grids.textfile import opened_text, read_columns
from starnet_hpc.labels import GRID_LABELS

SUFFIX = ".spec"

_NUMBER = r"-?\d+(?:\.\d*)?"
_NAME = re.compile(
    rf"(?:^|_)[A-Z]_[ps](?P<teff>\d+)g(?P<logg>{_NUMBER})z(?P<feh>{_NUMBER})t(?P<vmicro>{_NUMBER})_a(?P<afe>{_NUMBER})"
)
_BROADENED = re.compile(rf"^CONV_.*?R(?P<vsini>{_NUMBER})_")
_SHIFTED = re.compile(rf"_S(?P<vrad>{_NUMBER})_")
_KEYWORDS = {"teff": "Teff", "logg": "logg", "feh": "metallic", "afe": "alpha", "vmicro": "turbvel_Vmin"}
_LINE = re.compile(r"^(\w+)\s*=\s*'([^']*)'")
_EXAMPLE = "M_s5500g1.5z0.0t1.0_a0.00c0.00n0.00o0.00r0.00s0.00_VIS.spec"


def read(source: TemplateSource, window: Window | None = None) -> TemplateSpectrum:
    """Return the template in a file, and of a long one only the lines about the window.

    Raises:
        GridFormatError: the file is damaged, or neither keywords nor name say the labels.
        MissingInputError: there is no such file.
    """
    path = source.path
    keywords = _keywords(keyword_file(path))
    values = _from_keywords(keywords, path) if keywords is not None else _from_name(path)
    columns = read_columns(path, (2, 3), window)
    flux = columns[:, _flux_column(keywords or {}, columns.shape[1], path)]
    extra = {"vmicro": values.pop("vmicro"), **_treatment(path.name)}
    return check_template(TemplateSpectrum(columns[:, 0], flux, values, source.name, extra), path)


def keyword_file(path: Path) -> Path:
    """Return where the keywords of a spectrum are, if they are anywhere."""
    return path.with_name(f"{path.name}.txt")


def _keywords(path: Path) -> dict[str, str] | None:
    try:
        with opened_text(path) as file:
            lines = file.read().decode("latin1").splitlines()
    except MissingInputError:
        return None
    return {found[1]: found[2] for line in lines if (found := _LINE.match(line))}


def _from_keywords(keywords: Mapping[str, str], path: Path) -> dict[str, float]:
    values = {}
    for name, key in _KEYWORDS.items():
        if key not in keywords:
            raise GridFormatError(f"{path}.txt: lacks keyword {key}; get it again, or remove it if the name says all")
        try:
            values[name] = float(keywords[key])
        except ValueError:
            raise GridFormatError(f"{path}.txt: keyword {key} should be a number, but is {keywords[key]!r}") from None
    return values


def _from_name(path: Path) -> dict[str, float]:
    found = _NAME.search(path.name)
    if found is None:
        raise GridFormatError(
            f"{path}: there is no {path.name}.txt with its keywords, and the name does not say the labels as "
            f"{_EXAMPLE} does; get the .txt too, or give the file its name again"
        )
    return {name: float(found[name]) for name in (*GRID_LABELS, "vmicro")}


def _flux_column(keywords: Mapping[str, str], count: int, path: Path) -> int:
    """Return which column to take as the flux: the absolute one if there are two."""
    if count == 2:
        return 1
    told = {number: keywords.get(f"column{number}", "").lower() for number in range(2, count + 1)}
    for number, text in told.items():
        if "flux" in text and not any(word in text for word in ("normal", "relative")):
            return number - 1
    raise GridFormatError(
        f"{path}: has {count} columns, and no {path.name}.txt says which of them is the flux (column2, column3); "
        f"get that file, too, or keep only wavelength and flux"
    )


def _treatment(name: str) -> dict[str, float]:
    """Return what POLLUX's service did to a spectrum, from its name: v sin i and radial velocity [km/s]."""
    if not name.startswith("CONV_"):
        return {}
    known: dict[str, float] = {}
    for pattern in (_BROADENED, _SHIFTED):
        if found := pattern.search(name):
            known |= {key: float(text) for key, text in found.groupdict().items()}
    return known
