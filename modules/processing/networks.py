"""Extra networks of a batch: from the tags of its prompt to weights, hooks, words and infotext."""

from __future__ import annotations

import logging
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modules.checkpoints.embeddings import encoder_widths
from modules.checkpoints.hashes import FileStamp
from modules.checkpoints.hypernetwork_files import load_hypernetwork
from modules.checkpoints.network_files import NetworkFile
from modules.checkpoints.network_folders import NetworkFolders
from modules.checkpoints.network_loading import load_network
from modules.checkpoints.networks import ActiveNetwork, Network
from modules.errors import InvalidInput, ModelFileError, NonFiniteError
from modules.nets.hypernetwork import Hypernetwork, context_hook
from modules.prompts.composition import compose
from modules.prompts.embeddings import ModelEmbeddings, NameIndex
from modules.prompts.extra_networks import ExtraNetworkParams, Networks, parse_extra_networks
from modules.prompts.schedules import prompt_schedule

if TYPE_CHECKING:
    import torch

    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.batches import Batch
    from modules.prompts.conditioning import PromptConditioner

_log = logging.getLogger(__name__)

LORA_KINDS = ("lora", "lyco")
HYPERNET = "hypernet"
LORA_HASHES, TI_HASHES, LEFT_OUT = "Lora hashes", "TI hashes", "Networks left out"
_SEPARATORS = str.maketrans("", "", ":,")
NO_NETWORK = "None"


@dataclass(frozen=True)
class LoraTag:
    """``<lora:name:te:unet:dyn>``: strengths for text encoder and UNet, and how much of the rank counts."""

    name: str
    te: float = 1.0
    unet: float = 1.0
    dyn: int | None = None

    @classmethod
    def read(cls, params: ExtraNetworkParams) -> LoraTag | None:
        """The tag with these arguments; None without a name. Raises ``InvalidInput`` for no numbers."""
        positional, named = params.positional, params.named
        if not positional:
            return None
        te = _number(named.get("te", _at(positional, 1)), 1.0, params)
        unet = _number(named.get("unet", _at(positional, 2)), te, params)
        dyn = named.get("dyn", _at(positional, 3))
        return cls(positional[0], te, unet, None if dyn is None else int(_number(dyn, 0, params)))


def _at(values: Sequence[str], index: int) -> str | None:
    return values[index] if len(values) > index else None


def _number(text: str | None, default: float, params: ExtraNetworkParams) -> float:
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise InvalidInput(
            f"The tag of the network {params.items[0]!r} has the strength {text!r}; a number was expected, "
            "such as <lora:name:0.8>.",
            "prompt",
        )
    return value


def lora_tags(networks: Networks) -> list[LoraTag]:
    """The LoRA tags among the tags of a prompt.

    A name that stands there several times counts each time with the strengths of its last tag, as in the
    reference: pictures of such prompts should be the same.
    """
    read = (LoraTag.read(params) for kind in LORA_KINDS for params in networks.get(kind, ()))
    tags = [tag for tag in read if tag is not None]
    last = {tag.name: tag for tag in tags}
    return [last[tag.name] for tag in tags]


def without_loras(networks: Networks) -> Networks:
    """The tags of the other kinds."""
    return {kind: tags for kind, tags in networks.items() if kind not in LORA_KINDS}


def hypernetwork_tags(networks: Networks) -> list[tuple[str, float]]:
    """Name and strength of the hypernetworks among the tags of a prompt."""
    rows = networks.get(HYPERNET, ())
    return [(row.items[0], _number(_at(row.items, 1), 1.0, row)) for row in rows if row.items]


def default_tags(prompt: str, settings: SettingsView, folders: NetworkFolders) -> str:
    """The tags that the settings sd_hypernetwork and sd_lora add to ``prompt``, unless it has them."""
    networks = parse_extra_networks(prompt)[1]
    strength = settings.extra_networks_default_multiplier
    added = ""
    choices = (
        (HYPERNET, (HYPERNET,), settings.sd_hypernetwork, folders.hypernetworks.files),
        ("lora", LORA_KINDS, settings.sd_lora, folders.loras.files),
    )
    for tag, kinds, name, files in choices:
        if name in (None, "", NO_NETWORK) or name not in files:
            continue
        if not any(params.items[0] == name for kind in kinds for params in networks.get(kind, ())):
            added += f"<{tag}:{name}:{strength}>"
    return added


