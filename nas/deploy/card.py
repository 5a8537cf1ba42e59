"""The card of a bundle: a README that says what the model is, how it is called from anywhere, and every number.

Whatever comes from data, names or versions is escaped: it can neither end a table's row nor become a link or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jinja2

from nas.deploy.proof import Proof
from nas.objectives.metrics import mean_of, metric, on_test, std_of
from nas.runs.models import Model
from nas.runs.record import RunRecord
from nas.tasks import Task
from nas.terminal import plain

LISTED = 20
"""Levels of a column that the card lists; `bundle.json` has all."""

_SIGNS = re.compile(r"([\\`*_\[\]|~!#$])")
_LINKS = re.compile(r"(?i)(://|\bwww\.|@)")


def write_card(
    record: RunRecord, task: Task, model: Model, twin: Model, proof: Proof, bundle: Mapping[str, Any]
) -> str:
    """Write the card.

    Args:
        record: The terms of the run.
        task: What was learnt.
        model: What is in the bundle.
        twin: The model in 32 bits that it was quantized from; itself if it was not.
        proof: What was checked.
        bundle: What `bundle.json` says.
    """
    environment = jinja2.Environment(  # noqa: S701 - the card is Markdown, not a page; `text` escapes for both
        loader=jinja2.PackageLoader("nas.deploy", "."),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for each in (text, code, number):
        environment.filters[each.__name__] = each  # pyright: ignore[reportArgumentType] - typed by its own filters
    template = environment.get_template("card.md.j2")
    return template.render(
        record=record,
        task=task,
        model=model,
        twin=twin,
        proof=proof,
        bundle=bundle,
        m=model.metrics,
        listed=LISTED,
        metric=metric,
        on_test=on_test,
        mean_of=mean_of,
        std_of=std_of,
        outputs=meanings(bundle["output"]),
    )


def meanings(output: Mapping[str, Any], name: str = "") -> list[str]:
    """What the model's outputs are, in their order: a line for each output as Markdown."""
    if output["type"] == "MultiTask":
        return [line for part, each in output["parts"].items() for line in meanings(each, part)]
    said = {
        "Classification": "**logits**: probabilities are their softmax, and the largest is the answer",
        "Binary": "one **logit**, of the second label: its probability is the logistic function of it",
        "MultiLabel": "a **logit** for each label: its probability is the logistic function of it",
        "Regression": f"a **standardised number**: times {output.get('std')!r}, plus {output.get('mean')!r}",
        "Embedding": "a **vector**: two are as alike as the cosine of their angle",
    }[output["type"]]
    labels = ", ".join(map(text, output.get("labels", ())))
    return [f"{text(name) + ': ' if name else ''}{said}{'. Labels, in their order: ' + labels if labels else ''}."]


def text(value: object) -> str:
    """Any value as Markdown that shows it as it is, on one line, in a table's cell too."""
    said = plain(str(value)).replace("\n", "\\n").replace("\t", "\\t")
    said = said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LINKS.sub(_no_link, _SIGNS.sub(r"\\\1", said))


def code(value: object) -> str:
    """Any value for a fenced block: on one line."""
    return plain(str(value)).replace("\n", "\\n")


def number(value: object, form: str) -> str:
    """A metric in a format; a dash where it is not known."""
    return format(value, form) if isinstance(value, int | float) and value == value else "–"


def _no_link(found: re.Match[str]) -> str:
    return {":": "&#58;//", "w": "www&#46;", "@": "&#64;"}[found[0][0].lower()]
