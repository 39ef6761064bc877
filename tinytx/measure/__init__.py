"""Bundle to verdict, in rooms. Each rests only on those before it (tests/test_imports.py):

stats     bounds of quantiles from samples; plain arithmetic
memory    what the kernel counts of a process: resident set, high-water mark, mappings
machine   what the machine says of itself, before, while and after measuring
policy    what is promised: budgets, scenarios and devices, as typed TOML
limits    is a memory limit real here: control groups, and a canary that has to die
record    what is passed between processes and kept: tasks, answers, reports
verdict   from records to PASS, FAIL, INVALID
run       who measures: the bench, its worker processes, the container around them
compare   two sides, or many dates
pages     a report as Markdown and HTML
doctor    what this machine can do, and why not
"""
