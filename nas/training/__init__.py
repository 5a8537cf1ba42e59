"""How a candidate learns."""

from nas.training.augment import Augmentation
from nas.training.device import Device, find_device
from nas.training.proxies import PROXIES, check_proxy, proxy_score
from nas.training.recipe import Recipe
from nas.training.train import Epoch, Training, score, train, training_from

__all__ = [
    "PROXIES",
    "Augmentation",
    "Device",
    "Epoch",
    "Recipe",
    "Training",
    "check_proxy",
    "find_device",
    "proxy_score",
    "score",
    "train",
    "training_from",
]
