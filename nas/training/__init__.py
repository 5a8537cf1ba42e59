"""How a candidate learns."""

from nas.training.train import Epoch, Training, accuracy, train

__all__ = ["Epoch", "Training", "accuracy", "train"]
