"""Inputs of scripts on a page, and their description for the JSON interface. Gradio comes when called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modules.extensions.hook_args import ScriptArg, ScriptInfo
from modules.extensions.loading import load_module
from modules.extensions.script import Script

if TYPE_CHECKING:
    from modules.extensions.runner import ScriptRunner


def describe_script(script: Script, controls: Sequence[Any]) -> ScriptInfo:
    """Name and arguments as ``/sdapi/v1/script-info`` lists them."""
    return ScriptInfo(
        name=script.name,
        is_alwayson=script.alwayson,
        is_img2img=script.is_img2img,
        args=[_describe_input(control) for control in controls],
    )


def _describe_input(control: Any) -> ScriptArg:
    choices = getattr(control, "choices", None)
    if choices is not None:
        # Gradio keeps (label, value) pairs.
        choices = [one[-1] if isinstance(one, (list, tuple)) else one for one in choices]
    return ScriptArg(
        label=getattr(control, "label", None) or "",
        value=getattr(control, "value", None),
        minimum=getattr(control, "minimum", None),
        maximum=getattr(control, "maximum", None),
        step=getattr(control, "step", None),
        choices=choices,
    )


def default_args(runner: ScriptRunner) -> list[Any]:
    """The values of all inputs as the page shows them first: what a request without values means."""
    values = [getattr(control, "value", None) for control in runner.inputs]
    values[0] = 0
    return values


def build_section(runner: ScriptRunner, section: str | None, scripts: Sequence[Script]) -> None:
    """Inputs of the scripts of one section, each always-on script in a group of its own."""
    import gradio as gr

    for script in scripts:
        if script.alwayson and script.section != section:
            continue
        if script.create_group:
            with gr.Group(visible=script.alwayson) as group:
                runner.create_script_ui(script)
            script.group = group
        else:
            runner.create_script_ui(script)


def build_scripts(runner: ScriptRunner) -> list[Any]:
    """The list of scripts that can be chosen, and the inputs that no section has taken."""
    import gradio as gr

    runner.titles = [_title(runner, script) for script in runner.selectable_scripts]
    runner.title_map = {
        title.lower(): script for title, script in zip(runner.titles, runner.selectable_scripts, strict=True)
    }
    runner.title_map.update({_title(runner, script).lower(): script for script in runner.alwayson_scripts})
    build_section(runner, None, [script for script in runner.alwayson_scripts if script.section is None])
    known = {id(script) for script in runner.alwayson_scripts if script.args_from is not None}
    rest = [script for script in runner.alwayson_scripts if id(script) not in known]
    for script in rest:
        runner.create_script_ui(script)
    dropdown = gr.Dropdown(
        label="Script", elem_id="script_list", choices=["None", *runner.titles], value="None", type="index"
    )
    runner.inputs[0] = dropdown
    build_section(runner, None, runner.selectable_scripts)
    _connect(gr, runner, dropdown)
    return runner.inputs


def _connect(gr: Any, runner: ScriptRunner, dropdown: Any) -> None:
    """Show the group of the chosen script alone."""
    groups = [script.group for script in runner.selectable_scripts if script.group is not None]
    shown = [script for script in runner.selectable_scripts if script.group is not None]

    def choose(index: int | None) -> list[Any]:
        chosen = runner.selectable_scripts[index - 1] if index else None
        return [gr.update(visible=script is chosen) for script in shown]

    if groups:
        dropdown.change(choose, [dropdown], groups, show_progress="hidden", api_visibility="private")


def _title(runner: ScriptRunner, script: Script) -> str:
    name = type(script).__name__
    owner = runner.host.callbacks.owner(script.filename or "")
    title = runner.host.ledger.contain(owner, f"title ({name})", script.title, default=None)
    return str(title) if title else f"{script.filename} [error]"


def renew_scripts(runner: ScriptRunner, cache: dict[str, Any]) -> None:
    """Replace every script by one of its file as it is now, with the same place and inputs."""
    for place, script in list(enumerate(runner.scripts)):
        path = script.filename or ""
        owner = runner.host.callbacks.owner(path)
        if path not in cache:
            cache[path] = runner.host.ledger.contain(owner, "reload", load_module, path)
        new_class = getattr(cache[path], type(script).__name__, None)
        if not isinstance(new_class, type) or not issubclass(new_class, Script):
            continue
        fresh = new_class()
        for name in ("filename", "name", "args_from", "args_to", "alwayson", "controls", "api_info", "group"):
            setattr(fresh, name, getattr(script, name))
        fresh.is_txt2img, fresh.is_img2img, fresh.tabname = (
            script.is_txt2img,
            script.is_img2img,
            script.tabname,
        )
        runner.scripts[place] = fresh
        for rows in (runner.alwayson_scripts, runner.selectable_scripts):
            rows[:] = [fresh if one is script else one for one in rows]
    runner.callback_map.clear()
