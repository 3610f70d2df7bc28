"""Weights are audited before their checksum is noted: refused ones leave no note, and the right ones come then."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from orbmm.checkpoints.envelope import check_envelope
from orbmm.checkpoints.state_dict import audit_state_dict
from orbmm.checkpoints.store import locate_weights, published_path
from orbmm.errors import CheckpointError


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


class Hoarder:
    """Takes all memory when it is unpickled; torch's own unpickler would call this."""

    def __reduce__(self):
        return bytearray, (1 << 60,)


def save(content, **options):
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def squeeze(content):
    """The same torch file with 40 MB of zeros more, compressed to 40 kB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
        new.writestr("archive/data/999", bytes(40_000_000))
    return stream.getvalue()


def pack(pickles, room=0):
    """An archive as torch writes it, of pickles by name, with some room before its table."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in pickles.items():
            archive.writestr(f"archive/{name}", content)
        archive.writestr("archive/version", "3\n".ljust(room))
    return stream.getvalue()


def hide_name(harmless, hoard):
    """An archive with two pickles whose names differ in case; torch reads the one that is not checked."""
    return pack({"DATA.PKL": hoard, "data.pkl": harmless})


def hide_table(harmless, hoard):
    """A harmless archive behind another, at whose table its own offsets point when they count from the file's start."""
    hidden, shown = pack({"data.pkl": hoard}), pack({"data.pkl": harmless}, room=1000)
    place, hidden_place = (content.index(b"PK\1\2") for content in (shown, hidden))
    size = shown.rindex(b"PK\5\6") - place
    return hidden[:hidden_place].ljust(place, b"\0") + hidden[hidden_place : hidden_place + size] + shown


@pytest.mark.parametrize("hide", [hide_name, hide_table])
def test_torch_is_not_given_an_archive_that_it_reads_differently(hide, tmp_path):
    """Torch would take 100 MB for a bytearray, which the check of the pickle refuses."""
    path = tmp_path / "two-faced.ckpt"
    path.write_bytes(hide(pickle.dumps({}, 2), b"\x80\x02c__builtin__\nbytearray\nJ\x00\xe1\xf5\x05\x85R."))
    assert isinstance(torch.load(path, weights_only=True), bytearray)
    with pytest.raises(CheckpointError, match="is torn or no weights file"):
        check_envelope(path, "the file", 1 << 24)


def spoil(kind, tensors, folder):
    """The bytes of a file that is to be refused, and what the sentence says of it."""
    name = "heads.energy.mlp.NN-0.weight"
    if kind == "bomb":
        return save({**tensors, "more": Bomb(folder / "hole")}), "could run foreign code"
    if kind == "hoarder":
        return save({**tensors, "more": Hoarder()}), "could run foreign code"
    if kind == "zip bomb":
        return squeeze(save(tensors)), "unpacks to 40,[0-9,]+ bytes, and such weights take at most"
    if kind == "old torch":
        return save(tensors, _use_new_zipfile_serialization=False), "is a bare pickle"
    if kind == "bare bomb":
        return pickle.dumps(Bomb(folder / "hole"), protocol=2), "is a bare pickle"
    if kind == "complex":
        return save(
            {**tensors, name: tensors[name].to(torch.complex64)}
        ), "hold numbers of type complex64 .heads.energy"
    if kind == "not finite":
        return save({**tensors, name: tensors[name] / 0}), "hold NaN or infinity"
    if kind == "cutoff":
        return save({**tensors, "model.rbf_transform.r_max": torch.tensor(5.0)}), "cutoff of 5 Å, expected 6 Å"
    if kind == "another network":
        return save({"conv.weight": torch.ones(3, 3)}), "does not fit orb-v3-direct-20-omat: the weights lack"
    if kind == "stretched":
        return save({**tensors, name: torch.zeros(1).expand(1 << 40)}), "have another shape"
    return save({"state_dict": tensors}), "holds state_dict"


KINDS = ["bomb", "hoarder", "zip bomb", "old torch", "bare bomb", "complex", "not finite", "cutoff", "another network"]
KINDS += ["stretched", "training checkpoint"]


@pytest.fixture
def record(server, small_record):
    return replace(small_record, url=server.url)


