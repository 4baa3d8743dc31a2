"""The four steps of a prediction, each of which the user's serving code may replace.

They have the names and arguments of SageMaker's inference toolkit: `model_fn(model_dir)`,
`input_fn(body, content_type)`, `predict_fn(data, model)`, `output_fn(prediction, accept)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_tabular import codecs, usercode
from headrace_tabular import model as models
from headrace_tabular.columns import Columns
from headrace_tabular.contributions import Explainer
from headrace_tabular.errors import ProjectError, RequestError
from headrace_tabular.model import Model


@dataclass(frozen=True)
class Handler:
    """A loaded model and the steps that answer requests with it."""

    model: Any
    read: Callable[[bytes, str], Any]
    predict: Callable[[Any, Any], Any]
    write: Callable[[Any, str], Any]
    explain: Callable[[Any, Any], Any]

    def __call__(
        self, body: bytes, content_type: str, accept: str, *, explain: bool = False
    ) -> tuple[bytes, str]:
        """Return the body and content type that answer a request; `explain` adds contributions.

        Raises RequestError for what the client has to change, ProjectError for the user's code.
        """
        predict = self.explain if explain else self.predict
        answer = self.write(predict(self.read(body, content_type), self.model), accept)
        content, media = answer if isinstance(answer, tuple) else (answer, accept or codecs.JSON)
        if isinstance(content, str):
            content = content.encode()
        if not isinstance(content, bytes):
            raise ProjectError("output_fn must return str, bytes or (str or bytes, content type)")
        return content, media


def load(folder: Path) -> Handler:
    """Load a model artifact and the serving code that it carries, if any."""
    model = models.load(folder)
    expected = codecs.Expected(model.inputs, model.contract["ignored"])
    about = {"run": model.contract["run"], "name": model.contract["model"]}

    def read(body: bytes, content_type: str) -> Columns:
        return codecs.parse(body, content_type, expected)

    def predict(columns: Columns, model: Model) -> list[dict[str, Any]]:
        return models.predictions(model, model.scores(columns))

    def write(predictions: list[dict[str, Any]], accept: str) -> tuple[bytes, str]:
        return codecs.render(predictions, accept, about)

    entrypoint = model.contract["code"]["serving"]
    own = usercode.load(folder / models.CODE, entrypoint) if entrypoint else None

    def step(name: str, default: Callable[..., Any]) -> Callable[..., Any]:
        if own is None or not hasattr(own, name):
            return default
        return usercode.function(own, name, entrypoint)

    replaced = [name for name in ("model_fn", "predict_fn", "output_fn") if hasattr(own, name)]
    explainer = Explainer(model, folder)

    def explain(columns: Columns, _: Any) -> list[dict[str, Any]]:
        if replaced:
            raise RequestError(
                f"predictions are the project's own ({replaced[0]} in {entrypoint}), which are not"
                " explained. Ask without `headrace-explain`"
            )
        return explainer.predict(columns)

    return Handler(
        step("model_fn", lambda _: model)(str(folder)),
        step("input_fn", read),
        step("predict_fn", predict),
        step("output_fn", write),
        explain,
    )
