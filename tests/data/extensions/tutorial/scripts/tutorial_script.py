"""Two scripts: one takes part in every job, one is chosen from the list and does the job itself."""

import gradio as gr

from modules import scripts
from modules.processing import process_images
from scripts.tutorial_helper import note

FOLDER = scripts.basedir()


class Tutorial(scripts.Script):
    def title(self):
        return "Tutorial"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        enabled = gr.Checkbox(False, label="Take part", elem_id=self.elem_id("enabled"))
        suffix = gr.Textbox("", label="Words to add")
        invert = gr.Slider(0, 1, value=0, step=1, label="Invert the picture")
        self.infotext_fields = [(enabled, "Tutorial enabled"), (suffix, "Tutorial words")]
        self.paste_field_names = ["Tutorial enabled", "Tutorial words"]
        return [enabled, suffix, invert]

    def setup(self, p, enabled, suffix, invert):
        note("setup", enabled=enabled)

    def before_process(self, p, enabled, suffix, invert):
        if enabled and suffix:
            p.prompt = f"{p.prompt}, {suffix}"
        note("before_process", prompt=p.prompt)

    def process(self, p, enabled, suffix, invert):
        if enabled:
            p.extra_generation_params["Tutorial words"] = suffix
            p.extra_generation_params["Tutorial picture"] = lambda index, **facts: f"number {index}"
        note("process", prompts=list(p.all_prompts), seeds=list(p.all_seeds))

    def before_process_batch(self, p, *args, batch_number, prompts, seeds, subseeds):
        note("before_process_batch", batch=batch_number, prompts=list(prompts))

    def after_extra_networks_activate(self, p, *args, extra_network_data, **kwargs):
        note("after_extra_networks_activate", kinds=sorted(extra_network_data))

    def process_batch(self, p, *args, batch_number, prompts, **kwargs):
        note("process_batch", batch=batch_number, prompts=list(prompts))

    def process_before_every_sampling(self, p, *args, x, noise, c, uc):
        note("process_before_every_sampling", shape=tuple(x.shape), second=p.is_hr_pass)

    def before_hr(self, p, *args):
        note("before_hr")

    def post_sample(self, p, ps, *args):
        note("post_sample", shape=tuple(ps.samples.shape))

    def on_mask_blend(self, p, mba, *args):
        note("on_mask_blend", final=mba.is_final_blend)

    def postprocess_batch(self, p, enabled, suffix, invert, images, batch_number):
        if enabled and invert:
            images[:] = 1 - images
        note("postprocess_batch", shape=tuple(images.shape))

    def postprocess_batch_list(self, p, pp, *args, batch_number):
        note("postprocess_batch_list", count=len(pp.images))

    def postprocess_image(self, p, pp, *args):
        note("postprocess_image", size=pp.image.size, index=p.batch_index)

    def postprocess_image_after_composite(self, p, pp, *args):
        note("postprocess_image_after_composite", size=pp.image.size)

    def postprocess(self, p, processed, *args):
        note("postprocess", count=len(processed.images), seed=processed.seed)


class Twice(scripts.Script):
    """Paints the picture a second time with the next seed."""

    def title(self):
        return "Tutorial: twice"

    def ui(self, is_img2img):
        return [gr.Number(1, label="Step between the seeds", precision=0)]

    def run(self, p, step):
        p.do_not_save_grid = True
        first = process_images(p)
        p.seed = first.seed + int(step)
        second = process_images(p)
        first.images += second.images
        first.infotexts += second.infotexts
        return first
