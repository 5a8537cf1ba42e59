"""Weights on disk are what they are in memory: shared once, whole, and refused where they do not fit."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nas.errors import RunError
from nas.formats.weights import load_fitting_weights, load_weights, save_weights


class Tied(nn.Module):
    """Two layers of one matrix, and a layer that is registered twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.again = self.first

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.second(self.first(x)))


def test_what_is_shared_is_written_once_and_shared_again(tmp_path: Path) -> None:
    written, read = Tied(), Tied()
    save_weights(written, tmp_path / "w")
    assert sorted(load_file(tmp_path / "w")) == ["first.bias", "first.weight", "second.bias"]
    load_weights(read, tmp_path / "w")
    x = torch.rand(3, 4)
    assert torch.equal(read(x), written(x))
    assert read.second.weight is read.first.weight


def test_what_was_untied_keeps_both(tmp_path: Path) -> None:
    written, read = Tied(), Tied()
    for module in (written, read):
        module.second.weight = nn.Parameter(torch.rand(4, 4))
    save_weights(written, tmp_path / "w")
    load_weights(read, tmp_path / "w")
    assert torch.equal(read.second.weight, written.second.weight)
    assert not torch.equal(read.second.weight, read.first.weight)


class Views(nn.Module):
    """Buffers that lie in one memory without being equal."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.arange(12.0).reshape(3, 4)
        self.register_buffer("whole", whole)
        self.register_buffer("turned", whole.T)
        self.register_buffer("row", whole[1])
        self.register_buffer("wide", whole[:1, :1].expand(2, 5))
        self.register_buffer("none", torch.zeros(0))
        self.register_buffer("nothing", torch.zeros(0))


def test_views_of_one_memory_are_written_each(tmp_path: Path) -> None:
    save_weights(Views(), tmp_path / "w")
    found = load_file(tmp_path / "w")
    assert all(torch.equal(found[name], tensor) for name, tensor in Views().state_dict().items())


def test_weights_in_another_memory_format_come_back(tmp_path: Path) -> None:
    written = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    save_weights(written, tmp_path / "w")
    read = nn.Conv2d(3, 4, 3)
    load_weights(read, tmp_path / "w")
    assert torch.equal(read.weight, written.weight)


def test_files_of_older_runs_are_read(tmp_path: Path) -> None:
    written, read = nn.Linear(2, 3), nn.Linear(2, 3)
    save_file(dict(written.state_dict()), tmp_path / "w", {"format": "pt"})
    load_weights(read, tmp_path / "w")
    assert torch.equal(read.weight, written.weight)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(2, 3, bias=False), "Unexpected key.*bias"),
        (nn.Linear(3, 3), "size mismatch for weight"),
        (nn.Sequential(nn.Linear(2, 3)), "Missing key.*0.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(module: nn.Module, message: str, tmp_path: Path) -> None:
    save_weights(nn.Linear(2, 3), tmp_path / "w")
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(RunError, match=r"w: cannot be loaded: (.|\n)*" + message):
        load_weights(module, tmp_path / "w")
    assert before.keys() == module.state_dict().keys()


@pytest.mark.parametrize("content", [b"", b"junk", b"\x08\0\0\0\0\0\0\0{}      "[:12], None])
def test_a_damaged_or_missing_file_is_one_sentence(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "w").write_bytes(content)
    with pytest.raises(RunError, match="w: cannot be loaded"):
        load_weights(nn.Linear(2, 3), tmp_path / "w")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    save_weights(nn.Linear(2, 3), tmp_path / "w")
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:-4])
    with pytest.raises(RunError, match="w: cannot be loaded"):
        load_weights(nn.Linear(2, 3), tmp_path / "w")


def test_where_nothing_can_be_written_an_os_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="w: cannot be written"):
        save_weights(nn.Linear(2, 3), tmp_path / "missing" / "w")


def test_weights_that_fit_are_taken_and_the_others_left(tmp_path: Path) -> None:
    written = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    save_weights(written, tmp_path / "w")
    read = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5))
    before = read[1].weight.clone()
    assert load_fitting_weights(read, tmp_path / "w") == 2
    assert torch.equal(read[0].weight, written[0].weight)
    assert torch.equal(read[1].weight, before)
    with pytest.raises(RunError, match="missing: cannot be loaded"):
        load_fitting_weights(read, tmp_path / "missing")
