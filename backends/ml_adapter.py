"""MaskLoop under the official label-studio-ml 2.x server, for teams that run that server already.

The official package is a git checkout, not an index release, so it is no dependency of ours. Where it is
installed, its ``_wsgi.py`` becomes::

    from label_studio_ml.api import init_app
    from backends.ml_adapter import model_class
    app = init_app(model_class=model_class())

Requests then go the same way as through our own server; worker, ledger and console stay as they are. What the
official server lacks stays lacking: bounded concurrency, and a secret unless BASIC_AUTH is set.
"""

from __future__ import annotations

import functools
from typing import Any

from backends import settings, wsgi
from backends.clicks.served import ServedClicks
from backends.core.errors import SetupFault
from backends.labelstudio.context import parse_project
from backends.pointers import ALL
from backends.server import Parts, webhook_event


@functools.cache
def _parts() -> Parts:
    """The collaborators, once per process: the official server makes a new model object per request."""
    parts = wsgi.build_parts(settings.from_env(), _clicks())
    parts.ear.start()
    return parts


@functools.cache
def _clicks() -> ServedClicks:
    """What answers clicks in this process."""
    return wsgi.served_clicks(settings.from_env())


class Delegating:
    """The methods of a label-studio-ml model, answered by MaskLoop. Mixed in before ``LabelStudioMLBase``."""

    project_id: str
    label_config: str

    def parts(self) -> Parts:
        """Where the answers come from."""
        return _parts()

    def setup(self) -> None:
        """Called by the base class for every request: tell it the served version."""
        project = parse_project(self.project_id) if self.project_id else ALL
        version = self.parts().served(self.label_config, project)
        self.set("model_version", version)  # type: ignore[attr-defined]

    def predict(self, tasks: list[Any], context: dict[str, Any] | None = None, **unused: Any) -> list[Any]:
        """One entry per task. The official server turns a missing context into ``{}``: that is a batch."""
        return self.parts().predictor.answer(
            {
                "tasks": tasks,
                "project": self.project_id,
                "label_config": self.label_config,
                "params": {"context": context or None},
            }
        )

    def fit(self, event: str, data: Any = None, **unused: Any) -> None:
        """Record the event and look at its project; training is a job of its own."""
        told = webhook_event({**(data if isinstance(data, dict) else {}), "action": event})
        self.parts().notices.record(told)
        self.parts().ear.heard(told)


def model_class() -> type[Any]:
    """The class for ``init_app``. Raises SetupFault where label-studio-ml 2.x is not installed."""
    try:
        from label_studio_ml.model import LabelStudioMLBase
    except ImportError as error:
        raise SetupFault(
            "label-studio-ml 2.x is not installed here; MaskLoop's own server needs no such package: "
            "`python -m backends.wsgi`. Or install the official one from its git repository"
        ) from error
    _clicks().start()
    return type("MaskLoopModel", (Delegating, LabelStudioMLBase), {})
