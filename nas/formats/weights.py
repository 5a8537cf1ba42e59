"""Weights on disk, as safetensors and never as pickles: the one place that writes and reads them.

What a module shares in memory is written once, as in memory; the file's metadata say under which other names it goes,
in the form that `safetensors.torch.save_model` uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nas.errors import RunError

WEIGHTS_FILE = "weights.safetensors"


def save_weights(module: nn.Module, file: Path) -> None:
    """Write all parameters and buffers of a module that it keeps.

    Raises:
        OSError: If the file cannot be written.
    """
    state: dict[str, Tensor] = module.state_dict()
    shared = _shared(state)
    own = {n: t.clone(memory_format=torch.contiguous_format) for n, t in state.items() if n not in shared}
    try:
        save_file(own, file, dict(shared))
    except SafetensorError as error:  # its way to say that the disk is full, or the folder gone
        raise OSError(f"{file}: cannot be written: {error}") from error


def load_weights(module: nn.Module, file: Path) -> None:
    """Read what `save_weights` wrote into a module of the same build.

    Raises:
        RunError: If the file is missing, damaged, or has other names or shapes than the module.
    """
    try:
        module.load_state_dict(_read(file))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise RunError(f"{file}: cannot be loaded: {error}", "Refine or compress the run again.") from None


def load_fitting_weights(module: nn.Module, file: Path) -> int:
    """Read into a module what `save_weights` wrote of another, as far as names, shapes and types are the same.

    Returns:
        How many tensors were taken.

    Raises:
        RunError: If the file is missing or damaged.
    """
    try:
        given = _read(file)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{file}: cannot be loaded: {error}", "Begin without initial weights.") from None
    own: dict[str, Tensor] = module.state_dict()
    fitting = {
        name: tensor
        for name, tensor in given.items()
        if name in own and (own[name].shape, own[name].dtype) == (tensor.shape, tensor.dtype)
    }
    module.load_state_dict(fitting, strict=False)
    return len(fitting)


def _read(file: Path) -> dict[str, Tensor]:
    """The tensors of a file under all their names."""
    with safe_open(file, "pt") as given:
        state = {name: given.get_tensor(name) for name in given.keys()}  # noqa: SIM118 - it is no mapping
        shared: Mapping[str, str] = given.metadata() or {}
    return state | {name: state[twin] for name, twin in shared.items() if twin in state}


def _shared(state: Mapping[str, Tensor]) -> Mapping[str, str]:
    """The names that lie in the same memory as an earlier one, in the same form, with that one."""
    first: dict[object, str] = {}
    shared: dict[str, str] = {}
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and first.setdefault(place, name) != name:
            shared[name] = first[place]
    return shared
