"""What networks are made of: encoders, fusions, heads, and the network that joins them."""

from nas.blocks.audio import MFCC, Learned, LogMel, Waveform
from nas.blocks.cell import Cell201
from nas.blocks.conv import ConvNet, Stage
from nas.blocks.cost import count_macs, count_memory, count_params
from nas.blocks.fusion.attention import Bottleneck, CrossAttention, MultiLevel, SelfAttention
from nas.blocks.fusion.late import Experts
from nas.blocks.fusion.pooled import LMF, MMTM, Concat, Embrace, FiLM, Gated, Sum, TensorProduct
from nas.blocks.fusion.wiring import MFAS, Cascade, Cell, FusionLayer, Graph, Step
from nas.blocks.head import MLP, Embedding, MultiTask, Regression
from nas.blocks.input import Input
from nas.blocks.limits import limit
from nas.blocks.module import module
from nas.blocks.network import Network
from nas.blocks.pretrained import Pretrained
from nas.blocks.recurrent import GRU, LSTM
from nas.blocks.series import TCN, Pointwise, Series, TCResNet, Transformer
from nas.blocks.stage_blocks import Broadcast, ConvMixer, ConvNeXt, MBConv, Plain, ResidualBlock, Separable
from nas.blocks.tabular import Dense, FTTransformer
from nas.blocks.taps import Taps
from nas.blocks.text import Text, Words
from nas.blocks.vision import ViT

__all__ = [
    "GRU",
    "LMF",
    "LSTM",
    "MFAS",
    "MFCC",
    "MLP",
    "MMTM",
    "TCN",
    "Bottleneck",
    "Broadcast",
    "Cascade",
    "Cell",
    "Cell201",
    "Concat",
    "ConvMixer",
    "ConvNeXt",
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
    "MBConv",
    "MultiLevel",
    "MultiTask",
    "Network",
    "Plain",
    "Pointwise",
    "Pretrained",
    "Regression",
    "ResidualBlock",
    "SelfAttention",
    "Separable",
    "Series",
    "Stage",
    "Step",
    "Sum",
    "TCResNet",
    "Taps",
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
