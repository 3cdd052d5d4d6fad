"""Where and how numbers are computed: device, precision, memory and the attention backends."""
