"""GA-NAS: the discriminator, and the generator that is trained on its judgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState

from nas import Space, choose, repeat
from nas.samplers.rl.adversarial import Adversarial
from nas.samplers.rl.discriminator import Discriminator
from nas.space.indexed import Indexed


@dataclass(frozen=True)
class Net:
    layers: Any


@dataclass(frozen=True)
class Layer:
    width: Any


SPACE = Space(Net(tuple(choose(*range(5)) for _ in range(4))))
DEEP = Space(Net(repeat(Layer(choose(*range(4))), 1, 4)))


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def judged(label_smoothing: float, steps: int = 60) -> tuple[float, float]:
    """Mean scores of rows that agree in their first two decisions, as the truth did, and of random ones."""
    codes = Indexed(SPACE)
    discriminator = Discriminator(codes)
    rng = np.random.default_rng(0)
    true, unseen = codes.sample(40, rng), codes.sample(200, rng)
    true[:, :2] = unseen[:100, :2] = 3
    features = discriminator.features(true)
    weights = discriminator.initial("test")
    for _ in range(steps):
        false = discriminator.features(codes.sample(40, rng))
        weights = discriminator.told_apart(weights, features, false, 0.01, label_smoothing)
    scores = discriminator.scores(weights.values, discriminator.features(unseen))
    return float(scores[:100].mean()), float(scores[100:].mean())


def test_the_discriminator_scores_what_is_like_the_truth_above_random() -> None:
    like, chance = judged(0.1)
    assert like > chance + 1


def test_label_smoothing_keeps_its_judgement_apart_from_certainty() -> None:
    (like, chance), (surely, hardly) = judged(0.3, 200), judged(0.0, 200)
    assert 0 < like - chance < surely - hardly


def test_decisions_that_are_not_reached_are_seen_as_such() -> None:
    codes = Indexed(DEEP)
    discriminator = Discriminator(codes)
    features = discriminator.features(codes.sample(50, np.random.default_rng(0)))
    assert (features.sum(dim=1) == len(codes.sizes)).all()


def test_its_draws_are_like_the_best() -> None:
    study = optuna.create_study(sampler=Adversarial(SPACE))
    sums: list[int] = []
    for _ in range(70):
        trial = study.ask()
        sums.append(sum(SPACE.decode(SPACE.ask(trial)).layers))
        study.tell(trial, -sums[-1])
    assert np.mean(sums[:20]) == pytest.approx(8, abs=1.5)
    assert np.mean(sums[-20:]) > 10.5


def test_several_objectives_keep_several_truths() -> None:
    sampler = Adversarial(SPACE)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    for _ in range(60):
        trial = study.ask()
        layers = SPACE.decode(SPACE.ask(trial)).layers
        study.tell(trial, (sum(layers[:2]) - sum(layers[2:]), sum(layers)))
    values = np.array([trial.values for trial in study.best_trials])
    assert np.ptp(values[:, 0]) >= 4


def test_constraints_hold_and_failures_are_survived() -> None:
    space = Space(Net(tuple(choose(*range(5)) for _ in range(4))), {"even": lambda net: sum(net.layers) % 2 == 0})
    study = optuna.create_study(sampler=Adversarial(space))
    for number in range(50):
        trial = study.ask()
        total = sum(space.decode(space.ask(trial)).layers)
        assert total % 2 == 0
        if number % 3 == 0:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, float(total))


def test_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    study = optuna.create_study(sampler=Adversarial(SPACE, start=5))
    for number in range(25):
        trial = study.ask()
        SPACE.ask(trial)
        study.tell(trial, float(number))
    assert torch.equal(torch.get_rng_state(), state)


def test_with_many_trials_rounds_are_rarer_and_depend_on_the_trials_alone() -> None:
    class Counting(Adversarial):
        rounds = 0

        def _trained(self, known: Any) -> Any:
            self.rounds += 1
            return super()._trained(known)

    def asked(study: optuna.Study, trials: int) -> list[str]:
        keys: list[str] = []
        for _ in range(trials):
            trial = study.ask()
            architecture = SPACE.ask(trial)
            keys.append(architecture.key)
            study.tell(trial, float(sum(architecture.network.layers)))
        return keys

    sampler = Counting(SPACE, chunk=1, iterations=1)
    study = optuna.create_study(sampler=sampler)
    asked(study, 128)
    often = sampler.rounds
    asked(study, 129)
    assert often == 128 - 20
    assert sampler.rounds - often == 64 / 2 + 66 / 3 + 1
    restored = optuna.create_study(sampler=Adversarial(SPACE, chunk=1, iterations=1))
    restored.add_trials(study.trials)
    assert asked(restored, 5) == asked(study, 5)
