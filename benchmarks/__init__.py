"""Ours against the peers, in one run: `make bench`. docs/performance.md says how it is measured."""
