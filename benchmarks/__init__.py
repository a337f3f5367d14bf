"""Time, memory and disk of dubber; what is never asserted by a test.

    python -m benchmarks run        whole runs: cold, cached again, warm, with `exemplar`, with `copy`
    python -m benchmarks scale      one clip looped to several lengths
    python -m benchmarks profile    the dearest functions of each thread
    python benchmarks/render.py     single steps from mouth to picture
    python benchmarks/speed.py      single steps between tracking and rendering

`--help` after any of them says more.
"""