@dataclass
class NetworkShelf:
    """The networks that are in memory, and putting them on models. Used by one worker at a time."""

    folders: NetworkFolders
    _loras: OrderedDict[FileStamp, Network] = field(default_factory=OrderedDict, repr=False)
    _hypernetworks: dict[FileStamp, Hypernetwork] = field(default_factory=dict, repr=False)
    _indices: weakref.WeakKeyDictionary[PromptConditioner, NameIndex] = field(
        default_factory=weakref.WeakKeyDictionary, repr=False
    )

    def put_on(
        self, model: DiffusionModel, networks: Networks, conditioner: PromptConditioner, keep: int = 0
    ) -> None:
        """Make ``model`` hold what the tags ask for, and nothing else. Costs nothing when it does already.

        ``conditioner`` reads prompts for the model and learns the words of embeddings. ``keep``: how many
        networks stay in memory beside those in use. Unknown names are passed over; files that cannot be used
        are left out, see ``model.patches.problems``. Raises ``InvalidInput`` and ``OutOfMemoryError``.
        """
        problems: list[str] = []
        active = list(self._active(lora_tags(networks), problems))
        model.patches.switch(model, active)
        model.patches.problems = (*problems, *(f"{misfit.name} (misfit)" for misfit in model.patches.misfits))
        self._forget([one.network for one in active], keep)
        hypernetworks = self._hypernetworks_of(hypernetwork_tags(networks), model.device, problems)
        model.unet.set_context_hook(context_hook(hypernetworks))
        self._teach(conditioner, model)

    def _teach(self, conditioner: PromptConditioner, model: DiffusionModel) -> None:
        """Let the conditioner know the words of embeddings, and what its encoders hold."""
        self.folders.embeddings.refresh_if_changed()
        index = self._indices.get(conditioner)
        if index is None:
            encode = conditioner.system.towers[0].tokenizer.encode
            index = self._indices[conditioner] = NameIndex(self.folders.embeddings, encode)
        patches = model.patches
        networks = [active.network for active in patches.active]
        bundled = [(one, network.name) for network in networks for one in network.embeddings]
        conditioner.network_state = patches.state
        conditioner.matcher = ModelEmbeddings(index, encoder_widths(model.spec), bundled, patches.state)

    def _active(self, tags: Sequence[LoraTag], problems: list[str]) -> Iterator[ActiveNetwork]:
        for tag in tags:
            file = self.folders.loras.find(tag.name)
            if file is None:
                _log.warning("There is no network %s; its tag is passed over.", tag.name)
                continue
            try:
                network = self._lora(file)
            except (ModelFileError, NonFiniteError) as error:
                _log.warning("%s", error)
                why = "NaN" if isinstance(error, NonFiniteError) else "unreadable"
                problems.append(f"{file.name} ({why})")
                continue
            yield ActiveNetwork(network, tag.te, tag.unet, tag.dyn)

    def _lora(self, file: NetworkFile) -> Network:
        network = self._loras.get(file.stamp)
        if network is None or network.identity != _identity(file.filename):
            network = self._loras[file.stamp] = load_network(
                file.filename, file.name, tolerant=self.folders.tolerant
            )
        self._loras.move_to_end(file.stamp)
        return network

    def _forget(self, active: Sequence[Network], keep: int) -> None:
        """Let go of all networks but the active and the last ``keep`` others."""
        idle = [stamp for stamp, one in self._loras.items() if not any(one is other for other in active)]
        for stamp in idle[: max(0, len(idle) - max(keep, 0))]:
            del self._loras[stamp]

    def _hypernetworks_of(
        self, tags: Sequence[tuple[str, float]], device: torch.device, problems: list[str]
    ) -> list[tuple[Hypernetwork, float]]:
        found: dict[FileStamp, Hypernetwork] = {}
        active: list[tuple[Hypernetwork, float]] = []
        for name, strength in tags:
            stamp = self.folders.hypernetworks.find(name)
            if stamp is None:
                _log.warning("There is no hypernetwork %s; its tag is passed over.", name)
                continue
            try:
                network = self._hypernetworks.get(stamp) or load_hypernetwork(
                    stamp.path, name, tolerant=self.folders.tolerant
                )
            except (ModelFileError, NonFiniteError) as error:
                _log.warning("%s", error)
                problems.append(f"{name} (unreadable)")
                continue
            found[stamp] = network.to(device)
            active.append((found[stamp], strength))
        self._hypernetworks = found
        return active


