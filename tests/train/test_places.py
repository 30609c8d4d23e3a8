"""Where a process stands, as the variables of launchers tell it; torchrun and srun themselves are in other tests."""

import pytest

from starnet_hpc.errors import LauncherError
from starnet_hpc.train.places import Place, announced_place, first_host

SRUN = {  # the fourth of five processes on three nodes, as Slurm 22.05 announces it
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_STEP_NODELIST": "node[3-4,7]",
    "SLURM_PROCID": "3",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_CPUS_PER_TASK": "6",
}


def test_srun_announces_rank_node_and_cores() -> None:
    place = announced_place(SRUN)
    assert (place.rank, place.world, place.local_rank, place.local_world, place.cores) == (3, 5, 1, 2, 6)
    assert place.meeting.startswith("tcp://node3:")
    assert not place.own_gpu
    last = announced_place({**SRUN, "SLURM_PROCID": "4", "SLURM_NODEID": "2", "SLURM_LOCALID": "0"})
    assert (last.local_world, last.meeting) == (1, place.meeting)
    assert announced_place({**SRUN, "SLURM_GPUS_PER_TASK": "1"}).own_gpu


def test_jobs_and_steps_on_one_node_do_not_meet_at_the_same_port() -> None:
    alone = {**SRUN, "SLURM_STEP_TASKS_PER_NODE": "5", "SLURM_NODEID": "0"}
    places = [
        announced_place({**alone, "SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)}).meeting
        for job in range(4711, 4719)
        for step in range(16)
    ]
    assert len(set(places)) == len(places)
    assert all(place.startswith(("tcp://127.0.0.1:2", "tcp://127.0.0.1:3")) for place in places)


def test_a_meeting_place_that_the_user_has_named_is_kept() -> None:
    place = announced_place({**SRUN, "MASTER_ADDR": "ib3", "MASTER_PORT": "29500"})
    assert place.meeting == "tcp://ib3:29500"


def test_torchrun_outweighs_the_srun_that_started_it() -> None:
    torchrun = {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "node3"}
    place = announced_place({**SRUN, **torchrun})
    assert (place.rank, place.world, place.local_world, place.meeting) == (2, 4, 2, "env://")


def test_a_batch_script_is_no_rank() -> None:
    batch = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_CPUS_PER_TASK": "4"}
    assert announced_place(batch) == Place(cores=announced_place({}).cores)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PMI_SIZE": "10"}, "PMI_SIZE says that 10 processes"),  # mpiexec, whose helpers srun has started
        ({"SLURM_STEP_TASKS_PER_NODE": "2,2"}, "does not fit node 1 of 5"),
        ({"SLURM_NODEID": "3"}, "does not fit node 3 of 5"),
        ({"SLURM_STEP_NODELIST": ""}, "expected names of nodes"),
        ({"SLURM_PROCID": "x"}, "SLURM_PROCID is 'x', expected a whole number"),
    ],
)
def test_contradictions_are_told(changes: dict[str, str], words: str) -> None:
    with pytest.raises(LauncherError, match=words):
        announced_place({**SRUN, **changes})


def test_srun_that_speaks_pmi_is_srun() -> None:
    assert announced_place({**SRUN, "PMI_SIZE": "5", "PMI_RANK": "3"}) == announced_place(SRUN)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node7", "node7"),
        ("node[1-4]", "node1"),
        ("node[003-010,17]", "node003"),
        ("a1,b[1-2]", "a1"),
        ("rack[2-3]n[07,09],b1", "rack2n07"),
        ("gpu[12]-ib,b1", "gpu12-ib"),
    ],
)
def test_the_first_host_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first
