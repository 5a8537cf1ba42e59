"""Hardware-aware, multimodal neural architecture search: from data and possible networks to a model on the device."""

from nas.choices import choose, integer, repeat, resolve
from nas.errors import NasError
from nas.samplers import sampler
from nas.space import Architecture, Space
from nas.space_file import load_space

__all__ = [
    "Architecture",
    "NasError",
    "Space",
    "choose",
    "integer",
    "load_space",
    "repeat",
    "resolve",
    "sampler",
]
