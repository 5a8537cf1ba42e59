"""Passes that make a trained network smaller and faster, each a description with `apply`."""

from nas.compression.passes import ApplyContext, Pass, TrainedModel, check_chain, is_exact, labels
from nas.compression.prune import Prune
from nas.compression.quantize import Quantize
from nas.compression.registry import PASSES, from_json, to_json

__all__ = [
    "PASSES",
    "ApplyContext",
    "Pass",
    "Prune",
    "Quantize",
    "TrainedModel",
    "check_chain",
    "from_json",
    "is_exact",
    "labels",
    "to_json",
]
