"""What encoders compute, held against references: spectra, masks, token ids, categories, the published cell."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import tiny_bert
from torch import nn

from nas import Space, choose, load_space
from nas.blocks import (
    GRU,
    LSTM,
    MFCC,
    MLP,
    Cell201,
    ConvNet,
    Dense,
    Embedding,
    Input,
    LogMel,
    Network,
    Pretrained,
    Regression,
    Series,
    Several,
    Stage,
    Temporal,
    Text,
    Transformer,
    Waveform,
    Words,
    limit,
)
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
    assert torch.allclose(values, expected.permute(1, 2, 0), atol=1e-6)
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
        (Several({"a": MLP()}, {"b": 2}), 2, "Several: heads for a, sizes for b; expected the same tasks"),
        (Several({"a": MLP()}, {"a": 3}), 2, "Several.sizes: 3 outputs in all; expected 2"),
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
        (Series(Temporal(depth=0)), Input((3, 9)), "Temporal.depth: 0; expected at least 1"),
        (Series(Transformer(9, 2)), Input((3, 9)), "2 heads do not divide dim 9"),
        (Waveform(LogMel()), Input((900,)), "Waveform.encoder: there is none"),
        (Waveform(MFCC(50), GRU()), Input((900,)), "MFCC.coefficients: 50; expected 1 to bands 40"),
        (Waveform(LogMel(), GRU()), Input((1, 8, 9)), r"Waveform: the input has shape \(1, 8, 9\); expected raw sound"),
        (Cell201(e01="conv"), Input((3, 8, 8)), "Cell201.e01: unknown operation 'conv'"),
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


def test_cells_that_the_benchmark_calls_isomorphic_have_one_key() -> None:
    """Ours are fewer: an edge that no path to the output uses is not built, while the published cells keep it."""
    classes = table()["iso_rep"].to_dict()
    keys: dict[int, set[str]] = {}
    for architecture in load_space(SPACES / "nasbench201.py").enumerate():
        keys.setdefault(classes[architecture.network.encoders["image"].name], set()).add(architecture.key)
    assert len(keys) == 6466
    assert all(len(same) == 1 for same in keys.values())
    assert len(set.union(*keys.values())) == 4930


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
