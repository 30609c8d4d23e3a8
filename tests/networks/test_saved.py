"""`best.pt`: what was saved comes back, and nothing else gets in."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import MissingInputError, StoreDamagedError, StoreMismatchError
from starnet_hpc.networks import build_network, describe_members, load_member, recipe_digest, save_dict
from tests import support


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_predict(tmp_path / "run", survey=16)


def members(config: ExperimentConfig) -> list[Path]:
    return [config.member_dir(member) / "best.pt" for member in range(config.ensemble.members)]


class Bomb:
    """Unpickled by plain pickle, it makes a folder."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


def test_a_member_predicts_after_loading_what_it_predicted_before_saving(config: ExperimentConfig) -> None:
    path = support.write_member(config, 0, seed=5)
    torch.manual_seed(5)
    network = build_network(config.network, support.PIXELS, 3)
    with torch.no_grad():
        network.get_submodule("head.linear").weight.mul_(50.0)
    member, flux = load_member(path), torch.randn(4, support.PIXELS)
    for ours, theirs in zip(member.network(flux), network.eval()(flux), strict=True):
        assert torch.equal(ours, theirs)
    assert (member.number, member.trained_on) == (0, support.trained_on(config))
    np.testing.assert_array_equal(member.trained_on.scale.mean, support.trained_on(config).label_mean)
    assert recipe_digest(path) == member.digest == "recipe-0-5"


def test_a_loaded_member_sees_what_it_was_trained_to_see_without_being_told(config: ExperimentConfig) -> None:
    given, ignored = torch.arange(40, 140), torch.arange(100) < 30
    network = build_network(config.network, support.PIXELS, 3, given=given, ignored=ignored).eval()
    path, flux = config.member_dir(0) / "windows.pt", torch.rand(4, support.PIXELS)
    torch.save(save_dict(network, config.network, support.trained_on(config), 0, "recipe"), path)
    member = load_member(path)
    assert torch.equal(member.network(flux).mean, network(flux).mean)
    flux[0, :70] = flux[1, 70:140] = flux[2, 70:139] = 0.0
    assert member.sees(flux).tolist() == [True, False, True, True]


def test_a_member_of_an_earlier_version_can_be_loaded_and_knows_no_feature_space(config: ExperimentConfig) -> None:
    digests, _ = describe_members(members(config))
    path = support.write_member(config, 0, features=False)
    old, new = load_member(path), load_member(members(config)[1])
    assert old.features is None
    assert new.features is not None
    assert describe_members(members(config))[0] != digests, "predictions with and without distances look alike"


def test_members_start_from_different_weights(config: ExperimentConfig) -> None:
    assert not support.same_weights(*members(config))


def test_all_missing_members_are_named_in_one_message(tmp_path: Path) -> None:
    paths = [tmp_path / "00" / "best.pt", tmp_path / "01" / "best.pt"]
    with pytest.raises(MissingInputError, match=r"00/best.pt.*01/best.pt.*starnet-hpc ensemble"):
        describe_members(paths)
    with pytest.raises(MissingInputError, match="no such member"):
        load_member(paths[0])


@pytest.mark.parametrize("as_zip", [True, False], ids=["torch file", "plain pickle"])
def test_a_file_with_code_in_it_is_refused_without_running_it(tmp_path: Path, as_zip: bool) -> None:
    path, victim = tmp_path / "best.pt", tmp_path / "executed"
    if as_zip:
        torch.save({"format": 1, "weights": Bomb(victim)}, path)
        assert b"mkdir" in zipfile.ZipFile(path).read("best/data.pkl")
    else:
        path.write_bytes(pickle.dumps(Bomb(victim)))
    for read in (load_member, lambda p: describe_members([p])):
        with pytest.raises(StoreDamagedError, match="is not a whole member file") as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert "weights_only" not in str(caught.value)  # torch's advice would be to run it
    assert not victim.exists()
    torch.load(path, weights_only=False) if as_zip else pickle.loads(path.read_bytes())  # noqa: S301
    assert victim.exists(), "the bomb of this test is a dud"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_damaged(config: ExperimentConfig, share: float) -> None:
    path = members(config)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(StoreDamagedError, match="train the member again"):
        load_member(path)
    with pytest.raises(StoreDamagedError, match="train the member again"):
        describe_members(members(config))
    assert recipe_digest(path) is None


def test_a_flipped_bit_among_the_weights_is_noticed(config: ExperimentConfig) -> None:
    path = members(config)[0]
    with zipfile.ZipFile(path) as file:
        largest = max(file.infolist(), key=lambda part: part.file_size if "/data/" in part.filename else 0)
    data = bytearray(path.read_bytes())
    data[largest.header_offset + 256 + largest.file_size // 2] ^= 1  # beyond the header, whose padding is below 128
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="not those that were written"):
        load_member(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda saved: saved.pop("trained_on"),
        lambda saved: saved.pop("weights"),
        lambda saved: saved["network"].update(kind="resent"),
        lambda saved: saved["network"].update(dense=64),
        lambda saved: saved["trained_on"].update(pixels=100),
        lambda saved: saved["features"].pop("mean"),
        lambda saved: saved["features"]["whitening"].mul_(2.0),
        lambda saved: saved.update(features=3),
    ],
    ids=[
        *("no statistics", "no weights", "unknown network", "other network", "other pixels"),
        *("no mean features", "other features", "features that are none"),
    ],
)
def test_a_file_whose_parts_contradict_each_other_is_damaged(config: ExperimentConfig, spoil: object) -> None:
    path = members(config)[0]
    saved = torch.load(path, weights_only=True)
    spoil(saved)  # type: ignore[operator]
    torch.save(saved, path)
    with pytest.raises(StoreDamagedError, match="is not a whole member file"):
        load_member(path)


def test_a_file_of_another_version_says_so(config: ExperimentConfig) -> None:
    path = members(config)[0]
    torch.save({**torch.load(path, weights_only=True), "format": 99}, path)
    with pytest.raises(StoreMismatchError, match="format 99"):
        load_member(path)


def test_the_same_network_twice_is_no_ensemble(config: ExperimentConfig) -> None:
    first, second = members(config)
    describe_members([first, second])
    saved = torch.load(first, weights_only=True)
    torch.save({**saved, "member": 1, "digest": "other"}, second)  # one module appended twice, under two names
    with pytest.raises(StoreMismatchError, match="the same network"):
        describe_members([first, second])


def test_a_member_in_anothers_place_is_refused(config: ExperimentConfig) -> None:
    first, second = members(config)
    with pytest.raises(StoreMismatchError, match="holds member 1"):
        describe_members([second, first])


def test_members_of_different_training_sets_are_refused(config: ExperimentConfig) -> None:
    first, second = members(config)
    saved = torch.load(second, weights_only=True)
    saved["trained_on"]["train_digest"] = "other"
    torch.save(saved, second)
    with pytest.raises(StoreMismatchError, match="trained on other spectra"):
        describe_members([first, second])
