"""Where networks are trained: found, honoured, and everything of a step in one place; none of it needs a GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.blocks import GRU, ConvNet, Dense, Gated, Input, LogMel, Network, Waveform
from nas.blocks.network import MultimodalNet
from nas.errors import TrainingError
from nas.tasks import Classification, Split
from nas.training import Augmentation, Device, Training, find_device, train
from nas.training.augment import distort, mix
from nas.training.device import CPU, exact_fronts, hold, on_device, place_of
from nas.training.train import _batch, _loss  # pyright: ignore[reportPrivateUsage]

OUTPUT = Classification(("no", "yes"))
META = torch.device("meta")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch says where there is a GPU of today."""
    monkeypatch.delenv("NAS_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_the_cpu_trains_and_a_gpu_that_was_asked_for_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_device() == CPU
    assert (str(CPU), CPU.notes) == ("cpu", ())
    monkeypatch.setenv("NAS_DEVICE", "cuda")
    with pytest.raises(TrainingError, match=r"NAS_DEVICE=cuda: torch \S+ finds no GPU.\nnas doctor says"):
        find_device()


@pytest.mark.usefixtures("gpu")
def test_a_gpu_trains_unless_the_cpu_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_device() == Device("cuda", "bfloat16", "NVIDIA H200")
    assert str(find_device()) == "NVIDIA H200, bfloat16"
    assert re.match("Trained on NVIDIA H200, bfloat16: the same seed", *find_device().notes)
    monkeypatch.setenv("NAS_DEVICE", "cpu")
    assert find_device() == CPU


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("capability", "precision"), [((7, 0), "float16"), ((6, 1), "float32")])
def test_older_gpus_train_in_what_they_are_fast_in(
    capability: tuple[int, int], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert find_device().precision == precision


def test_a_device_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DEVICE", "gpu0")
    with pytest.raises(TrainingError, match="NAS_DEVICE=gpu0: is no device; expected cpu or cuda"):
        find_device()


def test_only_a_gpu_computes_in_reduced_precision() -> None:
    one = torch.ones(2, 2)
    with CPU.autocast():
        assert not torch.is_autocast_enabled("cpu")
        assert (one @ one).dtype == torch.float32
    scaler = CPU.scaler()
    assert not scaler.is_enabled()
    assert scaler.scale(one) is one


def net(kind: str) -> MultimodalNet:
    torch.manual_seed(0)
    if kind == "sound":
        return Network({"sound": Waveform(LogMel(20), ConvNet(4, ()))}).build({"sound": Input((4000,))}, 2)
    inputs = {"table": Input((4,), 1.0, 2.0), "image": Input((1, 8, 8), 128.0, 64.0)}
    return Network({"table": Dense(8), "image": GRU(8)}, Gated(8)).build(inputs, 2)


class _Places(TorchDispatchMode):
    """Notes where the tensors of each operation are, numbers aside."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        places = {each.device.type for each in _tensors((args, kwargs or {})) if each.ndim}
        copies = any(word in str(func) for word in ("copy", "index"))  # what brings one to the other's place
        if len(places) > 1 and not copies:
            self.mixed.append(f"{func}: {places}")
        return func(*args, **(kwargs or {}))


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors([*value.values()])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize("stored_at", ["cpu", "meta"])
def test_all_tensors_of_a_step_are_where_the_module_is(stored_at: str, mixup: float) -> None:
    """On the meta device, which computes no values but refuses what lies elsewhere."""
    module = net("pair").to("meta").train()
    assert place_of(module) == META
    settings = Training(augmentation=Augmentation(0.2, mixup=mixup))
    generator = torch.Generator().manual_seed(0)
    stored = [torch.zeros(20, 4, device=stored_at), torch.zeros(20, 1, 8, 8, dtype=torch.uint8, device=stored_at)]
    index = torch.randperm(20, generator=generator)[:6]
    with _Places() as places:
        batch = [_batch(x, index, META, torch.channels_last) for x in stored]
        batch = [distort(x, settings.augmentation, generator) for x in batch]
        loss = _loss(module, OUTPUT, batch, torch.zeros(20, dtype=torch.int64)[index].to(META), settings, generator)
        loss.backward()
    assert {x.device for x in (*batch, loss)} == {META}
    assert {p.grad.device for p in module.parameters() if p.grad is not None} == {META}
    assert not places.mixed


def test_the_order_of_samples_is_drawn_on_the_cpu() -> None:
    """One generator of the CPU draws whatever the data lie on, so the partners are the same."""
    labels = torch.arange(12)
    here = mix([torch.zeros(12, 3)], labels, 0.4, torch.Generator().manual_seed(3))
    there = mix([torch.zeros(12, 3, device=META)], labels.to(META), 0.4, torch.Generator().manual_seed(3))
    assert here[2] == there[2]
    assert there[0][0].device == there[1].device == META


def test_a_module_ends_on_the_cpu_and_keeps_its_weights() -> None:
    module = net("pair")
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 1, 8, 8)).astype(np.uint8)
    split = Split({"table": rng.normal(size=(40, 4)).astype(np.float32), "image": image}, np.arange(40) % 2)
    other = net("pair")
    train(module, OUTPUT, split, split, Training(epochs=1))
    train(other, OUTPUT, split, split, Training(epochs=1), device=CPU)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))
    assert place_of(module) == torch.device("cpu")
    assert place_of(nn.Flatten()) == torch.device("cpu")


def test_a_module_comes_back_however_training_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[str] = []
    module = net("pair")
    monkeypatch.setattr(module, "to", moves.append)
    gpu = Device("cuda", "bfloat16", "NVIDIA H200")
    with pytest.raises(TrainingError, match="odd"), on_device(module, gpu):
        raise TrainingError("odd")
    with (
        pytest.raises(TrainingError, match="NVIDIA H200: has too little memory: 9 GiB\nTrain fewer"),
        on_device(module, gpu),
    ):
        raise torch.OutOfMemoryError("9 GiB\nmore")
    assert moves == ["cuda", "cpu"] * 2


def test_large_data_stay_in_the_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [torch.zeros(100, dtype=torch.uint8), torch.zeros(100)]
    gpu = Device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1999, 10_000))
    assert hold(values, gpu) == values
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2000, 10_000))
    monkeypatch.setattr(Tensor, "to", lambda self, where: f"{len(self)} on {where}")
    assert hold(values, gpu) == ["100 on cuda"] * 2
    assert hold(values, CPU) == values


def test_front_ends_of_sound_are_computed_in_32_bits() -> None:
    module = net("sound").eval()
    front = next(part.front for part in module.modules() if hasattr(part, "front"))
    seen: list[torch.dtype] = []
    handles = [part.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype)) for part in (front, module)]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        module(torch.randn(2, 4000))
        with exact_fronts(module, "cpu"):
            module(torch.randn(2, 4000))
        assert "forward" not in vars(front)
    assert seen[2] == torch.float32
    assert seen[3] == seen[1] == torch.bfloat16
    for handle in handles:
        handle.remove()


def test_devices_are_values() -> None:
    assert replace(CPU, kind="cuda") == Device("cuda")
