"""Every error MaskLoop raises on purpose.

::

    MaskLoopError
    ├── BadInput                 what a person or another program gave us cannot be used (HTTP 422, exit 2)
    │   ├── BadMedia             a video, image or folder of frames
    │   ├── BadMask              a mask, RLE or region
    │   └── BadLabelConfig       a Label Studio labelling configuration
    ├── Unavailable              something outside is down or refuses: try later (HTTP 503, exit 3)
    │   ├── LabelStudioDown
    │   ├── TokenRefused
    │   ├── RedisDown
    │   └── NoWorker
    ├── Cancelled                a person stopped the job; finished frames are kept
    ├── Superseded               another worker has taken the job over; whatever this one does is refused
    └── SetupFault               this installation is incomplete or misconfigured (exit 4)

Messages name the item, say what came and what would work. Raise near the cause; catch at the edge
(server, job, CLI) and translate once.
"""


class MaskLoopError(Exception):
    """Base of the tree above."""


class BadInput(MaskLoopError):  # noqa: N818 - read as a noun at the raise site
    """Input that cannot be used; trying again with the same input cannot help."""


class BadMedia(BadInput):
    """A video, an image or a folder of frames that cannot be used."""


class BadMask(BadInput):
    """A mask, an RLE or a region that cannot be used."""


class BadLabelConfig(BadInput):
    """A labelling configuration that lacks what the chosen way of working needs."""


class Unavailable(MaskLoopError):  # noqa: N818
    """Something outside MaskLoop is down, slow or refuses; trying later can help."""


class LabelStudioDown(Unavailable):
    """Label Studio does not answer or answers 5xx."""


class TokenRefused(Unavailable):
    """Label Studio refuses the token (401 or 403)."""


class RedisDown(Unavailable):
    """The queue cannot be reached."""


class NoWorker(Unavailable):
    """No worker listens, so queueing would mean silence."""


class Cancelled(MaskLoopError):  # noqa: N818
    """A person stopped the job."""


class Superseded(MaskLoopError):  # noqa: N818
    """The ledger no longer counts this run of the job; stop without a trace."""


class SetupFault(MaskLoopError):  # noqa: N818
    """This installation is incomplete or misconfigured; the message holds the command that mends it."""
