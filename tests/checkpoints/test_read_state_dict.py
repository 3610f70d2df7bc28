"""A weights file is opened without running what it may hold, and a torn one is refused with a sentence."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from orbmm.checkpoints.state_dict import read_state_dict
from orbmm.errors import CheckpointError


@pytest.fixture
def tensors():
    return {"model.a": torch.rand(3, 2), "heads.b": torch.rand(()).double(), "c": torch.ones(1, dtype=torch.int64)}


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("write", [torch.save, save_file], ids=["torch", "safetensors"])
def test_a_state_dict_is_read_as_it_was_written(write, tensors, tmp_path):
    path = tmp_path / ("file.safetensors" if write is save_file else "file.ckpt")
    write(tensors, path)
    found = read_state_dict(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype


def test_a_file_that_would_run_code_is_refused_and_not_run(tmp_path, tensors):
    torch.save({**tensors, "bomb": Bomb(tmp_path / "hole")}, tmp_path / "bomb.ckpt")
    with pytest.raises(CheckpointError, match="more than tensors.*could run foreign code"):
        read_state_dict(tmp_path / "bomb.ckpt")
    assert not (tmp_path / "hole").exists()


def test_the_bomb_of_these_tests_would_go_off(tmp_path, tensors):
    torch.save({**tensors, "bomb": Bomb(tmp_path / "hole")}, tmp_path / "bomb.ckpt")
    torch.load(tmp_path / "bomb.ckpt", weights_only=False)
    assert (tmp_path / "hole").exists()


def test_a_bare_pickle_that_would_run_code_is_refused_and_not_run(tmp_path):
    (tmp_path / "bomb.ckpt").write_bytes(pickle.dumps(Bomb(tmp_path / "hole"), protocol=2))
    with pytest.raises(CheckpointError):
        read_state_dict(tmp_path / "bomb.ckpt")
    assert not (tmp_path / "hole").exists()


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_torn_torch_file_is_refused(kept, tmp_path, tensors):
    torch.save({**tensors, "large": torch.rand(50, 50)}, tmp_path / "file.ckpt")
    content = (tmp_path / "file.ckpt").read_bytes()
    (tmp_path / "file.ckpt").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match="file.ckpt (is torn|is no weights file)"):
        read_state_dict(tmp_path / "file.ckpt")


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.999])
def test_a_torn_safetensors_file_is_refused(kept, tmp_path, tensors):
    save_file({**tensors, "large": torch.rand(50, 50)}, tmp_path / "file.safetensors")
    content = (tmp_path / "file.safetensors").read_bytes()
    (tmp_path / "file.safetensors").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match="file.safetensors is torn or no safetensors file"):
        read_state_dict(tmp_path / "file.safetensors")


@pytest.mark.parametrize(
    "content", [b"ATOM      1  N   ALA A   1\n" * 9, b"<!DOCTYPE html>", bytes(500), b"PK\3\4" * 99]
)
def test_a_file_of_another_sort_is_refused(content, tmp_path):
    (tmp_path / "file.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match="file.ckpt is "):
        read_state_dict(tmp_path / "file.ckpt")


def test_a_training_checkpoint_is_refused_with_the_names_that_it_holds(tmp_path, tensors):
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "file.ckpt")
    with pytest.raises(CheckpointError, match="holds state_dict, epoch, expected only named tensors"):
        read_state_dict(tmp_path / "file.ckpt")


@pytest.mark.parametrize(
    ("content", "named"), [([torch.ones(2)], "a list"), (torch.ones(2), "a Tensor"), ({}, "nothing")]
)
def test_anything_but_named_tensors_is_refused(content, named, tmp_path):
    torch.save(content, tmp_path / "file.ckpt")
    with pytest.raises(CheckpointError, match=f"holds {named}, expected"):
        read_state_dict(tmp_path / "file.ckpt")
