"""Label Studio's editor as a person uses it: mouse and keyboard in a real browser.

What is *done* goes through the page; only *looking* uses the editor's own state (``window.Htx``), which says
without guessing whether a frame is shown or a mask has arrived. Ground truth and backends are unknown here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.core.errors import LabelStudioDown
from backends.labelstudio.label_config import Control, LabelConfig
from pipelines.browser.brush_strokes import Stroke

if TYPE_CHECKING:
    from playwright.sync_api import Page

LIMIT_S = 180.0
"""How long one step of the editor may take: a loaded machine is slow, a step that hangs must end."""

SETTLED_MS = 1000
"""A task that opens is built, shown and built anew; what lasts this long stays."""

BRUSH_STEPS_PX = tuple(range(1, 42, 5))
"""Widths on the screen that the keys [ and ] lead to."""

_WORK = "window.Htx.annotationStore.selected"
_IMAGE = "window.Htx?.annotationStore?.selected?.objects?.[0]"
_SHOWN = f"""(index) => {{
    const image = {_IMAGE};
    return !!image && image.currentImage === index && image.stageWidth > 1 && !!image.stageRef
        && !!image.currentImageEntity?.imageLoaded && image.isReady;
}}"""
_SETTLED = f"""(ms) => {{
    const work = window.Htx?.annotationStore?.selected, image = {_IMAGE};
    const seen = window.maskloopSeen ??= {{}};
    if (!({_SHOWN})(image?.currentImage) || seen.work !== work.id || seen.stage !== image.stageRef) {{
        Object.assign(seen, {{work: work?.id, stage: image?.stageRef, since: performance.now()}});
        return false;
    }}
    return performance.now() - seen.since > ms;
}}"""
_SCREEN = f"""() => {{
    const image = {_IMAGE}, stage = image.stageRef;
    stage.content.scrollIntoView({{block: "nearest"}});  // a label below may have been scrolled to
    const box = stage.content.getBoundingClientRect();
    return [box.x + stage.x(), box.y + stage.y(),
            image.stageWidth * stage.scaleX(), image.stageHeight * stage.scaleY()];
}}"""
_TOOL = f"""() => {{
    const tool = {_IMAGE}.getToolsManager().findSelectedTool();
    return [tool?.control?.name ?? "", !!tool?.dynamic, tool?.strokeWidth ?? 0];
}}"""
_REGIONS = f"""() => {{
    const told = (pending) => (region) => ({{
        id: region.cleanId, kind: region.type, frame: region.item_index ?? 0,
        label: String(region.labelName ?? ""), pending,
    }});
    const {{areas, suggestions}} = {_WORK};
    return [...[...areas.values()].map(told(false)), ...[...suggestions.values()].map(told(true))];
}}"""
_ARRIVED = f"""(wanted) => {{
    const {{areas, suggestions, isSuggestionsAccepting}} = {_WORK};
    const here = new Set([...areas.values()].map((region) => region.cleanId));
    return suggestions.size === 0 && !isSuggestionsAccepting && wanted.every((id) => here.has(id));
}}"""
_SAVED = "() => !!window.Htx?.annotationStore?.selected?.pk"
_SELECTED = f"(count) => {_WORK}.selectionSize === count"
_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


@dataclass(frozen=True)
class EditorRegion:
    """One region as the editor holds it; ``pending``: a suggestion that is not accepted yet."""

    id: str
    kind: str  # "brushregion", "keypointregion" or "rectangleregion"
    frame: int
    label: str
    pending: bool


class Editor:
    """One open task.

    Every wait has a limit; what does not come within it is LabelStudioDown, with words for what it was.
    """

    def __init__(self, page: Page, url: str, config: LabelConfig, size_hw: tuple[int, int]) -> None:
        self.page = page
        self._url = url
        self._config = config
        self._size_hw = size_hw
        page.set_default_timeout(LIMIT_S * 1000)

    def log_in(self, email: str, password: str) -> None:
        with _in_words("Label Studio did not let this account in"):
            self.page.goto(f"{self._url}/user/login/")
            self.page.fill("input[name=email]", email)
            self.page.fill("input[name=password]", password)
            self.page.click("button[type=submit]")
            self.page.wait_for_url(lambda url: "/login" not in url, wait_until="commit")

    def open(self, project_id: int, task_id: int) -> None:
        """Open the task and wait until its first frame can be painted on."""
        with _in_words(f"the editor did not open task {task_id}"):
            self.page.goto(f"{self._url}/projects/{project_id}/data?task={task_id}")
        self.wait_until_open()

    def wait_until_open(self) -> None:
        """Wait until the first frame of a task that was opened can be painted on."""
        with _in_words("the editor did not open the task"):
            self.page.wait_for_function(_SETTLED, arg=SETTLED_MS)

    def switch_on_auto(self) -> None:
        """Auto-Annotation and Auto-Accept; the browser remembers both."""
        switches = {
            "Auto-Annotation": "autoAnnotation",
            "Auto-Accept Suggestions": "autoAcceptSuggestions",
        }
        for words, state in switches.items():
            with _in_words(f"{words} could not be switched on"):
                if not self.page.evaluate(f"() => window.Htx.{state}"):
                    self.page.get_by_text(words, exact=True).click()
                self.page.wait_for_function(f"() => window.Htx.{state} === true")
        for switch in self.page.locator(":focus").all():
            switch.blur()  # keys go to a switch that was just clicked, not to the editor

    # looking

    def regions(self) -> list[EditorRegion]:
        """Everything on all frames, suggestions last."""
        return [EditorRegion(**found) for found in self.page.evaluate(_REGIONS)]

    def result(self) -> list[dict[str, Any]]:
        """What Submit would send now."""
        found: list[dict[str, Any]] = self.page.evaluate(f"() => {_WORK}.serializeAnnotation()")
        return found

    def frame(self) -> int:
        """Which frame is shown, from 0."""
        return int(self.page.evaluate(f"() => {_IMAGE}.currentImage"))

    def screenshot(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.evaluate(_DRAWN)
        self.page.screenshot(path=path)
        return path

    def flip_to(self, index: int) -> None:
        """Turn pages with the keyboard until frame ``index`` is shown."""
        while (here := self.frame()) != index:
            key, there = ("ArrowRight", here + 1) if index > here else ("ArrowLeft", here - 1)
            with _in_words(f"page {there + 1} was not shown"):
                self.page.keyboard.press(f"Control+{key}")
                self.page.wait_for_function(_SHOWN, arg=there)

    def type_page(self, index: int) -> None:
        """Show frame ``index`` by a click on the page number above the picture and a number typed over it."""
        with _in_words(f"page {index + 1} was not shown"):
            self.page.locator(".lsf-pagination__page-indicator").first.click()
            self.page.locator(".lsf-pagination__input input").fill(str(index + 1))
            self.page.keyboard.press("Enter")
            self.page.wait_for_function(_SHOWN, arg=index)

    def place(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a point of the frame lies in the window."""
        left, top, width, height = self.page.evaluate(_SCREEN)
        return left + point[0] / self._size_hw[1] * width, top + point[1] / self._size_hw[0] * height

    # painting

    def choose_label(self, control: Control, label: str) -> None:
        """Click the label below the picture, no region being selected: the next stroke begins a new one."""
        self.let_go()
        controls = [
            one for one in self._config.controls if one.kind.endswith("labels")
        ]  # choices look otherwise
        above = sum(len(other.labels) for other in controls[: controls.index(control)])
        number = above + control.labels.index(label)
        chosen = f"() => document.querySelectorAll('.lsf-label')[{number}]?.className.includes('_selected')"
        with _in_words(f"the label {label!r} of {control.name!r} could not be chosen"):
            if not self.page.evaluate(chosen):  # a click on a chosen label takes it back
                self.page.locator(".lsf-label").nth(number).click()
            self.page.wait_for_function(chosen)

    def tick(self, *tags: str) -> None:
        """Tick these choices of the open picture, and no others."""
        assert self._config.tags is not None
        for name in self._config.tags.labels:
            box = self.page.locator(f".lsf-choices input[name={json.dumps(name)}]")
            with _in_words(f"the tag {name!r} could not be ticked"):
                box.set_checked(name in tags)
        for ticked in self.page.locator(":focus").all():
            ticked.blur()  # keys go to a choice that was just clicked, not to the editor

    def let_go(self) -> None:
        """Deselect the selected region, if any."""
        with _in_words("a region stayed selected"):
            if not self.page.evaluate(_SELECTED, 0):
                self.page.keyboard.press("Escape")
            self.page.wait_for_function(_SELECTED, arg=0)

    def pick(self, x_px: float, y_px: float) -> None:
        """Select the region at this point, with the arrow tool."""
        self.page.keyboard.press("v")
        with _in_words(f"no region could be selected at ({x_px:.0f}, {y_px:.0f})"):
            self.page.mouse.click(*self.place((x_px, y_px)))
            self.page.wait_for_function(_SELECTED, arg=1)

    def brush_widths(self) -> list[float]:
        """Widths that :meth:`set_brush` reaches, in pixels of the frame."""
        return [width / self._scale() for width in BRUSH_STEPS_PX]

    def set_brush(self, width_px: float) -> None:
        """Press [ and ] until the chosen brush or eraser comes nearest to this width."""
        wanted = min(BRUSH_STEPS_PX, key=lambda width: abs(width - width_px * self._scale()))
        with _in_words(f"the brush does not become {wanted} wide"):
            for _ in BRUSH_STEPS_PX:
                self.page.keyboard.press("[")  # it stops at 1
            for _ in range(BRUSH_STEPS_PX.index(wanted)):
                self.page.keyboard.press("]")
            self.page.wait_for_function(f"(wanted) => ({_TOOL})()[2] === wanted", arg=wanted)

    def paint(self, strokes: Sequence[Stroke]) -> None:
        """Move the chosen tool along each stroke, pressed."""
        for stroke in strokes:
            self.drag(stroke)

    def drag(self, points: Stroke) -> None:
        """Press at the first point, move over the others, let go at the last; in pixels of the frame."""
        self.page.mouse.move(*self.place(points[0]))
        self.page.mouse.down()
        for point in points:
            self.page.mouse.move(*self.place(point))
        self.page.mouse.up()

    # smart tools

    def choose_smart(self, control: Control, label: str) -> None:
        """The label, then M: the next click or drag asks the backend.

        M brings the box where a page was turned with the smart point in hand (Label Studio binds the key
        once, to what it would do then), so the tool's own button is the second way.
        """
        self.choose_label(control, label)
        self.page.keyboard.press("m")
        if self._tool()[:2] != (control.name, True):
            self._choose_from_toolbar(control)
            self.choose_label(control, label)
        if self._tool()[:2] != (control.name, True):
            raise LabelStudioDown(f"the smart tool of {control.name!r} could not be chosen")

    def click(self, x_px: float, y_px: float) -> list[dict[str, Any]]:
        """A smart click beside all masks. Returns as :meth:`ctrl_click`."""
        return self._ask(lambda: self.page.mouse.click(*self.place((x_px, y_px))))

    def ctrl_click(self, x_px: float, y_px: float) -> list[dict[str, Any]]:
        """A smart click, also on a mask. Returns the answer's regions once all are in the annotation."""

        def click() -> None:
            self.page.keyboard.down("Control")
            self.page.mouse.click(*self.place((x_px, y_px)))
            self.page.keyboard.up("Control")

        return self._ask(click)

    def smart_drag(self, points: Stroke) -> list[dict[str, Any]]:
        """A smart box from the first point to the last. Returns as :meth:`ctrl_click`."""
        return self._ask(lambda: self.drag(points))

    def submit(self) -> None:
        """Press Submit (or Update) and wait until Label Studio has taken it and shows what is saved."""
        with (
            _in_words("Submit was not taken"),
            self.page.expect_response(
                lambda answer: answer.request.method in ("POST", "PATCH") and "/annotations" in answer.url
            ) as waiting,
        ):
            self.page.locator("button:has-text('Submit'), button:has-text('Update')").first.click()
        if not waiting.value.ok:
            raise LabelStudioDown(f"Label Studio refused the annotation (HTTP {waiting.value.status})")
        with _in_words("the saved annotation was not shown"):
            self.page.wait_for_function(_SAVED)
            self.page.wait_for_function(_SETTLED, arg=SETTLED_MS)

    def _ask(self, gesture: Callable[[], None]) -> list[dict[str, Any]]:
        with (
            _in_words("the smart gesture was not answered"),
            self.page.expect_response(lambda answer: "/interactive-annotating" in answer.url) as waiting,
        ):
            gesture()
        body = waiting.value.json()
        if body.get("errors"):
            raise LabelStudioDown(f"the backend failed: {body['errors']}")
        result: list[dict[str, Any]] = body["data"]["result"]
        with _in_words("the answered masks did not reach the annotation"):
            self.page.wait_for_function(_ARRIVED, arg=[item["id"] for item in result], polling=50)
            self.page.evaluate(_DRAWN)
        return result

    def _choose_from_toolbar(self, control: Control) -> None:
        tool = {"keypointlabels": "key-point-tool", "rectanglelabels": "rectangle-tool"}[control.kind]
        with _in_words(f"the smart tool of {control.name!r} is not in the toolbar"):
            self.page.locator(".lsf-toolbar .lsf-tool_smart").first.hover()
            self.page.locator(f".lsf-tool__extra [aria-label='{tool}']").click()
            self.page.mouse.move(0, 0)  # the flyout goes away

    def _tool(self) -> tuple[str, bool, float]:
        """Control, smart or not, and width on the screen of the tool in hand."""
        name, smart, width = self.page.evaluate(_TOOL)
        return str(name), bool(smart), float(width)

    def _scale(self) -> float:
        """Screen pixels per pixel of the frame."""
        return float(self.page.evaluate(_SCREEN)[2]) / self._size_hw[1]


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Playwright's error becomes ours; its first line says which step of the page hung."""
    from playwright.sync_api import Error

    try:
        yield
    except Error as error:
        raise LabelStudioDown(f"{what}: {error.message.splitlines()[0]}") from error
