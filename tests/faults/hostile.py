"""A space of candidates that do what no candidate should."""

import os
import sys
import threading
from dataclasses import dataclass

import torch
from torch import nn

from nas import Space, choose
from nas.blocks import Network


class Hostile(nn.Module):
    def __init__(self, how: str, features: int) -> None:
        super().__init__()
        self.how = how
        self.linear = nn.Linear(features, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            misbehave(self.how)
            if self.how == "nan":
                return self.linear(x) * float("nan")
        return self.linear(x)


def misbehave(how: str) -> None:
    match how:
        case "raise":
            print("said before it broke")
            raise ValueError("it broke")
        case "exit":
            sys.exit(3)
        case "crash":
            os._exit(9)
        case "interrupt":
            raise KeyboardInterrupt
        case "huge":
            raise ValueError("x" * 3_000_000)
        case "surrogate":
            raise ValueError("half \udc80 and \x1b[2J")
        case "recursion":
            misbehave(how)
        case "memory":
            bytearray(1 << 60)
        case "assert":
            raise AssertionError
        case "print":
            print("y" * 20_000_000)
        case "chdir":
            os.chdir("/")
        case "thread":
            threading.Thread(target=lambda: 1 / 0).start()
        case _:
            pass


@dataclass(frozen=True)
class Encoder:
    how: str

    def build(self, given):
        return Hostile(self.how, given.shape[0])


HOW = (
    "well", "raise", "exit", "crash", "interrupt", "huge", "surrogate", "recursion", "memory", "assert", "print",
    "chdir", "thread", "nan",
)  # fmt: skip
space = Space(Network(encoders={"table": Encoder(how=choose(*HOW))}))
