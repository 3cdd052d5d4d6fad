"""Schedules, samplers, guidance, noise and preview: from noise and conditioning to a latent."""
