"""Arrays in `.npy` and `.npz` files."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import limits
from .errors import PredictError, told
from .files import read_bytes

Array = NDArray[Any]


def read_array(content: bytes, where: str) -> Array:
    """The array of a `.npy` file, whose header is believed only as far as there are bytes."""
    stream = io.BytesIO(content)
    with told(f"{where}: is not a .npy file of numbers"):
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise PredictError(f"{where}: is a .npy file of version {version}; expected 1.0 or 2.0.")
        if version == (1, 0):
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        if dtype.kind not in "biuf" or min(shape, default=1) < 0:
            raise PredictError(f"{where}: holds {dtype} of shape {shape}; expected numbers.")
        count, left = math.prod(shape), len(content) - stream.tell()
        if count * dtype.itemsize != left:
            raise PredictError(f"{where}: says that {count * dtype.itemsize} bytes follow, but {left} do.")
        return np.frombuffer(content, dtype, count, stream.tell()).reshape(shape, order="F" if is_fortran else "C")


def read_archive(path: Path, wanted: Iterable[str]) -> dict[str, Array]:
    """The wanted arrays of a `.npz` file; what else it holds, such as labels, is not unpacked."""
    content = read_bytes(path, limits.MAX_BYTES)
    if content.count(b"PK\x01\x02") > limits.MAX_MEMBERS:
        raise PredictError(f"{path}: holds more than {limits.MAX_MEMBERS} files; expected one for each input.")
    with told(f"{path}: cannot be read"), zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: f"{name}.npy" for name in wanted if f"{name}.npy" in archive.namelist()}
        unpacked = sum(archive.getinfo(member).file_size for member in members.values())
        if unpacked > limits.MAX_BYTES:
            raise PredictError(f"{path}: unpacks to {unpacked} bytes; expected at most {limits.MAX_BYTES}.")
        return {name: read_array(archive.read(member), f"{path}: {name}") for name, member in members.items()}
