"""The soak: fuzzed files, kills at random moments, disks that fill up, and a server at twice its capacity.

`python -m benchmarks.soak --minutes 20 --seed 0` (or `make soak`) prints a table of counts and ends with exit code 1 on
any traceback, hang, leftover or wrong answer. What it finds goes, with what is needed to see it again, into
runs/soak/findings; a finding that has been mended becomes a file of a few hundred bytes in tests/.
"""
