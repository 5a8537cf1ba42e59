"""What an untrained network tells of how well it would learn: zero-cost proxies (Abdelfattah et al., 2021).

They rank networks of one space for one task in the time of about one training step; their numbers mean nothing by
themselves. All parts are in evaluation mode, so that nothing is dropped at random; batch norm uses the statistics of
the minibatch, because those it would learn are not there yet. `synflow` and `naswot` compute in double precision; a
module of your own that insists on 32 bits cannot be scored by them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.blocks import count_params
from nas.blocks.audio import WaveformEncoder
from nas.blocks.network import MultimodalNet, network_of
from nas.errors import BUILD_ERRORS, NasError, TrainingError, unknown
from nas.space.space import Architecture
from nas.tasks import Output, Task
from nas.training.device import Device, find_device, place_of

_SAMPLES = 32
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)  # pyright: ignore[reportPrivateUsage]
_SWITCHES = frozenset(
    (
        "relu", "leaky_relu", "elu", "silu", "gelu", "mish", "hardswish", "hardtanh", "hardsigmoid", "sigmoid", "tanh",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """A minibatch of raw values.

    Attributes:
        inputs: Modality → `(b, *shape)`, float32.
        targets: As the output takes them.
        output: What is predicted.
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor
    output: Output


Proxy = Callable[[MultimodalNet, Batch], float]
"""Scores an untrained network, which it may change; higher is better."""


def params(net: MultimodalNet, batch: Batch) -> float:
    """Count parameters: what every other proxy must beat."""
    return float(count_params(net))


def grad_norm(net: MultimodalNet, batch: Batch) -> float:
    """Sum the Euclidean norms of all parameters' gradients of the task's loss (Abdelfattah et al.)."""
    loss = batch.output.loss(net(*(batch.inputs[name] for name in net.modalities)), batch.targets)
    loss.backward()
    return sum(float(p.grad.norm()) for p in net.parameters() if p.grad is not None)


def naswot(net: MultimodalNet, batch: Batch) -> float:
    """Tell how differently the samples switch the network's activations (Mellor et al., NAS without training, 2021).

    Each sample has a binary code: whether the input of each activation is positive. The score is the logarithm of the
    determinant of the kernel that counts where two codes agree. The paper's activations are ReLU; here the gates of
    recurrent units and the like count too. One is added to the diagonal, or any two samples with one code, which small
    networks on tables always have, would make the score minus infinity; a network without activations has 0.
    """
    net.double()  # in 32 bits a recurrent unit is one operation that shows no gates
    with torch.no_grad(), _Switches(len(batch.targets), batch.targets.device) as switches:
        net(*(batch.inputs[name].double() for name in net.modalities))
    kernel = switches.kernel.cpu()
    return float(torch.linalg.slogdet(kernel + torch.eye(len(kernel), dtype=torch.double))[1])


def synflow(net: MultimodalNet, batch: Batch) -> float:
    """Sum what flows through each weight, data left aside (Tanaka et al., 2020): weight times gradient, all absolute.

    Weights are made positive, norms are passed by, and the sum of the outputs for an input of ones is differentiated.
    The ones stand where learning begins: for numbers, at the standardised input; for token ids and categories, at what
    they are embedded to, so that a large vocabulary is no merit; for sound, at the spectrogram.
    """
    net.double().eval()
    for part in net.modules():
        if isinstance(part, _NORMS):
            part.register_forward_hook(lambda _module, given, _output: given[0])
        if isinstance(part, WaveformEncoder):
            part.front.register_forward_hook(_ones)
        if isinstance(part, nn.Embedding):
            part.register_forward_hook(_ones)
    place = place_of(net)
    ones = [torch.ones(1, *shape, dtype=torch.double, device=place) for shape in net.input_shapes]
    raw = [
        (one - part.shift) / part.scale if part.is_needed else one
        for one, part in zip(ones, _standardisers(net), strict=True)
    ]
    weights = [p for p in net.parameters() if p.requires_grad]
    with torch.no_grad():
        for weight in weights:
            weight.abs_()
    torch.autograd.backward(net(*raw).sum())
    return sum(float((p.detach() * p.grad).abs().sum()) for p in weights if p.grad is not None)


PROXIES: Mapping[str, Proxy] = {"synflow": synflow, "naswot": naswot, "grad_norm": grad_norm, "params": params}
"""Every proxy, by name."""


def check_proxy(name: str) -> str:
    """Give back the name of a proxy.

    Raises:
        TrainingError: If there is none of that name.
    """
    if name not in PROXIES:
        raise TrainingError(unknown("proxy", name, PROXIES))
    return name


def proxy_score(name: str, task: Task, seed: int = 0, device: Device | None = None) -> Callable[[Architecture], float]:
    """Make a function that scores architectures for a task before they are trained.

    Args:
        name: Of a proxy.
        task: Its training split gives the minibatch, of 32 samples.
        seed: Of the minibatch, and of initial weights as `Training.seed` is.
        device: What computes it, in full precision; None: the one that this process has.

    Returns:
        Architecture → score, higher is better; it raises a `TrainingError` that names proxy and architecture where the
        network cannot be built, run or differentiated.

    Raises:
        TrainingError: If there is no proxy of that name, or no such device.
    """
    proxy = PROXIES[check_proxy(name)]
    batch, place = batch_of(task, seed), torch.device((device or find_device()).kind)
    placed = Batch(
        {name: values.to(place) for name, values in batch.inputs.items()}, batch.targets.to(place), batch.output
    )

    def score(architecture: Architecture) -> float:
        where = f"proxy {name!r}, architecture {architecture.key}"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                return proxy(untrained(architecture.network, task).to(place), placed)
            except NasError as error:
                raise TrainingError(f"{where}: {error.message}", error.hint) from error
            except BUILD_ERRORS as error:
                raise TrainingError(f"{where}: {type(error).__name__}: {error}") from error

    return score


def batch_of(task: Task, seed: int) -> Batch:
    """Draw 32 samples of the training split, or all if there are fewer."""
    count = len(task.train)
    chosen = np.random.default_rng(seed).permutation(count)[:_SAMPLES]
    inputs = {name: torch.from_numpy(values[chosen]).float() for name, values in task.train.inputs.items()}
    return Batch(inputs, torch.from_numpy(task.train.targets[chosen]), task.output)


def untrained(network: Any, task: Task) -> MultimodalNet:
    """Build a closed network description in the mode that proxies need.

    Raises:
        TrainingError: If the description is not a network.
        BlockError: If a block does not fit its input.
    """
    net = network_of(network).build(task.inputs, task.output.size).eval()
    for part in net.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):  # pyright: ignore[reportPrivateUsage]
            part.train()
    return net


class _Switches(TorchDispatchMode):
    """Adds up, over all activations that run, at how many units each two of `b` samples agree."""

    def __init__(self, samples: int, place: torch.device) -> None:
        super().__init__()
        self.samples = samples
        self.kernel = torch.zeros(samples, samples, dtype=torch.double, device=place)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__.removesuffix("_") in _SWITCHES and args[0].shape[:1] == (self.samples,):
            codes = (args[0] > 0).reshape(self.samples, -1).double()
            self.kernel += codes @ codes.T + (1 - codes) @ (1 - codes).T
        return func(*args, **(kwargs or {}))


def _ones(_module: nn.Module, _given: Any, output: Tensor) -> Tensor:
    return torch.ones_like(output)


def _standardisers(net: MultimodalNet) -> list[Any]:
    return list(net.standardise)
