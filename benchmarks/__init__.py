"""Ours against the peers, in one run: `make bench`. docs/performance-log.md says how it is measured."""