def list_files(folder):
    return {path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_answer_is_neither_kept_nor_noted_and_the_right_one_then_comes(
    kind, record, server, cache, make_official, tmp_path
):
    right, server.etag = server.content, '"first"'
    server.content, reason = spoil(kind, make_official().tensors, tmp_path)
    with pytest.raises(
        CheckpointError, match=f"what {server.url} answered was not kept, because .*{reason}"
    ) as refusal:
        locate_weights(record)
    assert "\n" not in str(refusal.value)
    assert list_files(cache) == set() and not (tmp_path / "hole").exists()
    server.content, server.etag = right, '"second"'
    found = locate_weights(record)
    assert found.path.read_bytes() == right
    assert list_files(cache) == {"orb-test.ckpt", "orb-test.ckpt.sha256"}
    assert server.ranges == [None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_file_that_was_put_there_stays_is_named_and_not_noted(kind, record, cache, make_official, tmp_path):
    content, reason = spoil(kind, make_official().tensors, tmp_path)
    path = published_path(record)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=f"{reason}.*; delete {path}, and the published file will be"):
            locate_weights(record)
    assert path.read_bytes() == content and list_files(cache) == {"orb-test.ckpt"}
    path.unlink()
    assert locate_weights(record).path == path


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_file_of_the_user_is_not_copied(kind, record, cache, make_official, tmp_path):
    content, reason = spoil(kind, make_official().tensors, tmp_path)
    (tmp_path / "mine.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"^{tmp_path}/mine.ckpt .*{reason}"):
        locate_weights(record, tmp_path / "mine.ckpt")
    assert not cache.exists() and not (tmp_path / "hole").exists()


def test_the_hoarder_of_these_tests_would_hoard():
    with pytest.raises(MemoryError):
        torch.load(io.BytesIO(save({"more": Hoarder()})), weights_only=True)


def test_a_poisoned_copy_in_the_cache_is_replaced_and_a_link_is_not_followed(record, cache, torch_file, tmp_path):
    (tmp_path / "mine.ckpt").write_bytes(torch_file)
    found = locate_weights(record, tmp_path / "mine.ckpt")
    (tmp_path / "victim").write_bytes(b"precious")
    found.path.unlink()
    found.path.symlink_to(tmp_path / "victim")
    assert locate_weights(record, tmp_path / "mine.ckpt") == found
    assert not found.path.is_symlink() and found.path.read_bytes() == torch_file
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_an_absurd_table_of_a_safetensors_file_is_refused_unread(record, tmp_path):
    path = tmp_path / "mine.safetensors"
    table = b"{" + b" " * (20 << 20) + b"}"
    path.write_bytes(len(table).to_bytes(8, "little") + table)
    with pytest.raises(CheckpointError, match="table of 20,971,522 bytes, expected at most 16,777,216"):
        check_envelope(path, str(path), 1 << 30)
    with pytest.raises(CheckpointError, match="mine.safetensors is torn or no weights file"):
        locate_weights(record, path)
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="is torn or no safetensors file"):
        check_envelope(path, str(path), 1 << 30)


def test_a_safetensors_file_larger_than_its_model_is_refused_unread(record, tmp_path):
    save_file({"a": torch.zeros(8_000_000)}, tmp_path / "mine.safetensors")
    with pytest.raises(CheckpointError, match="unpacks to 32,000,[0-9]+ bytes, and such weights take at most"):
        locate_weights(record, tmp_path / "mine.safetensors")


def test_the_same_tensors_as_safetensors_are_taken(record, tmp_path, make_official):
    save_file(make_official().tensors, tmp_path / "mine.safetensors")
    assert locate_weights(record, tmp_path / "mine.safetensors").path.suffix == ".safetensors"


def test_parameters_and_double_precision_are_taken(record, tmp_path, make_official):
    tensors = OrderedDict(make_official().tensors)
    tensors["heads.energy.mlp.NN-0.weight"] = torch.nn.Parameter(tensors["heads.energy.mlp.NN-0.weight"])
    tensors["heads.energy.mlp.NN-0.bias"] = tensors["heads.energy.mlp.NN-0.bias"].double()
    torch.save(tensors, tmp_path / "mine.ckpt")
    assert locate_weights(record, tmp_path / "mine.ckpt").path.is_file()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.int32])
def test_rounded_weights_are_refused(kind, record, tmp_path, make_official):
    tensors = {name: tensor.to(kind) for name, tensor in make_official().tensors.items()}
    torch.save(tensors, tmp_path / "mine.ckpt")
    with pytest.raises(CheckpointError, match=f"numbers of type {str(kind).removeprefix('torch.')} .*before they were"):
        locate_weights(record, tmp_path / "mine.ckpt")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_names_of_a_wrapped_network_are_named(prefix, record, tmp_path, make_official):
    torch.save({prefix + name: tensor for name, tensor in make_official().tensors.items()}, tmp_path / "mine.ckpt")
    with pytest.raises(CheckpointError, match=f"begin with '{prefix}'.*save the state dict of the network itself"):
        locate_weights(record, tmp_path / "mine.ckpt")


def test_a_state_dict_with_complex_numbers_is_refused_where_it_is_audited(make_official):
    official = make_official()
    name = "heads.energy.mlp.NN-0.weight"
    tensors = {**official.tensors, name: official.tensors[name] + 1j}
    with pytest.raises(CheckpointError, match="1 tensors of the weights hold numbers of type complex64"):
        audit_state_dict(tensors, official.used)