def _identity(path: str) -> tuple[str, int, int] | None:
    try:
        stamp = FileStamp.of(path)
    except OSError:
        return None
    return (path, stamp.size, stamp.mtime_ns)


def lora_entry(networks: Networks, folders: NetworkFolders, settings: SettingsView) -> dict[str, str]:
    """The infotext entry that names the hashes of the LoRAs in use; waits for those of new files."""
    if not settings.lora_add_hashes_to_infotext:
        return {}
    hashes: dict[str, str] = {}
    for tag in lora_tags(networks):
        file = folders.loras.find(tag.name)
        digest = _hash_of(file) if file is not None else None
        if digest:
            hashes[tag.name.translate(_SEPARATORS)] = digest
    return {LORA_HASHES: ", ".join(f"{name}: {digest}" for name, digest in hashes.items())} if hashes else {}


def merged_hashes(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, str]:
    """The entry with the LoRAs of both passes, from the entries of each."""
    rows = [row for entries in (first, second) for row in entries.get(LORA_HASHES, "").split(", ") if row]
    return {LORA_HASHES: ", ".join(dict.fromkeys(rows))} if rows else {}


def _hash_of(file: NetworkFile) -> str | None:
    try:
        return file.calculate_shorthash()
    except ModelFileError as error:
        _log.warning("%s", error)
        return None


def embedding_entry(batch: Batch, conditioner: PromptConditioner, shelf: NetworkShelf) -> dict[str, str]:
    """The infotext entry that names the hashes of the embeddings in use.

    It lists, as the reference does, what each encoder found in each prompt, the prompt read last in front:
    with two encoders every embedding is listed twice.
    """
    settings, matcher = batch.job.settings, conditioner.matcher
    if not settings.textual_inversion_add_hashes_to_infotext or not isinstance(matcher, ModelEmbeddings):
        return {}
    listed: list[str] = []
    for texts in _texts_by_prompt(batch):
        for tower in conditioner.system.towers:
            used = dict.fromkeys(
                placed.embedding.name
                for text in texts
                for chunk in tower.chunk(text, batch.job.text_options, matcher).chunks
                for placed in chunk.embeddings
            )
            rows = [_embedding_row(name, matcher, shelf, settings) for name in used]
            listed = [*(row for row in rows if row), *listed]
    return {TI_HASHES: ", ".join(listed)} if listed else {}


def _texts_by_prompt(batch: Batch) -> Iterable[list[str]]:
    """The texts that are encoded together, in the order in which they are read: negative prompts first."""
    steps = batch.job.sampler.total_steps(batch.job.request.steps)
    old = batch.job.settings.use_old_scheduling
    prompts = [*dict.fromkeys(batch.negative_prompts), *compose(list(batch.prompts)).texts]
    for prompt in prompts:
        yield [text for _, text in prompt_schedule(prompt, steps, old_scheduling=old)]


def _embedding_row(
    name: str, matcher: ModelEmbeddings, shelf: NetworkShelf, settings: SettingsView
) -> str | None:
    digest = matcher.bundle_of(name)
    if digest is None:
        digest = shelf.folders.embeddings.shorthash(name)
    elif not settings.lora_bundled_ti_to_infotext:
        digest = None
    return f"{name.translate(_SEPARATORS)}: {digest}" if digest else None
