"""Where spectra lie: what fits where, by what the machine, the job and the GPU have left."""

from pathlib import Path

import pytest

from starnet_hpc.errors import ConfigError
from starnet_hpc.train.residency import Room, available_memory

GB = 10**9


def room(*, gpu: int | None = 100 * GB, host: int = 40 * GB) -> Room:
    return Room(gpu, host, 0.6 * (gpu or 0), 0.5 * host)


def test_auto_takes_the_gpu_then_memory_then_the_disk() -> None:
    assert room().home("auto", 59 * GB, "train.zarr") == "device"
    assert room(host=200 * GB).home("auto", 61 * GB, "train.zarr") == "host"
    assert room().home("auto", 61 * GB, "train.zarr") == "stream"
    assert room(gpu=None).home("auto", 19 * GB, "train.zarr") == "host"
    assert room(gpu=None).home("auto", 21 * GB, "train.zarr") == "stream"


def test_what_one_store_takes_is_not_there_for_the_next() -> None:
    one = room()
    homes = [one.home("auto", size * GB, "train.zarr") for size in (40, 19, 15, 6, 4, 4)]
    assert homes == ["device", "device", "host", "stream", "host", "stream"]


def test_without_a_gpu_the_device_is_the_machine() -> None:
    assert room(gpu=None).home("device", 30 * GB, "train.zarr") == "host"


def test_a_wish_may_go_beyond_what_auto_takes_but_not_beyond_what_is_there() -> None:
    assert room().home("device", 90 * GB, "train.zarr") == "device"
    assert room().home("host", 39 * GB, "train.zarr") == "host"
    assert room().home("stream", 1000 * GB, "train.zarr") == "stream"
    told = r"train\.residency: device puts 101 GB of train\.zarr on the GPU, .* room for 100 GB; choose auto, or stream"
    with pytest.raises(ConfigError, match=told):
        room().home("device", 101 * GB, "train.zarr")
    for wish in ("host", "device"):
        with pytest.raises(ConfigError, match=rf"{wish} puts 41 GB of valid\.zarr in memory, .* room for 40 GB"):
            room(gpu=None).home(wish, 41 * GB, "valid.zarr")


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Write the files of a system that has 20 GB left."""
    texts = {
        "proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable:   20000000 kB\n",
        "proc/self/cgroup": groups,
        **files,
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_job_may_use_what_its_control_group_and_those_above_it_leave(tmp_path: Path) -> None:
    job = "sys/fs/cgroup/slurm/job_7"
    files = {
        "sys/fs/cgroup/slurm/memory.max": "max\n",
        f"{job}/memory.max": "8000000000\n",
        f"{job}/memory.current": "5000000000\n",
        # 4 GB of files that were read make way.
        f"{job}/memory.stat": "anon 900000000\nfile 4100000000\ninactive_file 3000000000\nactive_file 1000000000\n",
        f"{job}/step_0/memory.max": "max\n",
    }
    assert available_memory(machine(tmp_path, "0::/slurm/job_7/step_0\n", files)) == 7 * GB


def test_control_groups_of_version_1_count_as_well(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "8000000000\n",
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "5000000000\n",
        "sys/fs/cgroup/memory/job/memory.stat": "cache 1\ntotal_inactive_file 1000000000\ntotal_active_file 0\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "5000000000\n",
        "sys/fs/cgroup/memory/memory.stat": "",
    }
    root = machine(tmp_path, "4:cpuset:/job\n3:cpu,memory:/job\n1:name=systemd:/\n", files)
    assert available_memory(root) == 4 * GB


def test_a_machine_without_limits_has_what_its_kernel_says(tmp_path: Path) -> None:
    assert available_memory(machine(tmp_path / "a", "0::/../../elsewhere\n", {})) == 20 * 1024 * 10**6
    bare = machine(tmp_path / "b", "", {})
    (bare / "proc/self/cgroup").unlink()
    assert available_memory(bare) == 20 * 1024 * 10**6
    assert available_memory() > 0
