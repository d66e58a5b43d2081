"""The pure core: it decides. No I/O, no clock, no chance; values in, values out."""
