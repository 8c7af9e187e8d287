"""Puts the server together from the settings and runs it: ``python -m backends.wsgi``.

Nothing is opened at import. The process never imports torch: the worker propagates, and the small network for
clicks runs here as an exported graph.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial

import waitress
from flask import Flask
from redis import Redis

from backends import queues, settings
from backends.anchors import Anchors, FrameFiles
from backends.board import ConsoleBoard, LabelStudio, Queue
from backends.click_memory import ClickMemory
from backends.clicks.served import ServedClicks
from backends.clip_labels import ClipLabels
from backends.clip_pages import ClipPages
from backends.clip_pictures import ClipPictures
from backends.core.errors import MaskLoopError
from backends.export_shelf import ExportShelf
from backends.gate import Counters, Gate
from backends.interactive import Gestures
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.media import FrameLocator
from backends.labelstudio.opening import open_with
from backends.ledger import Ledger
from backends.loop.poller import Poller
from backends.loop.steering import Steering
from backends.loop.triggers import Triggers
from backends.next_clip import NextClip
from backends.notices import Notices
from backends.predict import Answers
from backends.project_abouts import ProjectAbouts
from backends.project_board import ProjectPages
from backends.registry import Registry
from backends.saved_work import SavedWork
from backends.served_versions import SCENES, TAGS, VIDEO, ServedVersions
from backends.server import MAX_BODY_BYTES, Parts, create_app
from backends.settings import Settings
from backends.tag_batches import TagBatches
from backends.tag_board import TagBoard
from backends.tag_wishes import TagWishes
from backends.tagging import Tagging

log = logging.getLogger(__name__)

SPARE_THREADS = 8  # for /health, /setup, webhooks and the console while every /predict waits


def build(settings: Settings, clicks: ServedClicks | None = None) -> Flask:
    """The application with its real collaborators. Raises SetupFault; Redis and Label Studio may be down.

    ``clicks`` answers clicks; without it GrabCut does.
    """
    return create_app(build_parts(settings, clicks or served_clicks(settings)))


def served_clicks(settings: Settings) -> ServedClicks:
    """What answers clicks, with GrabCut until its ``start`` has made the network ready."""
    tell = partial(Notices(settings.ledger_path).add, "warning")
    return ServedClicks(settings.data_dir / "cache" / "graphs", settings.threads, tell=tell)


def build_parts(settings: Settings, clicks: ServedClicks) -> Parts:
    """The collaborators that the settings name. Nothing is asked of Redis or Label Studio yet."""
    client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token, get_attempts=1)
    files = FrameLocator(
        settings.media_root,
        settings.label_studio_url,
        settings.label_studio_token,
        settings.data_dir / "cache" / "frames",
        max_pixels=settings.max_image_pixels,
        timeout_s=10.0,
    )
    return _assemble(settings, Ledger(settings.ledger_path), queues.connect(settings), client, files, clicks)


def _assemble(
    settings: Settings,
    ledger: Ledger,
    redis: Redis,
    client: LabelStudio,
    files: FrameFiles,
    clicks: ServedClicks,
) -> Parts:
    notices = Notices(settings.ledger_path)
    versions = ServedVersions(Registry(settings.models_dir))
    video = partial(versions.of, VIDEO)
    enqueue = partial(queues.enqueue_propagation, ledger, redis)
    anchors = Anchors(ledger, notices, files, video, settings.max_image_pixels)
    saved = SavedWork(client.drafts, notices, settings.draft_wait_s)
    wishes = TagWishes(ledger, notices, files, partial(versions.of, TAGS), settings.max_image_pixels)
    enqueue_tags = partial(queues.enqueue_pseudo_label, ledger, redis)
    clip_labels = ClipLabels(
        files,
        notices,
        partial(versions.of, SCENES),
        partial(queues.enqueue_clip, ledger, redis),
        settings.max_image_pixels,
        settings.max_prediction_regions,
    )
    gestures = Gestures(
        settings,
        ledger,
        notices,
        anchors,
        files,
        ClickMemory(),
        enqueue,
        saved,
        Tagging(settings, ledger, notices, wishes, saved, enqueue_tags),
        clip_labels,
        clicked=clicks.mask,
    )
    tag_batches = TagBatches(wishes, notices, enqueue_tags)
    queue = Queue(
        enqueue,
        partial(queues.cancel, ledger, redis),
        partial(queues.retry, ledger, redis, answered_by=versions.still),
        partial(queues.workers_alive, ledger),
        partial(queues.ensure_up, redis),
    )
    public_url = settings.label_studio_public_url or settings.label_studio_url
    tag_board = TagBoard(ledger, notices, tag_batches, client, public_url)
    clips = ClipPages(
        ledger,
        notices,
        ClipPictures(ledger, files, settings.max_image_pixels),
        partial(queues.want_figures, ledger, redis),
        public_url,
    )
    board = ConsoleBoard(
        ledger, queue, notices, anchors, client, versions.shown, public_url, tag_board, clips.listed
    )
    projects = ProjectPages(
        settings.data_dir,
        versions.registry,
        ledger,
        notices,
        ProjectAbouts(client),
        public_url,
        lambda project: queues.enqueue_report(ledger, redis, queues.ReportRequest(project)),
    )
    answers = Answers(
        gestures, anchors, ledger, notices, enqueue, tag_batches, clip_labels, settings.predict_budget_s
    )
    following = NextClip(client, files, notices, video, enqueue, settings.max_image_pixels)
    enqueue_improvement = partial(queues.enqueue_improvement, ledger, redis)
    triggers = Triggers(settings.data_dir, client, ledger, enqueue_improvement, notices)
    poller = Poller(triggers)
    impatient = LabelStudioClient(
        settings.label_studio_url, settings.label_studio_token, timeout_s=5.0, get_attempts=1
    )
    return Parts(
        settings,
        answers,
        board,
        projects,
        clips,
        board,
        notices,
        versions.for_config,
        versions.listed,
        Gate(settings.max_waiting),
        Counters(),
        following.saved,
        ExportShelf(settings.data_dir, partial(queues.enqueue_export, ledger, redis)),
        Steering(settings.data_dir, versions.registry, triggers, poller.wake, partial(open_with, impatient)),
        poller,
    )


def main() -> int:
    """Serve until told to stop; returns the exit status."""
    config = settings.from_env()
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # waitress ends in order on SystemExit; a plain SIGTERM would cut answers off in the middle
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        clicks = served_clicks(config)
        parts = build_parts(config, clicks)
        app = create_app(parts)
        server = waitress.create_server(
            app,
            host=config.host,
            port=config.port,
            threads=config.max_waiting + SPARE_THREADS,
            max_request_body_size=MAX_BODY_BYTES + 1024,
            ident="maskloop",
            clear_untrusted_proxy_headers=True,
        )
    except (MaskLoopError, OSError) as error:
        log.error("the backend cannot start: %s", error)
        return 4
    preparing = clicks.start()
    parts.ear.start()
    log.info("answering on http://%s:%d", config.host, config.port)
    server.run()
    if preparing.is_alive():  # a thread inside ONNX Runtime while the interpreter is taken down can crash it
        logging.shutdown()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
