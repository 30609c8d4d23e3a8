"""Whatever bytes a file holds: a spectrum that makes sense comes back, or an error of ours that names the file."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starnet_hpc.errors import StarnetError
from starnet_hpc.observations import READERS, read_observation, write_eso_sdp
from tests.observations.cases import in_orders, write_dot_s, write_harps, write_opera, write_text

WAVELENGTH = 5000.0 * np.exp(6e-6 * np.arange(240))
FLUX = np.linspace(100.0, 300.0, 240)
ORDERS = in_orders(WAVELENGTH, 3, 20)

SOUND: dict[str, Callable[[Path], object]] = {
    "text.txt": lambda path: write_text(path, WAVELENGTH / 10, FLUX, FLUX / 50),
    "commented.dat": lambda path: write_text(
        path, WAVELENGTH, FLUX, heading="# medium: air\n# snr: 30\n# wave_aa flux"
    ),
    "orders.s": lambda path: write_dot_s(path, WAVELENGTH[ORDERS], FLUX[ORDERS], FLUX[ORDERS] / 50),
    "opera.fits": lambda path: write_opera(path, WAVELENGTH[ORDERS], FLUX[ORDERS], FLUX[ORDERS] / 50),
    "harps.fits": lambda path: write_harps(path, FLUX, 5000.0, 0.01),
    "eso.fits": lambda path: write_eso_sdp(path, WAVELENGTH, FLUX, error=FLUX / 50, snr=50.0),
}
TOKENS = (b"-1", b"99999999", b"1e999", b"nan", b"'", b"END", b",", b"#", b"\n", b"\0", b"wave", b"\xff\xfe")


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[float, bytes, int]]:
    """Draw up to four changes of a file: where (0 to 1), what is written, and how many bytes it replaces."""
    place = st.one_of(st.floats(0, 0.05), st.floats(0, 1))
    new = st.one_of(st.binary(max_size=20), st.sampled_from(TOKENS))
    return draw(st.lists(st.tuples(place, new, st.integers(0, 40)), min_size=1, max_size=4))


def mutated(raw: bytes, drawn: list[tuple[float, bytes, int]], *, fixed: bool) -> bytes:
    """Return a file with changes; `fixed` keeps its length, as FITS needs to be read any further."""
    out = bytearray(raw)
    for place, new, gone in drawn:
        start = int(place * (len(out) - 1))
        out[start : start + (len(new) if fixed else gone)] = new
    return bytes(out)


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "recognised"])
@pytest.mark.parametrize("name", SOUND)
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=changes(), cut=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_no_change_of_bytes_gives_a_foreign_error(
    tmp_path: Path, name: str, asked: bool, drawn: list[tuple[float, bytes, int]], cut: float
) -> None:
    sound = tmp_path / name
    if not sound.exists():
        SOUND[name](sound)
    raw = mutated(sound.read_bytes(), drawn, fixed=name.endswith(".fits"))
    path = tmp_path / f"changed-{name}"
    path.write_bytes(raw[: int(cut * len(raw))])
    form = read_format(name) if asked else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            back = read_observation(path, form)
        except StarnetError as error:
            assert str(path) in str(error)  # noqa: PT017 - most changes raise, some do not
        else:
            assert np.all(np.diff(back.wavelength) > 0)
            assert back.wavelength.shape == back.flux.shape == back.bad.shape
            assert not np.isnan(back.flux[~back.bad]).any()


@settings(max_examples=15, derandomize=True, deadline=None)
@given(drawn=changes())
def test_what_specutils_makes_of_it_is_ours_too(tmp_path_factory: pytest.TempPathFactory, drawn: list) -> None:
    folder = tmp_path_factory.mktemp("specutils", numbered=True)
    sound = folder / "s.fits"
    write_eso_sdp(sound, WAVELENGTH, FLUX, error=FLUX / 50)
    sound.write_bytes(mutated(sound.read_bytes(), drawn, fixed=True))
    try:
        back = read_observation(sound, "specutils")
    except StarnetError as error:
        assert str(sound) in str(error)  # noqa: PT017 - most changes raise, some do not
    else:
        assert np.all(np.diff(back.wavelength) > 0)


def read_format(name: str) -> str:
    return {"txt": "text", "dat": "text", "s": "espadons"}.get(name.rsplit(".")[-1]) or {
        "opera.fits": "espadons",
        "harps.fits": "harps",
        "eso.fits": "eso",
    }[name]


def test_every_format_but_the_borrowed_one_has_sound_files_here() -> None:
    assert {read_format(name) for name in SOUND} | {"ispec", "specutils"} == set(READERS)


@pytest.mark.parametrize("form", [*READERS, None])
def test_what_is_no_readable_file_is_named_whatever_the_format(tmp_path: Path, form: str | None) -> None:
    (tmp_path / "folder.fits").mkdir()
    (tmp_path / "empty.fits").touch()
    for name, message in {"folder.fits": "is a folder", "empty.fits": "is empty", "none.fits": "no such file"}.items():
        with pytest.raises(StarnetError, match=message) as caught:
            read_observation(tmp_path / name, form)
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("form", [*READERS, None])
def test_a_file_that_may_not_be_read_is_named_with_the_remedy(
    tmp_path: Path, form: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything, so the refusal is made here."""
    path = tmp_path / "s.fits"
    path.touch()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StarnetError, match=r"s\.fits: permission denied; make it readable \(chmod u\+r\)"):
        read_observation(path, form)
