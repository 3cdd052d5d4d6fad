"""The scripts of one tab: which there are, their places in the list of arguments, and calling their hooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from modules.extensions.callbacks import ScriptCallback
from modules.extensions.hook_args import OnComponent
from modules.extensions.script import AlwaysVisible, Script

if TYPE_CHECKING:
    from modules.extensions.host import ExtensionHost

CALLBACK_NAMES: tuple[str, ...] = (
    "before_process",
    "process",
    "before_process_batch",
    "after_extra_networks_activate",
    "process_batch",
    "postprocess",
    "postprocess_batch",
    "postprocess_batch_list",
    "post_sample",
    "on_mask_blend",
    "postprocess_image",
    "postprocess_maskoverlay",
    "postprocess_image_after_composite",
    "before_component",
    "after_component",
)
"""Hooks whose order a setting decides."""


class HookKey(NamedTuple):
    """One hook of one script."""

    method: str
    script: Script


class ScriptRunner:
    """Makes the scripts of a tab and calls them. An error in a hook is told and the others go on;
    ``run`` of a chosen script lets its errors through.

    ``inputs``: the components of all scripts; the first is the list of the scripts that can be chosen.
    """

    callback_names: Sequence[str] = CALLBACK_NAMES

    def __init__(self, host: ExtensionHost) -> None:
        self.host = host
        self.scripts: list[Script] = []
        self.selectable_scripts: list[Script] = []
        self.alwayson_scripts: list[Script] = []
        self.titles: list[str] = []
        self.title_map: dict[str, Script] = {}
        self.infotext_fields: list[Any] = []
        self.paste_field_names: list[str] = []
        self.inputs: list[Any] = [None]
        self.callback_map: dict[Any, Any] = {}
        self.on_before_component_elem_id: dict[str, list[tuple[Callable[..., Any], Script]]] = {}
        self.on_after_component_elem_id: dict[str, list[tuple[Callable[..., Any], Script]]] = {}
        self.is_img2img = False

    # Making the scripts

    def initialize_scripts(self, is_img2img: bool) -> None:
        """Make one object of every script class that shows itself in this tab."""
        self.is_img2img = is_img2img
        for rows in (self.scripts, self.alwayson_scripts, self.selectable_scripts):
            rows.clear()
        self.inputs = [None]
        self.callback_map.clear()
        for data in self.host.scripts_data:
            made = self._contain_file(data.path, "show", self._make, data.script_class, data.path, is_img2img)
            if made is None:
                continue
            script, visibility = made
            self.scripts.append(script)
            if visibility is AlwaysVisible or visibility == AlwaysVisible:
                script.alwayson = True
                self.alwayson_scripts.append(script)
            else:
                self.selectable_scripts.append(script)
        self.apply_on_before_component_callbacks()

    @staticmethod
    def _make(script_class: type, path: str, is_img2img: bool) -> tuple[Script, Any] | None:
        script = script_class()
        script.filename = path
        script.is_txt2img, script.is_img2img = not is_img2img, is_img2img
        script.tabname = "img2img" if is_img2img else "txt2img"
        visibility = script.show(script.is_img2img)
        return (script, visibility) if visibility else None

    def apply_on_before_component_callbacks(self) -> None:
        """Take over what the scripts asked for by element id."""
        self.on_before_component_elem_id.clear()
        self.on_after_component_elem_id.clear()
        for script in self.scripts:
            for elem_id, callback in script.on_before_component_elem_id or []:
                self.on_before_component_elem_id.setdefault(elem_id, []).append((callback, script))
            for elem_id, callback in script.on_after_component_elem_id or []:
                self.on_after_component_elem_id.setdefault(elem_id, []).append((callback, script))

    # Their inputs

    def create_script_ui(self, script: Script) -> None:
        """Build the inputs of one script and give it its place in the list of arguments."""
        script.args_from = script.args_to = len(self.inputs)
        self._contain(script, "ui", self.create_script_ui_inner, script)

    def create_script_ui_inner(self, script: Script) -> None:
        """The same; errors go to the caller."""
        from modules.extensions.script_ui import describe_script

        controls = script.ui(script.is_img2img)
        script.controls = list(controls) if controls is not None else None
        if script.controls is None:
            return
        script.name = str(script.title()).lower()
        script.api_info = describe_script(script, script.controls)
        self.infotext_fields += script.infotext_fields or []
        self.paste_field_names += script.paste_field_names or []
        self.inputs += script.controls
        script.args_to = len(self.inputs)

    def setup_ui_for_section(self, section: str | None, scriptlist: Sequence[Script] | None = None) -> None:
        """Build the inputs of the scripts of one section of the page; needs Gradio."""
        from modules.extensions.script_ui import build_section

        build_section(self, section, self.alwayson_scripts if scriptlist is None else scriptlist)

    def prepare_ui(self) -> None:
        """Begin a page: no inputs yet."""
        self.inputs = [None]
        for script in self.scripts:
            script.args_from = script.args_to = None
        self.infotext_fields.clear()
        self.paste_field_names.clear()

    def setup_ui(self) -> list[Any]:
        """Build the list of scripts and all inputs that have no place yet; needs Gradio."""
        from modules.extensions.script_ui import build_scripts

        return build_scripts(self)

    # Running

    def run(self, p: Any, *args: Any) -> Any:
        """Let the chosen script (``args[0]``, from 1) do the job; ``None`` when none is chosen."""
        index = args[0] if args else 0
        if not index or not isinstance(index, int) or index > len(self.selectable_scripts):
            return None
        script = self.selectable_scripts[index - 1]
        with self.host.ledger.timed(self.host.callbacks.owner(script.filename or ""), "run"):
            return script.run(p, *args[script.args_from : script.args_to])

    def list_scripts_for_method(self, method_name: str) -> list[Script]:
        """The scripts that have a hook of that name of their own."""
        everybody = method_name in ("before_component", "after_component")
        scripts = self.scripts if everybody else self.alwayson_scripts
        usual = getattr(Script, method_name, None)
        return [
            script
            for script in scripts
            if getattr(type(script), method_name, usual) is not usual or method_name in vars(script)
        ]

    def create_ordered_callbacks_list(
        self, method_name: str, *, enable_user_sort: bool = True
    ) -> list[ScriptCallback]:
        """The hooks of that name, sorted; each callback object is a script."""
        category = f"script_{method_name}"
        callbacks: list[ScriptCallback] = []
        registry = self.host.callbacks
        for script in self.list_scripts_for_method(method_name):
            name = type(script).__name__
            registry.add(callbacks, script, name=name, category=category, filename=script.filename or "")
        return registry.sort(category, callbacks, enable_user_sort=enable_user_sort)

    def ordered_callbacks(self, method_name: str, *, enable_user_sort: bool = True) -> list[ScriptCallback]:
        """The same, remembered until the number of scripts changes."""
        count = len(self.list_scripts_for_method(method_name))
        known = self.callback_map.get((method_name, enable_user_sort))
        if known is None or known[0] != count:
            ordered = self.create_ordered_callbacks_list(method_name, enable_user_sort=enable_user_sort)
            known = self.callback_map[method_name, enable_user_sort] = (count, ordered)
        return list(known[1])

    def ordered_scripts(self, method_name: str) -> list[Script]:
        """The scripts with that hook, as they are called."""
        return [callback.callback for callback in self.ordered_callbacks(method_name)]

    def _call(self, method: str, p: Any, *leading: Any, **kwargs: Any) -> None:
        for script in self.ordered_scripts(method):
            values = self._values(p, script)
            self._contain(script, method, getattr(script, method), p, *leading, *values, **kwargs)

    @staticmethod
    def _values(p: Any, script: Script) -> Sequence[Any]:
        """The arguments of ``script``; none before its inputs were built."""
        return () if script.args_from is None else (p.script_args or ())[script.args_from : script.args_to]

    def _contain(
        self, script: Script, hook: str, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        return self._contain_file(script.filename or "", hook, function, *args, **kwargs)

    def _contain_file(
        self, path: str, hook: str, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        name = re.split(r"[/\\]", path)[-1]
        owner = self.host.callbacks.owner(path)
        return self.host.ledger.contain(owner, f"{hook} ({name})", function, *args, **kwargs)

    # The hooks, in the order in which a job meets them

    def setup_scrips(self, p: Any, *, is_ui: bool = True) -> None:
        """Scripts and arguments are known; jobs that come from no page skip ``setup_for_ui_only``."""
        for script in self.ordered_scripts("setup"):
            if is_ui or not script.setup_for_ui_only:
                self._contain(script, "setup", script.setup, p, *self._values(p, script))

    def before_process(self, p: Any) -> None:
        """See ``Script.before_process``."""
        self._call("before_process", p)

    def process(self, p: Any) -> None:
        """See ``Script.process``."""
        self._call("process", p)

    def before_process_batch(self, p: Any, **kwargs: Any) -> None:
        """See ``Script.before_process_batch``."""
        self._call("before_process_batch", p, **kwargs)

    def after_extra_networks_activate(self, p: Any, **kwargs: Any) -> None:
        """See ``Script.after_extra_networks_activate``."""
        self._call("after_extra_networks_activate", p, **kwargs)

    def process_batch(self, p: Any, **kwargs: Any) -> None:
        """See ``Script.process_batch``."""
        self._call("process_batch", p, **kwargs)

    def process_before_every_sampling(self, p: Any, **kwargs: Any) -> None:
        """See ``Script.process_before_every_sampling``."""
        self._call("process_before_every_sampling", p, **kwargs)

    def before_hr(self, p: Any) -> None:
        """See ``Script.before_hr``."""
        self._call("before_hr", p)

    def on_mask_blend(self, p: Any, mba: Any) -> None:
        """See ``Script.on_mask_blend``."""
        self._call("on_mask_blend", p, mba)

    def post_sample(self, p: Any, ps: Any) -> None:
        """See ``Script.post_sample``."""
        self._call("post_sample", p, ps)

    def postprocess_batch(self, p: Any, images: Any, **kwargs: Any) -> None:
        """See ``Script.postprocess_batch``."""
        self._call("postprocess_batch", p, images=images, **kwargs)

    def postprocess_batch_list(self, p: Any, pp: Any, **kwargs: Any) -> None:
        """See ``Script.postprocess_batch_list``."""
        self._call("postprocess_batch_list", p, pp, **kwargs)

    def postprocess_image(self, p: Any, pp: Any) -> None:
        """See ``Script.postprocess_image``."""
        self._call("postprocess_image", p, pp)

    def postprocess_maskoverlay(self, p: Any, ppmo: Any) -> None:
        """See ``Script.postprocess_maskoverlay``."""
        self._call("postprocess_maskoverlay", p, ppmo)

    def postprocess_image_after_composite(self, p: Any, pp: Any) -> None:
        """See ``Script.postprocess_image_after_composite``."""
        self._call("postprocess_image_after_composite", p, pp)

    def postprocess(self, p: Any, processed: Any) -> None:
        """See ``Script.postprocess``."""
        self._call("postprocess", p, processed)

    def before_component(self, component: Any, **kwargs: Any) -> None:
        """A component of this tab is about to be made."""
        self._component("before_component", self.on_before_component_elem_id, component, kwargs)

    def after_component(self, component: Any, **kwargs: Any) -> None:
        """A component of this tab was made."""
        self._component("after_component", self.on_after_component_elem_id, component, kwargs)

    def _component(self, method: str, waiting: Any, component: Any, kwargs: dict[str, Any]) -> None:
        for callback, script in waiting.get(kwargs.get("elem_id"), ()):
            self._contain(script, f"on_{method}", callback, OnComponent(component=component))
        for script in self.ordered_scripts(method):
            self._contain(script, method, getattr(script, method), component, **kwargs)

    # Looking things up

    def script(self, title: str) -> Script | None:
        """The script of that title, in any case."""
        return self.title_map.get(title.lower())

    def reload_sources(self, cache: dict[str, Any]) -> None:
        """Make every script anew from its file, keeping its place; ``cache`` maps paths to loaded modules."""
        from modules.extensions.script_ui import renew_scripts

        renew_scripts(self, cache)

    def set_named_arg(
        self, args: list[Any], script_name: str, arg_elem_id: str, value: Any, fuzzy: bool = False
    ) -> None:
        """Put ``value`` where the input of that element id has its place in ``args``.

        ``fuzzy``: the id need only end in ``arg_elem_id``. Raises ``RuntimeError`` when it is not there.
        """
        script = next((one for one in self.scripts if one.title().lower() == script_name.lower()), None)
        if script is None:
            raise RuntimeError(f"There is no script {script_name!r} in this tab.")
        for place, control in enumerate(script.controls or [], script.args_from or 0):
            elem_id = str(getattr(control, "elem_id", "") or "")
            if elem_id == arg_elem_id or (fuzzy and elem_id.endswith(arg_elem_id)):
                args[place] = value
                return
        raise RuntimeError(f"The script {script_name!r} has no input with the id {arg_elem_id!r}.")
