"""From a request to pictures: txt2img, img2img, hires fix, refiner, masks, infotext."""
