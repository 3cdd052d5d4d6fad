"""The top of a generation tab: prompts at the left, Generate and its helpers at the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modules.ui.components import HIDDEN, JS_EVENT, QUIET_EVENT, TabBuilder
from modules.ui.messages import token_counter_html
from modules.ui.services import PageServices


@dataclass(frozen=True)
class TopRow:
    """The components that the events of the tab use."""

    prompt: Any
    negative_prompt: Any
    styles: Any
    generate: Any
    interrupt: Any
    interrupting: Any
    skip: Any
    restore: Any
    paste: Any
    apply_styles: Any
    clear_prompt: Any
    token_counter: Any
    token_button: Any
    negative_token_counter: Any
    negative_token_button: Any


def create_toprow(ui: TabBuilder, services: PageServices) -> TopRow:
    """Build the row; the events follow in ``connect_prompt_tools`` and in the tab."""
    gr = ui.gr
    with gr.Row(elem_id=ui.id("toprow"), elem_classes=["toprow"]):
        with gr.Column(elem_id=ui.id("prompt_container"), elem_classes=["prompt-container"], scale=6):
            prompt, negative = _create_prompts(ui)
        with gr.Column(
            elem_id=ui.id("actions_column"), elem_classes=["actions-column"], scale=1, min_width=240
        ):
            buttons = _create_generate_box(ui)
            tools = _create_tools(ui)
            with gr.Row(elem_id=ui.id("styles_row"), elem_classes=["styles-row"]):
                styles = ui.dropdown(
                    "Styles", "styles", services.style_names(), [], multiselect=True, min_width=100
                )
    return TopRow(prompt=prompt, negative_prompt=negative, styles=styles, **buttons, **tools)


def _create_prompts(ui: TabBuilder) -> tuple[Any, Any]:
    gr = ui.gr
    common: dict[str, Any] = {"lines": 3, "max_lines": 12, "elem_classes": ["prompt"], "show_label": False}
    with gr.Row(elem_id=ui.id("prompt_row"), elem_classes=["prompt-row"]):
        prompt = ui.textbox(
            "Prompt",
            "prompt",
            placeholder="Describe the picture (Ctrl+Enter generates)",
            **common,
        )
    with gr.Row(elem_id=ui.id("neg_prompt_row"), elem_classes=["prompt-row"]):
        negative = ui.textbox(
            "Negative prompt",
            "neg_prompt",
            placeholder="What should not be in it",
            **common,
        )
    return prompt, negative


def _create_generate_box(ui: TabBuilder) -> dict[str, Any]:
    with ui.gr.Row(elem_id=ui.id("generate_box"), elem_classes=["generate-box"]):
        return {
            "interrupt": ui.button("Interrupt", "interrupt", elem_classes=["generate-box-interrupt"]),
            "skip": ui.button("Skip", "skip", elem_classes=["generate-box-skip"]),
            "interrupting": ui.button(
                "Interrupting...", "interrupting", elem_classes=["generate-box-interrupting"]
            ),
            "generate": ui.button("Generate", "generate", variant="primary"),
        }


def _create_tools(ui: TabBuilder) -> dict[str, Any]:
    gr = ui.gr
    counter: dict[str, Any] = {"elem_classes": ["token-counter"]}
    with gr.Row(elem_id=ui.id("tools"), elem_classes=["tools-row"]):
        paste = ui.tool_button("\N{SOUTH WEST ARROW}\N{VARIATION SELECTOR-16}", "paste", full_id=True)
        clear = ui.tool_button("\N{WASTEBASKET}\N{VARIATION SELECTOR-16}", "clear_prompt")
        apply = ui.tool_button("\N{CLIPBOARD}", "style_apply")
        restore = ui.tool_button("\N{CYCLONE}", "restore_progress")
        tokens = gr.HTML(token_counter_html(0, 75), elem_id=ui.id("token_counter"), **counter)
        token_button = ui.hidden_button("Run", "token_button")
        negative_tokens = gr.HTML(
            token_counter_html(0, 75), elem_id=ui.id("negative_token_counter"), **counter
        )
        negative_token_button = ui.hidden_button("Run", "negative_token_button")
    restore.elem_classes = [*restore.elem_classes, HIDDEN]
    return {
        "paste": paste,
        "clear_prompt": clear,
        "apply_styles": apply,
        "restore": restore,
        "token_counter": tokens,
        "token_button": token_button,
        "negative_token_counter": negative_tokens,
        "negative_token_button": negative_token_button,
    }


def connect_prompt_tools(top: TopRow, services: PageServices) -> None:
    """Clear, apply styles and the two token counters."""
    prompts = [top.prompt, top.negative_prompt]
    top.clear_prompt.click(fn=None, inputs=prompts, outputs=prompts, js="confirm_clear_prompt", **JS_EVENT)

    def apply(prompt: str, negative: str, names: list[str]) -> list[Any]:
        return [*services.apply_styles(prompt or "", negative or "", names or []), []]

    top.apply_styles.click(
        apply, [*prompts, top.styles], [*prompts, top.styles], show_progress="hidden", **QUIET_EVENT
    )

    def count(text: str, names: list[str], negative: bool) -> str:
        return token_counter_html(*services.count_tokens(text or "", names or [], negative))

    for button, text, counter, negative in (
        (top.token_button, top.prompt, top.token_counter, False),
        (top.negative_token_button, top.negative_prompt, top.negative_token_counter, True),
    ):

        def run(text: str, names: list[str], negative: bool = negative) -> str:
            return count(text, names, negative)

        button.click(run, [text, top.styles], [counter], queue=False, show_progress="hidden", **QUIET_EVENT)
