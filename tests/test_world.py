"""What MPI is told before it starts."""

import os

import pytest

from starnet_hpc.world import settle_wheel

NETMOD = "MPIR_CVAR_CH4_NETMOD"


@pytest.mark.parametrize(
    ("job", "wheel", "chosen", "expected"),
    [
        ("7", ["mpich"], None, "ofi"),
        ("7", ["mpich"], "ucx", "ucx"),
        ("7", [], None, None),
        (None, ["mpich"], None, None),
    ],
)
def test_only_the_wheels_mpich_in_a_slurm_job_is_told_how_to_talk(
    monkeypatch: pytest.MonkeyPatch, job: str | None, wheel: list[str], chosen: str | None, expected: str | None
) -> None:
    for name, value in (("SLURM_JOB_ID", job), (NETMOD, chosen)):
        monkeypatch.setenv(name, value or "")  # so that whatever it is then is undone
        if value is None:
            monkeypatch.delenv(name)
    monkeypatch.setattr("starnet_hpc.world.metadata.distributions", lambda name: iter(wheel))
    settle_wheel()
    assert os.environ.get(NETMOD) == expected
