"""The state of the machine while a model is measured: clocks, heat, throttling, load, power."""
