"""An autoregressive controller over the decisions of any space: the policy of the samplers that learn.

An LSTM decides one reached decision after the other, seeing those before it, as in ENAS (Pham et al., 2018; Zoph & Le,
2017). Decisions that an architecture does not reach are no steps: they take no part in its probability or entropy, nor
in what the LSTM remembers.

Weights are values: a step of training gives new ones. Nothing here draws from a global generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.samplers.rl.adam import Weights, seeded
from nas.space.indexed import Indexed, Rows

Array = NDArray[np.float32]

_NEVER = -1e9


@dataclass(frozen=True)
class Batch:
    """Rows as the controller reads them, `l` the most decisions that one of them reaches.

    Attributes:
        columns: `(n, l)` the column decided in each step.
        before: `(n, l)` the position of the label decided before, among all labels of all columns; or the start.
        taken: `(n, l)` which label of the column was taken.
        reached: `(n, l)` which steps there are.
        conditions: `(n, q)`.
    """

    columns: Tensor
    before: Tensor
    taken: Tensor
    reached: Tensor
    conditions: Tensor


class Controller:
    """The policy's architecture; its weights are handed in.

    Args:
        codes: The space's decisions as `d` columns.
        conditions: Length `q` of the vector that the policy is conditioned on.
        hidden: Size of the LSTM's state.
        embedding: Size in which it sees columns and labels.
        temperature: Divides the logits.
        tanh_constant: Bounds the logits, so that no label's probability vanishes.
    """

    def __init__(
        self,
        codes: Indexed,
        conditions: int = 0,
        hidden: int = 64,
        embedding: int = 32,
        temperature: float = 1.0,
        tanh_constant: float = 2.5,
    ) -> None:
        self.codes = codes
        self.conditions = conditions
        self.hidden = hidden
        self.temperature = temperature
        self.tanh_constant = tanh_constant
        self._offsets = np.concatenate([[0], np.cumsum(codes.sizes)]).astype(np.int64)
        columns, labels = len(codes.sizes), int(self._offsets[-1])
        widest = int(codes.sizes.max(initial=1))
        positions = self._offsets[:-1, None] + np.minimum(np.arange(widest), codes.sizes[:, None] - 1)
        self._positions = torch.from_numpy(positions)
        self._exist = torch.from_numpy(np.arange(widest) < codes.sizes[:, None])
        gates = 4 * hidden
        self._shapes = (
            (labels + 1, embedding),
            (columns, embedding),
            (gates, embedding + conditions),
            (gates, hidden),
            (gates,),
            (labels, hidden),
            (labels,),
        )
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]

    def initial(self, seed: str, marginals: Sequence[NDArray[np.float64]] | None = None) -> Weights:
        """Draw weights, for which all labels are about equally likely.

        Args:
            seed: Of the weights.
            marginals: For each column, the probabilities `(k,)` of its labels to begin with instead, as far as the
                logits' bound allows.
        """
        values = torch.empty(sum(self._sizes), dtype=torch.float32).uniform_(-0.1, 0.1, generator=seeded(seed))
        bias = torch.zeros(self._sizes[-1], dtype=torch.float32)
        if marginals:
            logs = np.concatenate([np.log(p) - np.log(p).mean() for p in marginals])
            bounded = np.clip(logs / self.tanh_constant, -0.95, 0.95)
            bias = torch.from_numpy(np.arctanh(bounded).astype(np.float32) * self.temperature)
        values[len(values) - self._sizes[-1] :] = bias
        return Weights(values, torch.zeros_like(values), torch.zeros_like(values))

    def sample(self, weights: Weights, n: int, rng: np.random.Generator, condition: Array | None = None) -> Rows:
        """Draw `(n, d)` rows, each on its own.

        Args:
            weights: Of the policy.
            n: How many.
            rng: What is drawn from.
            condition: `(q,)` for all, or `(n, q)`.
        """
        seen_labels, seen_columns, into, again, bias, out, out_bias = (
            part.detach().numpy() for part in self._parts(weights.values)
        )
        size = seen_labels.shape[1]
        label_gates, column_gates = seen_labels @ into[:, :size].T, seen_columns @ into[:, :size].T + bias
        given = np.zeros((n, self.conditions), np.float32) if condition is None else condition.astype(np.float32)
        given_gates = np.broadcast_to(given @ into[:, size:].T, (n, 4 * self.hidden))
        h, c = np.zeros((2, n, self.hidden), np.float32)
        rows = np.full((n, len(self.codes.sizes)), -1, np.int16)
        last = np.full(n, self._offsets[-1])
        noise = rng.gumbel(size=(n, rows.shape[1], self._exist.shape[-1])).astype(np.float32)
        found = True
        while found:
            found = False
            for j in range(rows.shape[1]):
                asked = self.codes.reached(j, rows) & (rows[:, j] < 0)
                if not asked.any():
                    continue
                found = True
                now = slice(None) if asked.all() else np.flatnonzero(asked)
                gates = label_gates[last[now]] + column_gates[j] + given_gates[now] + h[now] @ again.T
                h[now], c[now] = _cell(gates, c[now])
                start, stop = self._offsets[j], self._offsets[j + 1]
                logits = h[now] @ out[start:stop].T + out_bias[start:stop]
                logits = self.tanh_constant * np.tanh(logits / self.temperature)
                label = np.argmax(logits + noise[now, j][:, : stop - start], axis=1)
                rows[now, j] = label
                last[now] = start + label
        return rows

    def batch(self, rows: Rows, conditions: Array | None = None) -> Batch:
        """Prepare `(n, d)` complete rows, with conditions `(n, q)`, for `likelihood`."""
        turns = self.codes.turns(rows)
        steps = int((turns >= 0).sum(axis=1).max(initial=0))
        order = np.argsort(np.where(turns < 0, turns.size + 1, turns), axis=1, kind="stable")[:, :steps]
        labels = np.take_along_axis(rows, order, axis=1).astype(np.int64)
        reached = labels >= 0
        taken = np.maximum(labels, 0)
        before = np.full(order.shape, self._offsets[-1])
        before[:, 1:] = (self._offsets[order] + taken)[:, :-1]
        given = np.zeros((len(rows), self.conditions), np.float32) if conditions is None else conditions
        return Batch(*map(torch.from_numpy, (order, before, taken, reached, given.astype(np.float32))))

    def likelihood(self, values: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """How likely a policy makes each row, and how undecided it is on the way.

        Args:
            values: `(p,)` of the weights.
            batch: `n` rows.

        Returns:
            The log-probabilities `(n,)` and the entropies `(n,)`, summed over the decisions that a row reaches.
        """
        n, steps = batch.columns.shape
        if not steps or not n:
            return torch.zeros(n), torch.zeros(n)
        seen_labels, seen_columns, into, again, bias, out, out_bias = self._parts(values)
        seen = seen_labels[batch.before] + seen_columns[batch.columns]
        if self.conditions:
            seen = torch.cat([seen, batch.conditions[:, None].expand(n, steps, self.conditions)], dim=2)
        nothing = torch.zeros(1, n, self.hidden)
        h, _, _ = torch.lstm(
            seen, (nothing, nothing), (into, again, bias, torch.zeros_like(bias)), True, 1, 0.0, False, False, True
        )
        everywhere = h @ out.T + out_bias
        logits = self._bounded(everywhere.gather(2, self._positions[batch.columns]))
        logs = torch.log_softmax(logits.masked_fill(~self._exist[batch.columns], _NEVER), dim=2)
        chosen = logs.gather(2, batch.taken[:, :, None])[:, :, 0]
        entropies = -(logs.exp() * logs).sum(dim=2)
        return (chosen * batch.reached).sum(dim=1), (entropies * batch.reached).sum(dim=1)

    def _parts(self, values: Tensor) -> list[Tensor]:
        return [part.reshape(shape) for part, shape in zip(values.split(self._sizes), self._shapes, strict=True)]

    def _bounded(self, logits: Tensor) -> Tensor:
        """Keep logits within the constant (Bello et al., 2017)."""
        return self.tanh_constant * torch.tanh(logits / self.temperature)


def _cell(gates: Array, c: Array) -> tuple[Array, Array]:
    """The next states `(n, hidden)` of an LSTM from gates `(n, 4 hidden)` and the last cell state."""
    hidden = c.shape[1]
    into, keep, new, out = (gates[:, at : at + hidden] for at in range(0, 4 * hidden, hidden))
    c = _sigmoid(keep) * c + _sigmoid(into) * np.tanh(new)
    return _sigmoid(out) * np.tanh(c), c


def _sigmoid(x: Array) -> Array:
    half = np.float32(0.5)
    return half + half * np.tanh(half * x)
