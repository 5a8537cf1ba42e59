"""How a candidate learns."""

from nas.training.augment import Augmentation
from nas.training.train import Epoch, Training, accuracy, train, training_from

__all__ = ["Augmentation", "Epoch", "Training", "accuracy", "train", "training_from"]
