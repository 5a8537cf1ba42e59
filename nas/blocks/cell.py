"""The cell of NAS-Bench-201 in its skeleton (Dong & Yang, 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.conv import Stages
from nas.blocks.input import Input
from nas.blocks.stage_blocks import Residual
from nas.errors import BlockError, unknown

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""What an edge may be, in the order of the published table's codes."""


@dataclass(frozen=True)
class Cell201:
    """A cell of four nodes and six edges, repeated in three stages of doubling width with residual reductions between.

    What no path from the first to the last node uses is not built; the published cells keep such edges, and count
    their parameters.

    Attributes:
        e01: Operation of the edge from node 0 to node 1; likewise the others.
        cells: In each stage; 5 as published.
        width: Channels of the first stage; 16 as published.
    """

    e01: str = "nor_conv_3x3"
    e02: str = "none"
    e12: str = "nor_conv_3x3"
    e03: str = "skip_connect"
    e13: str = "none"
    e23: str = "nor_conv_3x3"
    cells: int = 5
    width: int = 16

    @property
    def name(self) -> str:
        """The cell as the published table writes it."""
        return (
            f"|{self.e01}~0|+|{self.e02}~0|{self.e12}~1|+|{self.e03}~0|{self.e13}~1|{self.e23}~2|"
        )  # fmt: skip

    def canonical(self) -> dict[str, Any]:
        """What the last node computes as an expression, and each convolution in it once.

        They are equal for cells that are the same up to dead edges, skips and the order of nodes. The convolutions tell
        twice the same one from two of their own.
        """
        computed = "+".join(_expression(self, 3))
        convolutions = sorted(
            f"{name}({'+'.join(_expression(self, start))})" for start, _, name in _live(self) if "conv" in name
        )
        cells = self.cells if computed not in ("", "x") else 1
        return {"cell": computed, "convolutions": convolutions, "cells": cells, "width": self.width}

    def build(self, given: Input) -> nn.Module:
        """Build for pictures `(b, c, h, w)`; gives `(b, 4 * width, h / 4, w / 4)`.

        Raises:
            BlockError: If the input is no picture, an operation is unknown, or there is no cell.
        """
        if len(given.shape) != 3 or self.cells < 1:
            raise BlockError(
                f"Cell201: the input has shape {given.shape}, {self.cells} cells; expected (c, h, w), >= 1."
            )
        for edge in _edges(self):
            if edge[2] not in OPERATIONS:
                raise BlockError(f"Cell201.e{edge[0]}{edge[1]}: {unknown('operation', edge[2], OPERATIONS)}")
        stem = nn.Sequential(
            nn.Conv2d(given.shape[0], self.width, 3, padding=1, bias=False), nn.BatchNorm2d(self.width)
        )
        stages: list[nn.Module] = [stem]
        for stage in range(3):
            width = self.width * 2**stage
            first = [_reduction(width // 2, width)] if stage else []
            stages.append(nn.Sequential(*first, *(_CellModule(self, width) for _ in range(self.cells))))
        end = nn.Sequential(nn.BatchNorm2d(4 * self.width), nn.ReLU())
        return Stages([*stages, end], None)


class _CellModule(nn.Module):
    def __init__(self, cell: Cell201, width: int) -> None:
        super().__init__()
        live = _live(cell)
        self.edges = [(start, end) for start, end, _ in live]
        self.operations = nn.ModuleList(_operation(name, width) for _, _, name in live)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, h, w)` to the same shape; zeros where no path leads to the last node."""
        nodes: dict[int, Tensor] = {0: x}
        for (start, end), operation in zip(self.edges, self.operations, strict=True):
            found = operation(nodes[start])
            nodes[end] = nodes[end] + found if end in nodes else found
        return nodes[3] if 3 in nodes else x * 0


class _Average(nn.Module):
    """The mean over 3×3 neighbours that are inside the picture."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, h, w)` to the same shape."""
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _operation(name: str, width: int) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    return _Average() if name == "avg_pool_3x3" else _relu_conv(width, width, 1 if name == "nor_conv_1x1" else 3, 1)


def _relu_conv(channels: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(width))


def _reduction(channels: int, width: int) -> nn.Module:
    body = nn.Sequential(_relu_conv(channels, width, 3, 2), _relu_conv(width, width, 3, 1))
    half = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
    shortcut = nn.Sequential(half, nn.Conv2d(channels, width, 1, bias=False))
    return Residual(body, shortcut)


def _edges(cell: Cell201) -> list[tuple[int, int, str]]:
    return [
        (0, 1, cell.e01), (0, 2, cell.e02), (1, 2, cell.e12), (0, 3, cell.e03), (1, 3, cell.e13), (2, 3, cell.e23),
    ]  # fmt: skip


def _live(cell: Cell201) -> list[tuple[int, int, str]]:
    """The edges on a path from the first to the last node."""
    edges = [edge for edge in _edges(cell) if edge[2] != "none"]
    reached, needed = {0}, {3}
    for start, end, _ in edges:
        reached |= {end} if start in reached else set()
    for start, end, _ in reversed(edges):
        needed |= {start} if end in needed else set()
    return [(start, end, name) for start, end, name in edges if start in reached and end in needed]


def _expression(cell: Cell201, node: int) -> tuple[str, ...]:
    """The terms of the sum that a node computes, in order; none where nothing reaches it."""
    if node == 0:
        return ("x",)
    terms: list[str] = []
    for start, end, name in _edges(cell):
        before = _expression(cell, start) if end == node and name != "none" else ()
        if name == "skip_connect":
            terms += before
        elif before:
            terms.append(f"{name}({'+'.join(before)})")
    return tuple(sorted(terms))
