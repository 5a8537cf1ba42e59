"""What encoders compute, held against references: spectra, masks, token ids, categories, the published cell."""

from __future__ import annotations

import os
import random
import sys
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import tiny_bert
from torch import nn

from nas import Space, choose, load_space, maybe, module
from nas.blocks import (
    GRU,
    LSTM,
    MFCC,
    MLP,
    TCN,
    Broadcast,
    Cascade,
    Cell,
    Cell201,
    ConvMixer,
    ConvNet,
    ConvNeXt,
    Dense,
    Embedding,
    Experts,
    Input,
    LogMel,
    MBConv,
    MultiTask,
    Network,
    Plain,
    Pretrained,
    Regression,
    ResidualBlock,
    Separable,
    Series,
    Stage,
    Step,
    Text,
    Transformer,
    Waveform,
    Words,
    limit,
)
from nas.blocks.cell import OPERATIONS, _live  # pyright: ignore[reportPrivateUsage]
from nas.errors import BlockError, SpaceError

SPACES = Path(__file__).parent.parent.parent / "search_spaces"
DATA = Path(os.environ.get("NAS_DATA", Path(__file__).parent.parent.parent.parent / "shared" / "data"))


def test_log_mel_is_the_logarithm_of_energies_of_a_fourier_transform() -> None:
    sound = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    front = LogMel(bands=10, window=128, hop=64, rate=8000).build_front()
    padded = np.pad(sound, 64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(128) / 128)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 128)[::64] * hann
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    expected = np.log(power @ front.filters.squeeze(2).numpy().T + 1e-6).T
    given = front(torch.from_numpy(sound)[None])[0, 0].numpy()
    assert given.shape == (10, 16)
    assert np.allclose(given, expected, atol=1e-3)


def test_mel_bands_are_triangles_whose_centres_rise_like_the_mel_scale() -> None:
    filters = LogMel(bands=20, window=512, hop=64, rate=16000).build_front().filters.squeeze(2).numpy()
    centres = filters.argmax(1) * 16000 / 512
    mels = 2595 * np.log10(1 + centres / 700)
    assert (filters.max(1) > 0.4).all()
    assert np.abs(np.diff(mels, 2)).max() < 60
    assert (np.diff(centres) > 0).all()


def test_mfcc_is_the_orthonormal_cosine_transform_of_log_mel() -> None:
    scipy_fft = pytest.importorskip("scipy.fft")
    sound = torch.randn(2, 800, generator=torch.Generator().manual_seed(0))
    log_mel = LogMel(16, 128, 64).build_front()(sound)[:, 0].numpy()
    mfcc = MFCC(8, 16, 128, 64).build_front()(sound)[:, 0].numpy()
    assert np.allclose(mfcc, scipy_fft.dct(log_mel, axis=1, norm="ortho")[:, :8], atol=1e-4)


def test_what_is_no_number_in_sound_is_silence() -> None:
    net = Network({"a": Waveform(LogMel(8, 64, 32), GRU(4))}).build({"a": Input((500,))}, 2).eval()
    sound = torch.randn(1, 500)
    silent = sound.clone()
    sound[:, 300:], silent[:, 300:] = torch.nan, 0
    assert torch.equal(net(sound), net(silent))


