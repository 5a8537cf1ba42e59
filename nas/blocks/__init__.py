"""What networks are made of: encoders, fusions, heads, and the network that joins them."""

from nas.blocks.conv import ConvNet, MBConv, Plain, Separable, Stage
from nas.blocks.fusion import Concat, CrossAttention, Gated
from nas.blocks.head import MLP
from nas.blocks.module import module
from nas.blocks.network import Input, Network, count_macs, count_params
from nas.blocks.recurrent import GRU
from nas.blocks.tabular import Dense

__all__ = [
    "GRU",
    "MLP",
    "Concat",
    "ConvNet",
    "CrossAttention",
    "Dense",
    "Gated",
    "Input",
    "MBConv",
    "Network",
    "Plain",
    "Separable",
    "Stage",
    "count_macs",
    "count_params",
    "module",
]
