"""`python -m atonce`, which is what `accelerate launch -m atonce` and `torchrun -m atonce` start."""

from atonce.cli import main

main()
