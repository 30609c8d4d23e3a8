"""The numerics: NumPy arrays in, arrays out. No files, no configuration, no engine.

Wavelengths are air angstrom in float64, velocities km/s, fluxes float32. Every kernel runs on one thread: parallelism
is over spectra, above. Meanwhile other threads of its process may run (`nogil`), to write what is ready.
"""
