"""Passes that make a trained network smaller and faster, each a description with `apply`."""

from nas.compression.prune import Prune, prune_from
from nas.compression.quantize import Quantize

__all__ = ["Prune", "Quantize", "prune_from"]