@pytest.mark.parametrize("unit", [GRU, LSTM])
def test_the_way_back_begins_at_the_end_of_each_sample(unit: type[GRU] | type[LSTM]) -> None:
    """A padded batch gives what torch's own packed sequences give."""
    given = {"s": Input((3, 9), free=True)}
    net = Network({"s": unit(4, 2, bidirectional=True, stride=1)}).build(given, 2).eval()
    x = torch.randn(3, 3, 9)
    lengths = torch.tensor([9, 4, 1])
    for i, length in enumerate(lengths):
        x[i, :, length:] = torch.nan
    values, mask = net.encoders[0](x)
    packed = nn.utils.rnn.pack_padded_sequence(torch.nan_to_num(x).permute(2, 0, 1), lengths, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(net.encoders[0].trunk.unit(packed)[0])
    assert torch.allclose(values[..., :9], expected.permute(1, 2, 0), atol=1e-6)
    assert mask.sum(1).tolist() == lengths.tolist()


def test_params_and_macs_of_an_lstm_and_a_transformer_are_those_counted_by_hand() -> None:
    inputs = {"s": Input((3, 10))}
    network = Network({"s": LSTM(8, stride=2)}, inputs=inputs, outputs=2)
    assert network.cost("params") == 4 * 8 * (6 + 8) + 2 * 4 * 8 + (8 * 2 + 2)
    assert network.cost("macs") == 5 * 4 * 8 * (6 + 8) + 8 * 2
    network = Network({"s": Series(Transformer(8, 2, expand=3))}, inputs=inputs, outputs=2)
    projections, products, feed = 4 * 8 * 8, 2 * 10 * 8, 2 * 8 * 24
    assert network.cost("macs") == 10 * (3 * 8 + 7 * 8 + projections + products + feed) + 8 * 2
    layer = 4 * (8 * 8 + 8) + (8 * 24 + 24) + (24 * 8 + 8) + 2 * 2 * 8
    assert network.cost("params") == (3 * 8 + 8) + (7 * 8 + 8) + layer + (8 * 2 + 2)


def test_memory_is_the_weights_and_the_largest_layer() -> None:
    network = Network({"t": Dense(16, 1)}, inputs={"t": Input((4,))}, outputs=2)
    assert network.cost("memory_bytes") == 4 * (network.cost("params") + 16 + 16)


@pytest.mark.parametrize("block", [Text(8), Words(8)])
def test_ids_beyond_the_vocabulary_are_its_last_and_what_is_no_number_is_padding(block: Text | Words) -> None:
    net = Network({"t": block}).build({"t": Input((4,), vocabulary=10)}, 2).eval()
    known, beyond = torch.tensor([[3.0, 9, 0, 0]]), torch.tensor([[3.0, 99, torch.nan, -1]])
    assert torch.equal(net(known), net(beyond))


def test_codes_of_categories_are_not_standardised_and_unknown_ones_are_the_last() -> None:
    given = {"t": Input((2,), (5.0, 5.0), 2.0, categories={1: 3})}
    net = Network({"t": Dense(4, 1, embed=6)}).build(given, 2).eval()
    one, two = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 7.0]])
    assert torch.equal(net(one), net(two))
    assert not torch.equal(net(one), net(torch.tensor([[1.0, 0.0]])))


def test_stages_may_be_lists_of_stages() -> None:
    flat = ConvNet(4, (Stage(width=6), Stage(width=8), Stage(width=9)))
    nested = ConvNet(4, (Stage(width=6), [Stage(width=8), (Stage(width=9),)]))
    assert nested.depth_count == flat.depth_count == 4
    assert nested.canonical() == flat.canonical() == flat


def test_a_spectrogram_of_free_length_may_end_early() -> None:
    net = Network({"a": ConvNet(4, (Stage(),))}).build({"a": Input((1, 8, 20), 0.0, 1.0, free=True)}, 2).eval()
    x = torch.randn(2, 1, 8, 20)
    x[:, :, :, 12:] = torch.nan
    assert torch.isfinite(net(x)).all()


def test_an_embedding_has_length_one_and_a_regression_the_units_of_its_data() -> None:
    net = Network({"t": Dense(8)}, head=Embedding(5)).build({"t": Input((3,))}, 5).eval()
    assert torch.allclose(net(torch.randn(6, 3)).norm(dim=1), torch.ones(6), atol=1e-5)
    torch.manual_seed(0)
    plain = Network({"t": Dense(8)}, head=MLP()).build({"t": Input((3,))}, 1).eval()
    torch.manual_seed(0)
    scaled = Network({"t": Dense(8)}, head=Regression(0, 100.0, 7.0)).build({"t": Input((3,))}, 1).eval()
    x = torch.randn(6, 3)
    assert torch.allclose(scaled(x), plain(x) * 7 + 100, atol=1e-4)


