"""What a candidate overrides of a run's training."""

from __future__ import annotations

from dataclasses import fields

from nas.training import Augmentation, Recipe, Training


def test_only_what_is_named_is_overridden() -> None:
    run = Training(epochs=7, batch_size=16, seed=3)
    assert Recipe().over(run) == run
    assert Recipe(lr=1e-3).over(run) == Training(epochs=7, batch_size=16, lr=1e-3, seed=3)
    assert Recipe(weight_decay=0.0, augmentation=Augmentation(mixup=0.2)).over(run) == Training(
        epochs=7, batch_size=16, weight_decay=0.0, augmentation=Augmentation(mixup=0.2), seed=3
    )


def test_all_of_a_training_but_its_seed_can_be_named() -> None:
    assert {f.name for f in fields(Recipe)} == {f.name for f in fields(Training)} - {"seed"}
