"""What networks are made of: encoders, fusions, heads, and the network that joins them."""

from nas.blocks.audio import MFCC, Learned, LogMel, Waveform
from nas.blocks.cell import Cell201
from nas.blocks.conv import ConvNet, Stage
from nas.blocks.cost import count_macs, count_memory, count_params
from nas.blocks.fusion import Concat, Embrace, FiLM, Gated, LowRank, SqueezeFusion, Sum, TensorProduct
from nas.blocks.fusion_attention import Bottleneck, CrossAttention, MultiLevel, SelfAttention
from nas.blocks.fusion_decision import Experts
from nas.blocks.fusion_search import MFAS, Cell, FusionLayer, Graph, Ordered, Step
from nas.blocks.head import MLP, Embedding, Regression, Several
from nas.blocks.input import Input
from nas.blocks.limits import limit
from nas.blocks.module import module
from nas.blocks.network import Network
from nas.blocks.pretrained import Pretrained
from nas.blocks.recurrent import GRU, LSTM
from nas.blocks.series import Series, Steady, TCResNet, Temporal, Transformer
from nas.blocks.stage_blocks import Broadcast, MBConv, Mixer, NeXt, Plain, Residue, Separable
from nas.blocks.tabular import Dense, FTTransformer
from nas.blocks.taps import Taps
from nas.blocks.text import Text, Words
from nas.blocks.vision import ViT

__all__ = [
    "GRU",
    "LSTM",
    "MFAS",
    "MFCC",
    "MLP",
    "Bottleneck",
    "Broadcast",
    "Cell",
    "Cell201",
    "Concat",
    "ConvNet",
    "CrossAttention",
    "Dense",
    "Embedding",
    "Embrace",
    "Experts",
    "FTTransformer",
    "FiLM",
    "FusionLayer",
    "Gated",
    "Graph",
    "Input",
    "Learned",
    "LogMel",
    "LowRank",
    "MBConv",
    "Mixer",
    "MultiLevel",
    "NeXt",
    "Network",
    "Ordered",
    "Plain",
    "Pretrained",
    "Regression",
    "Residue",
    "SelfAttention",
    "Separable",
    "Series",
    "Several",
    "SqueezeFusion",
    "Stage",
    "Steady",
    "Step",
    "Sum",
    "TCResNet",
    "Taps",
    "Temporal",
    "TensorProduct",
    "Text",
    "Transformer",
    "ViT",
    "Waveform",
    "Words",
    "count_macs",
    "count_memory",
    "count_params",
    "limit",
    "module",
]