@pytest.mark.parametrize(
    ("head", "outputs", "message"),
    [
        (MultiTask({"a": MLP()}, {"b": 2}), 2, "MultiTask: heads for a, sizes for b; expected the same tasks"),
        (MultiTask({"a": MLP()}, {"a": 3}), 2, "MultiTask.sizes: 3 outputs in all; expected 2"),
        (Regression(std=0), 2, "Regression.std: 0; expected a positive number"),
        (Embedding(4), 2, "Embedding.dim: 4; expected the network's outputs, 2"),
        (Embedding(4, "rank"), 2, "Embedding.use: 'rank'"),  # pyright: ignore
    ],
)
def test_heads_that_do_not_fit_say_why(head: MLP, outputs: int, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        Network({"t": Dense(8)}, head=head).build({"t": Input((3,))}, outputs)


@pytest.mark.parametrize(
    ("encoder", "given", "message"),
    [
        (Text(), Input((9,)), r"Text: the input has shape \(9,\) and 0 token ids; expected text.\nDescribe it as"),
        (Words(weighting="tf"), Input((9,), vocabulary=9), "Words.weighting: unknown weighting 'tf'"),  # pyright: ignore
        (Series(stride=20), Input((3, 9)), "Series.stride: 20; expected 1 to 9"),
        (Series(pool="last"), Input((3, 9)), "pool: unknown pooling 'last'"),  # pyright: ignore
        (Series(TCN(depth=0)), Input((3, 9)), "TCN.depth: 0; expected at least 1"),
        (Series(Transformer(9, 2)), Input((3, 9)), "2 heads do not divide dim 9"),
        (Waveform(LogMel()), Input((900,)), "Waveform.encoder: there is none"),
        (Waveform(MFCC(50), GRU()), Input((900,)), "MFCC.coefficients: 50; expected 1 to bands 40"),
        (Waveform(LogMel(), GRU()), Input((1, 8, 9)), r"Waveform: the input has shape \(1, 8, 9\); expected raw sound"),
        (Cell201(e01="conv"), Input((3, 8, 8)), "Cell201.e01: unknown operation 'conv'"),
        (Dense(), Input((9,), free=True), "Dense: .*expected a vector of fixed length"),
        (Dense(), Input((9,), vocabulary=5), "Dense: .*expected a vector of fixed length"),
        (ConvNet(pool="avg"), Input((1, 8, 9)), "pool: unknown pooling 'avg'"),  # pyright: ignore
        (ConvNet(flatten=True), Input((1, 8, 9), free=True), "an input of free length can be neither flattened nor"),
    ],
)
def test_encoders_that_do_not_fit_say_why(encoder: GRU, given: Input, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        Network({"x": encoder}).build({"x": given}, 2)


def table() -> Any:
    file = DATA / "nasbench201" / "nb201.parquet"
    if not file.exists():
        pytest.skip(f"{file} is not there; NAS_DATA may name the data folder")
    import pandas as pd

    return pd.read_parquet(file).set_index("arch_str")


def test_each_architecture_of_nasbench201_is_a_row_and_costs_what_was_published() -> None:
    rows = table()
    space = load_space(SPACES / "nasbench201.py")
    networks = {a.network.encoders["image"].name: a.network for a in space.enumerate()}
    assert set(networks) == set(rows.index)
    assert len(networks) == space.size == 15_625
    for name in random.Random(0).sample(sorted(networks), 30):
        params, published = networks[name].cost("params"), rows.loc[name, "c10_params"]
        assert params <= published
        if "none" not in name:
            assert params == published
            assert networks[name].cost("macs") == pytest.approx(rows.loc[name, "c10_flops"], rel=1e-3)


def test_cells_of_one_key_are_one_network() -> None:
    """Fewer than the benchmark's 6,466 classes: an edge that no path to the output uses is not built here.

    Where the benchmark puts twice the same convolution and two of their own into one class, there are two keys.
    """
    cells: dict[str, list[Cell201]] = {}
    for architecture in load_space(SPACES / "nasbench201.py").enumerate():
        cells.setdefault(architecture.key, []).append(architecture.network.encoders["image"])
    for same in cells.values():
        built = [[name for _, _, name in _live(cell) if "conv" in name] for cell in same]
        assert all(sorted(names) == sorted(built[0]) for names in built)
    assert len(cells) == _distinct()


def _distinct() -> int:
    """Networks that are different under every renaming of convolutions and every order of sums, by brute force."""
    found: set[str] = set()
    for edges in product(OPERATIONS, repeat=6):
        cell = Cell201(*edges)
        live = _live(cell)
        weighted = [(start, end) for start, end, name in live if "conv" in name]
        forms = []
        for names in permutations(range(len(weighted))):
            own = dict(zip(weighted, names, strict=True))
            terms: dict[int, list[str]] = {0: ["x"]}
            for start, end, name in live:
                inner = terms.get(start, [])
                value = inner if name == "skip_connect" else [f"{name}{own.get((start, end), '')}({sorted(inner)})"]
                terms.setdefault(end, []).extend(value)
            forms.append(str(sorted(terms.get(3, []))))
        found.add(min(forms))
    return len(found)


def test_a_pretrained_model_reads_as_its_package_does_and_stays_as_it_is() -> None:
    transformers = pytest.importorskip("transformers")
    ids = torch.tensor([[5.0, 9, 7, 0, 0], [3, 8, 2, 6, 1]])
    net = Network({"t": Pretrained(tiny_bert(), pool="none")}).build({"t": Input((5,), vocabulary=60)}, 2).train()
    values, mask = net.encoders[0](ids)
    model = transformers.AutoModel.from_pretrained(tiny_bert()).eval()
    with torch.no_grad():
        expected = model(input_ids=ids.long(), attention_mask=(ids != 0).long()).last_hidden_state
    assert torch.allclose(values.transpose(1, 2)[mask], expected[mask], atol=1e-5)
    assert not any(p.requires_grad for p in net.encoders[0].parameters())
    assert not net.encoders[0].model.training


@pytest.mark.parametrize(
    ("block", "given", "message"),
    [
        (Pretrained("/no/model"), Input((5,), vocabulary=60), "Pretrained: /no/model cannot be loaded: "),
        (Pretrained(tiny_bert(), 4), Input((5,), vocabulary=60), "Pretrained.layers: 4; expected 0 to 3"),
        (Pretrained(tiny_bert()), Input((5,), vocabulary=61), "has 60 token ids, padding 0 and at most 32 tokens"),
        (Pretrained(tiny_bert()), Input((33,), vocabulary=60), "at least 60, padding 0 and at least 33 tokens"),
        (Pretrained(tiny_bert()), Input((3, 5)), "expected text"),
    ],
)
def test_a_pretrained_model_that_does_not_fit_says_why(block: Pretrained, given: Input, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        Network({"t": block}).build({"t": given}, 2)


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BlockError, match=r"needs the package transformers.\npip install 'nas\[text\]'"):
        Network({"t": Pretrained("any")}).build({"t": Input((5,), vocabulary=60)}, 2)


def test_limits_refuse_before_anything_is_built() -> None:
    network = Network({"t": Dense(choose(8, 64, 512), 1)}, inputs={"t": Input((4,))}, outputs=2)
    for cost, most in (("params", 1000), ("macs", 500), ("memory_bytes", 4000)):
        space = Space(network, {"small": limit(cost, most)})
        widths = {space.sample(random.Random(seed)).decisions["encoders.t.width"] for seed in range(30)}
        assert widths == {8, 64}
    with pytest.raises(SpaceError, match=r"limit\(\): unknown cost 'flops'; known: macs, memory_bytes, params"):
        limit("flops", 1)
    unknown = Space(Network({"t": Dense(choose(8, 64))}), {"small": limit("params", 9)})
    with pytest.raises(SpaceError, match=r"limit\('params'\): the network does not say what it is made for"):
        unknown.sample(random.Random(0))
    with pytest.raises(BlockError, match="does not say what it is made for; expected inputs and outputs"):
        Network({"t": Dense()}).cost("params")
    with pytest.raises(BlockError, match="unknown cost 'flops'"):
        network.cost("flops")


class Fixed(nn.Module):
    """A user's encoder that takes one length only."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = nn.Linear(shape[0] * shape[1], 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.ndim == 3
        return self.layer(x.flatten(1))


def test_a_users_module_that_takes_one_length_is_refused_where_lengths_are_free() -> None:
    Network({"s": module(Fixed)}).build({"s": Input((3, 9))}, 2)
    with pytest.raises(BlockError, match=r"Network.encoders.s: fails on shape \(3, 9\)"):
        Network({"s": module(Fixed)}).build({"s": Input((3, 9), free=True)}, 2)
    with pytest.raises(BlockError, match="Network.encoders.s: fails on shape"):
        Network({"s": module(Fixed)}).build({"s": Input((3, 9, 2))}, 2)


def test_what_maybe_leaves_out_is_not_there() -> None:
    stages = ConvNet(4, (Stage(width=6), maybe(Stage(width=8))))
    network = Network(
        {"image": stages, "s": maybe(GRU(4))}, Cell((Step(0, 1), maybe(Step(1, 2, "glu"))), 4),
        inputs={"image": Input((1, 8, 8)), "s": Input((2, 6))}, outputs=2,
    )  # fmt: skip
    costs = {tuple(a.decisions.values()): a.network.cost("params") for a in Space(network).enumerate()}
    assert len(costs) == 8
    assert costs["no", "no", "no"] < costs["no", "no", "yes"]
    with pytest.raises(BlockError, match="Network.head: is left out; expected a head"):
        Network({"image": ConvNet(4, ())}, head=None).build({"image": Input((1, 8, 8))}, 2)  # pyright: ignore


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Network({"s": Series(pool="mean")}), Network({"s": Series(pool="none")})),
        (Network({"s": Series(GRU(stride=2))}), Network({"s": Series(GRU(stride=1), stride=2)})),
        (
            Network({"s": Series(), "t": Dense(8)}, Cascade("cascade", True)),
            Network({"s": Series(), "t": Dense(8)}, Cascade("parallel")),
        ),
        (
            Network({"s": Series(), "t": Dense(8)}, Cell((Step(0, 1, "glu"), Step(0, 2), Step(5, 4, "concat")))),
            Network({"s": Series(), "t": Dense(8)}, Cell((Step(2, 0), Step(1, 0, "glu"), Step(4, 5, "concat")))),
        ),
    ],
)
def test_what_makes_no_difference_has_no_say_in_the_key(first: Network, second: Network) -> None:
    inputs = {"s": Input((3, 9)), "t": Input((4,))}
    keys = [next(Space(network).enumerate()).key for network in (first, second)]
    assert keys[0] == keys[1]
    outputs: list[torch.Tensor] = []
    for network in (first, second):
        torch.manual_seed(0)
        module_ = network.build(inputs, 2).eval()
        outputs.append(module_(*(torch.ones(2, *s) for s in module_.input_shapes)))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("head", [Regression(), MultiTask({"a": MLP()}, {"a": 2}), Embedding(2)])
def test_experts_decide_between_classes_only(head: MLP) -> None:
    with pytest.raises(BlockError, match="Network.fusion: Experts: the head .* no classes to decide between"):
        Network({"t": Dense(8)}, Experts(), head).build({"t": Input((4,))}, 2)


@pytest.mark.parametrize(
    "block", [Plain(), ConvMixer(), ConvNeXt(), MBConv(), Separable(), ResidualBlock(), Broadcast()]
)
def test_a_stride_rounds_up(block: Plain) -> None:
    assert block.build_layer(4, 8, 2).eval()(torch.zeros(1, 4, 7, 5)).shape == (1, 8, 4, 3)


def test_a_series_of_no_steps_and_a_text_of_no_words_are_read() -> None:
    inputs = {"s": Input((3, 9), free=True), "t": Input((9,), vocabulary=20, free=True)}
    net = Network({"s": Series(Transformer(8)), "t": Text(8, GRU(4))}).build(inputs, 2).eval()
    assert torch.isfinite(net(torch.zeros(2, 3, 0), torch.zeros(2, 0))).all()
