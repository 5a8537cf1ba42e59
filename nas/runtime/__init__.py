"""All that ships in a bundle: inputs checked and prepared, the model run, outputs said; numpy and onnxruntime suffice.

It is copied into every bundle, and training prepares its data with the same functions. Whatever it is given, damaged or
made to harm, it answers or says in one sentence why not.
"""

from __future__ import annotations

from . import limits
from .audio import log_mel, read_wav, resample
from .bundle import Bundle, load_bundle, predict
from .command import main
from .encode import encode_table
from .errors import PredictError, PredictWarning, TimeLimitError
from .inputs import prepare
from .numbers import canonical, is_missing, parse_number
from .outputs import softmax
from .table import SEPARATORS, Table
from .table_files import TABLES, read_table

__all__ = [
    "SEPARATORS",
    "TABLES",
    "Bundle",
    "PredictError",
    "PredictWarning",
    "Table",
    "TimeLimitError",
    "canonical",
    "encode_table",
    "is_missing",
    "limits",
    "load_bundle",
    "log_mel",
    "main",
    "parse_number",
    "predict",
    "prepare",
    "read_table",
    "read_wav",
    "resample",
    "softmax",
]
