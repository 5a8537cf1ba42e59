"""Which model of a run is exported: the one named, or the best within limits, and never one that breaks them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nas.errors import RunError, unknown
from nas.objectives.objective import Limit, parse_limit
from nas.runs.front import best_of, front_of, knee_of, number_of, said
from nas.runs.ledger import Ledger
from nas.runs.models import Model


def choose_model(ledger: Ledger, name: str | None, trial: int | None, limits: Sequence[str]) -> Model:
    """Choose a model: the best by the main metric within limits, or without limits the knee of the front.

    Args:
        ledger: Of the run.
        name: Only the model of this name.
        trial: Only models of this trial.
        limits: Only models within these, on the front or not.

    Raises:
        ObjectiveError: If a limit cannot be read.
        RunError: If there is no such model, no such trial, the trial has no model, or none is within the limits: by how
            much they are broken, and the nearest model that meets them.
    """
    bounds = [parse_limit(text) for text in limits]
    models = ledger.models()
    wanted = [model for model in models if trial is None or model.trial == trial]
    if trial is not None and not wanted:
        raise _trial_without_model(ledger, trial)
    if not models:
        raise RunError(
            f"{ledger.folder}: has no refined model to export.", f"Refine first: nas refine {ledger.folder}."
        )
    if name is not None:
        wanted = [_named(ledger, wanted, name, trial)]
    within = [model for model in wanted if not _broken(bounds, model)]
    if not within:
        raise _beyond(ledger, bounds, wanted, models)
    if name is not None:
        return within[0]
    objectives = ledger.record.parsed_objectives
    front = front_of(within, objectives)
    if not front:
        raise RunError(
            f"{ledger.folder}: no model has all objectives ({', '.join(ledger.record.objectives)}).",
            "Name one: --model.",
        )
    return best_of(front, ledger.record.main) if bounds else knee_of(front, objectives)


def _named(ledger: Ledger, models: Sequence[Model], name: str, trial: int | None) -> Model:
    found = [model for model in models if model.name == name]
    if not found:
        of_trial = "" if trial is None else f", trial {trial}"
        raise RunError(f"{ledger.folder}{of_trial}: {unknown('model', name, [model.name for model in models])}")
    return found[0]


def _trial_without_model(ledger: Ledger, number: int) -> RunError:
    """Why a trial has no model: each case with what can be done about it."""
    trials = {trial.number: trial for trial in ledger.trials()}
    where = f"{ledger.folder}, trial {number}"
    if number not in trials:
        last = f"its trials are 0 to {max(trials)}" if trials else "it has none"
        return RunError(f"{ledger.folder}: there is no trial {number}; {last}.")
    trial = trials[number]
    if trial.state == "duplicate":
        return RunError(f"{where}: repeats trial {trial.duplicate_of}.", f"Name that: --trial {trial.duplicate_of}.")
    if trial.state in ("failed", "infeasible", "stopped"):
        return RunError(f"{where}: is {trial.state} and cannot be exported: {trial.reason}")
    if trial.state != "complete":
        return RunError(f"{where}: is {trial.state}; expected a complete one.")
    complete = [each for each in trials.values() if each.state == "complete"]
    if number in {each.number for each in front_of(complete, ledger.record.parsed_objectives)}:
        return RunError(f"{where}: was not refined.", f"Refine it: nas refine {ledger.folder}.")
    return RunError(
        f"{where}: was not refined, since other trials are better.",
        f"nas refine {ledger.folder} refines the members of the front; export one of them.",
    )


def _broken(limits: Sequence[Limit], model: Model) -> list[str]:
    """The limits that a model breaks, each with its value and how far beyond the bound that is."""
    return [
        f"{limit} ({'unknown' if math.isnan(value) else f'{value:.6g}, {beyond:.1%} beyond'})"
        for limit in limits
        if (beyond := limit.violation(model.metrics)) > 0
        for value in [number_of(model.metrics, limit.metric)]
    ]


def _beyond(ledger: Ledger, limits: Sequence[Limit], wanted: Sequence[Model], models: Sequence[Model]) -> RunError:
    """None of the wanted models is within the limits: which is nearest to them, and which other one meets them."""
    nearest = min(wanted, key=lambda model: sum(limit.violation(model.metrics) for limit in limits))
    many = f"none of {len(wanted)} models is within the limits; the nearest of them, " if wanted[1:] else ""
    broken = " and ".join(_broken(limits, nearest))
    message = f"{ledger.folder}: {many}{nearest.name}{',' if many else ''} breaks {broken}."
    others = [model for model in models if not _broken(limits, model)]
    if not others:
        return RunError(message, "No model of the run meets this: loosen the limit, or search with it.")
    best = best_of(others, ledger.record.main)
    found = f"{best.name} ({said(best.metrics, ledger.record.main)})"
    return RunError(message, f"The best model that meets it is {found}: --model {best.name}.")
