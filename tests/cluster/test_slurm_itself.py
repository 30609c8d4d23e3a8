"""The test cluster behaves like a cluster, so that other tests can take this for granted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import submitit

from tests.cluster.slurm_harness import Slurm, SlurmError, wait_for
from tests.cluster.slurm_jobs import Work, count_lives, square, sum_of_ranks_plus_one

MPI_PROGRAM = """
import json, os, socket
from mpi4py import MPI
world = MPI.COMM_WORLD
seen = world.gather((os.environ["SLURMD_NODENAME"], socket.gethostname()))
total = world.allreduce(world.rank + 1)
if world.rank == 0:
    print(json.dumps({"size": world.size, "seen": seen, "total": total}))
"""


def executor(slurm: Slurm, folder: Path, **parameters: object) -> submitit.AutoExecutor:
    """Return an executor that submits to the test cluster and keeps its files in `folder`."""
    made = submitit.AutoExecutor(folder=folder, cluster="slurm")
    made.update_parameters(**slurm.submitit_parameters(**parameters))
    return made


def test_a_step_runs_on_every_node_under_the_name_of_that_node(slurm: Slurm) -> None:
    count = str(len(slurm.nodes))
    done = slurm.run("srun", "-N", count, "-n", count, "bash", "-c", "echo $SLURMD_NODENAME $(hostname)")
    seen = dict(line.split() for line in done.stdout.splitlines())
    assert set(seen) == set(slurm.nodes)
    if slurm.namespaces:
        assert all(hostname == node for node, hostname in seen.items())


def test_python_in_a_job_is_the_interpreter_of_the_tests(slurm: Slurm) -> None:
    done = slurm.run("srun", "python", "-c", "import sys, tests.cluster.slurm_jobs; print(sys.prefix)")
    assert done.stdout.strip() == sys.prefix


def test_a_job_sees_only_the_gpus_it_asked_for(slurm: Slurm) -> None:
    done = slurm.run("srun", "--gpus-per-node=1", "printenv", "CUDA_VISIBLE_DEVICES")
    assert done.stdout.strip() == "0"
    assert slurm.run("srun", "printenv", "CUDA_VISIBLE_DEVICES", check=False).stdout.strip() == ""


def test_a_command_that_takes_too_long_raises_and_leaves_no_job_behind(slurm: Slurm) -> None:
    with pytest.raises(SlurmError, match="took over"):
        slurm.run("srun", "sleep", "60", timeout=1.0)
    wait_for(lambda: "sleep" not in slurm.run("squeue", "--steps", "-h").stdout, "the end of the step")
    wait_for(lambda: not slurm.run("squeue", "-h").stdout, "the end of the job")


def test_mpi_ranks_on_two_nodes_make_up_one_world(slurm: Slurm) -> None:
    done = slurm.run("srun", "--mpi=pmi2", "-N2", "-n4", "--ntasks-per-node=2", "python", "-c", MPI_PROGRAM)
    world = json.loads(done.stdout)
    assert world["size"] == 4
    assert world["total"] == 10
    assert [node for node, _ in world["seen"]] == [node for node in slurm.nodes[:2] for _ in range(2)]
    if slurm.namespaces:
        assert all(node == hostname for node, hostname in world["seen"])


def test_two_nodes_with_two_tasks_reduce_with_torch_distributed(slurm: Slurm, tmp_path: Path) -> None:
    job = executor(slurm, tmp_path, nodes=2, tasks_per_node=2).submit(sum_of_ranks_plus_one)
    seen = job.results()
    assert [each.rank for each in seen] == [0, 1, 2, 3]
    assert all(each.world_size == 4 and each.total == 10.0 for each in seen)
    assert [each.node for each in seen] == [node for node in slurm.nodes[:2] for _ in range(2)]
    if slurm.namespaces:
        assert all(each.hostname == each.node for each in seen)


def test_every_member_of_a_job_array_returns_its_own_result(slurm: Slurm, tmp_path: Path) -> None:
    jobs = executor(slurm, tmp_path, slurm_array_parallelism=3).map_array(square, [2, 3, 4])
    assert {job.job_id.split("_")[0] for job in jobs} == {jobs[0].job_id.split("_")[0]}
    assert [job.result() for job in jobs] == [4, 9, 16]


def test_submitit_learns_that_a_cancelled_job_has_ended(slurm: Slurm, tmp_path: Path) -> None:
    job = executor(slurm, tmp_path).submit(Work(tmp_path))
    wait_for((tmp_path / "0").exists, "the job's begin")
    job.cancel()
    wait_for(lambda: job.watcher.get_state(job.job_id, mode="force").startswith("CANCELLED"), "the state CANCELLED")
    assert job.done(force_check=True)


def test_a_requeued_job_starts_again_and_finds_what_it_wrote(slurm: Slurm, tmp_path: Path) -> None:
    record = tmp_path / "record"
    job = executor(slurm, tmp_path).submit(count_lives, record)
    wait_for(record.exists, "the first life")
    slurm.run("scontrol", "requeue", job.job_id)
    assert job.result() == ["restart 0", "restart 1"]


def test_an_urgent_job_evicts_one_that_checkpoints_and_resumes(slurm: Slurm, tmp_path: Path) -> None:
    # slurmctld knows settings by the second in which it read them: others that were tried in that second would stay.
    slurm.run("scontrol", "reconfigure")
    begun = tmp_path / "begun"
    begun.mkdir()
    ranks = len(slurm.nodes)
    victim = executor(slurm, tmp_path, nodes=ranks, slurm_exclusive=True).submit(Work(begun))
    # a rank that starts late would read what rank 0 has checkpointed, and take its first life for the second
    wait_for(lambda: len(list(begun.iterdir())) == ranks, "the begin of all ranks")
    slurm.run("srun", "--partition", slurm.urgent, "--exclusive", "-N", str(ranks), "true")
    assert victim.results() == [2] * ranks
    assert "this job is preempted" in (victim.stderr() or "")
