"""What pyvol promises, in pure Python: no I/O, no framework, no clock.

The time comes in through two ports, `Clock` and `Monotonic`. Of the operating system the core uses only locks
and threads: in `concurrency`, where a job has its thread, and locks in the few modules that `pyproject.toml`
names, each of which guards its own memory. import-linter checks this, and that imports inside the core run
one way.
"""
