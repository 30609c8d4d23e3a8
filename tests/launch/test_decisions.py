"""What a rerun of the chain submits, leaves alone and cancels."""

from starnet_hpc.launch.controller import NEVER, JobState
from starnet_hpc.launch.decisions import decide, waits_for
from starnet_hpc.launch.submissions import ChainJob

ALL = ["prepare", "members/0", "members/1", "predict", "evaluate"]


def job(stage: str, number: str, *after: str, member: int | None = None) -> ChainJob:
    return ChainJob(stage, member, number, "token", "recipe", after, "log", "")


CHAIN = {
    one.key: one
    for one in (
        job("prepare", "1"),
        job("members", "2_0", "1", member=0),
        job("members", "2_1", "1", member=1),
        job("predict", "3", "2_0", "2_1"),
        job("evaluate", "4", "3"),
    )
}
PENDING, RUNNING, FAILED = JobState("PENDING", "Dependency"), JobState("RUNNING"), JobState("FAILED")


def test_everything_is_submitted_once() -> None:
    assert decide(ALL, {}, {}).submit == ALL
    made = decide(ALL, CHAIN, {one.job: PENDING for one in CHAIN.values() if one.job})
    assert (made.submit, made.cancel) == ([], {})
    assert made.keep == {key: one.job for key, one in CHAIN.items()}


def test_a_failed_member_is_submitted_alone_and_what_waits_for_it_anew() -> None:
    states = {"2_0": RUNNING, "2_1": FAILED, "3": JobState("PENDING", NEVER), "4": PENDING}
    made = decide(["members/0", "members/1", "predict", "evaluate"], CHAIN, states)
    assert made.keep == {"members/0": "2_0"}
    assert made.submit == ["members/1", "predict", "evaluate"]
    assert set(made.cancel) == {"3", "4"}
    assert "would wait for ever" in made.cancel["3"]


def test_a_job_that_does_not_wait_for_what_runs_now_would_begin_too_early() -> None:
    jobs = {**CHAIN, "members/1": job("members", "9_1", "1", member=1)}
    made = decide(["members/1", "predict", "evaluate"], jobs, {"9_1": RUNNING, "3": PENDING, "4": PENDING})
    assert made.keep == {"members/1": "9_1"}
    assert made.submit == ["predict", "evaluate"]
    assert set(made.cancel) == {"3", "4"}


def test_what_runs_after_finished_stages_goes_on() -> None:
    assert decide(["predict", "evaluate"], CHAIN, {"3": RUNNING, "4": PENDING}).submit == []
    assert decide(["evaluate"], CHAIN, {"4": FAILED}).submit == ["evaluate"]


def test_each_stage_waits_for_the_nearest_one_that_is_not_done() -> None:
    assert [waits_for(stage, ALL) for stage in ("prepare", "members", "predict", "evaluate")] == [
        None, "prepare", "members", "predict",
    ]  # fmt: skip
    assert waits_for("evaluate", ["evaluate"]) is None
